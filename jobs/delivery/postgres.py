"""Lists as tables of PostgreSQL, each delivery in one transaction.

A replace fills a staging table by COPY, gives it the rights of the old one and takes its place: a
reader sees the old list or the new one. An update copies what has changed and applies it. The table
`sentirec_deliveries` beside them holds the key of every delivery, within the same transaction: what
comes again is known and does nothing.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import LiteralString

import polars as pl
import psycopg
from psycopg import sql

from jobs.delivery.delivery import Delivery, OnStage, Receipt
from jobs.delivery.rows import ID, USER, ProfileRows
from jobs.errors import BadInputError, DeliveryError

_LOG = "sentirec_deliveries"
_NULL = "\\N"
_COPIED_AT_ONCE = 100_000
_TIMEOUT_S = 10
_TYPES: dict[type[pl.DataType], LiteralString] = {
    pl.String: "text",
    pl.Boolean: "boolean",
    pl.Float32: "real",
    pl.Float64: "double precision",
    pl.Int8: "smallint",
    pl.Int16: "smallint",
    pl.Int32: "integer",
    pl.Int64: "bigint",
    pl.UInt8: "smallint",
    pl.UInt16: "integer",
    pl.UInt32: "bigint",
    pl.Date: "date",
    pl.Datetime: "timestamptz",
}


@dataclass(frozen=True, kw_only=True)
class PostgresDestination:
    """A table of a database.

    Attributes:
        address_variable: Environment variable that holds the address, `postgresql://...`.
        table: `name` or `schema.name`.
        rows: What it tells.
    """

    address_variable: str
    table: str
    rows: ProfileRows

    def check(self) -> None:
        """See `Destination`: the database answers."""
        with self._connect():
            pass

    def deliver(self, delivery: Delivery, on_stage: OnStage) -> Receipt:
        """See `Destination`."""
        on_stage("connect")
        try:
            with self._connect() as connection, connection.cursor() as cursor:
                is_new = self._register(cursor, delivery)
                if is_new and delivery.operation == "replace":
                    self._replace(cursor, delivery, on_stage)
                elif is_new:
                    self._update(cursor, delivery, on_stage)
                on_stage("commit")
        except psycopg.errors.DependentObjectsStillExist as error:
            raise BadInputError(
                f"the table {self.table} cannot be replaced, since other things are made of it "
                f"({_line(error)}): make them of a copy, or use `segments sync`, which keeps the "
                "table"
            ) from error
        except psycopg.Error as error:
            raise DeliveryError(f"{self.table}: {_line(error)}") from error
        return Receipt(place=f"postgresql table {self.table}", details={"was_new": is_new})

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        address = os.environ.get(self.address_variable)
        if not address:
            raise BadInputError(
                f"the address of the database is not set: {self.address_variable} is empty"
            )
        try:
            return psycopg.connect(address, connect_timeout=_TIMEOUT_S)
        except psycopg.Error as error:
            # The message of psycopg names host and database, not the password.
            raise DeliveryError(f"cannot reach the database: {_line(error)}") from error

    def _register(self, cursor: "psycopg.Cursor[tuple[object, ...]]", delivery: Delivery) -> bool:
        """Note a delivery; return whether it is new. Others of the same table wait."""
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (self.table,))
        log = self._name(_LOG)
        cursor.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (key text PRIMARY KEY, table_name text NOT NULL, "
                "segment text NOT NULL, definition_version text NOT NULL, "
                "as_of timestamptz NOT NULL, operation text NOT NULL, added bigint NOT NULL, "
                "removed bigint NOT NULL, size bigint NOT NULL, "
                "delivered_at timestamptz NOT NULL DEFAULT now())"
            ).format(log)
        )
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} (key, table_name, segment, definition_version, as_of, operation, "
                "added, removed, size) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "ON CONFLICT (key) DO NOTHING"
            ).format(log),
            (
                delivery.key,
                self.table,
                delivery.segment,
                delivery.definition_version,
                delivery.as_of,
                delivery.operation,
                len(delivery.added),
                len(delivery.removed),
                delivery.size,
            ),
        )
        return cursor.rowcount == 1

    def _replace(
        self, cursor: "psycopg.Cursor[tuple[object, ...]]", delivery: Delivery, on_stage: OnStage
    ) -> None:
        rows = _named(delivery.added.select(self.rows.told))
        bare = self.table.rpartition(".")[2]
        table, staging = self._name(bare), self._name(f"{bare}__{delivery.key[:12]}")
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_type(name, dtype)))
            for name, dtype in rows.schema.items()
        )
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(staging, columns))
        on_stage("copy")
        _copy(cursor, staging, rows)
        cursor.execute(
            sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(staging, sql.Identifier(USER))
        )
        on_stage("swap")
        cursor.execute("SELECT to_regclass(%s)", (table.as_string(cursor),))
        found = cursor.fetchone()
        if found is not None and found[0] is not None:
            _copy_rights(cursor, table, staging)
            cursor.execute(sql.SQL("DROP TABLE {}").format(table))
        cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(staging, sql.Identifier(bare)))
        cursor.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(_comment(delivery)))
        )

    def _update(
        self, cursor: "psycopg.Cursor[tuple[object, ...]]", delivery: Delivery, on_stage: OnStage
    ) -> None:
        table = self._name(self.table.rpartition(".")[2])
        added = _named(delivery.added.select(self.rows.told))
        removed = _named(delivery.removed.select(ID))
        staging = [sql.Identifier(f"{part}__{delivery.key[:12]}") for part in ("removed", "added")]
        on_stage("copy")
        for name, rows in zip(staging, (removed, added), strict=True):
            columns = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
            cursor.execute(
                sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
                    name, columns, table
                )
            )
            _copy(cursor, name, rows)
        on_stage("apply")
        columns = sql.SQL(", ").join(map(sql.Identifier, added.columns))
        user = sql.Identifier(USER)
        cursor.execute(
            sql.SQL("DELETE FROM {0} USING {1} WHERE {0}.{2} = {1}.{2}").format(
                table, staging[0], user
            )
        )
        cursor.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
                table, columns, columns, staging[1]
            )
        )
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
        held = cursor.fetchone()
        if held is None or held[0] != delivery.size:
            raise DeliveryError(
                f"{self.table} would hold {held and held[0]:,} people after this update, not "
                f"{delivery.size:,}: somebody else has changed it; nothing was written. "
                "`segments export` writes the whole list"
            )
        cursor.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(_comment(delivery)))
        )

    def _name(self, bare: str) -> sql.Identifier:
        schema = self.table.rpartition(".")[0]
        return sql.Identifier(schema, bare) if schema else sql.Identifier(bare)


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.rename({ID: USER})


def _type(name: str, dtype: pl.DataType) -> LiteralString:
    found = _TYPES.get(type(dtype))
    if found is None:
        raise BadInputError(f"the column {name} is of {dtype}, which no table of PostgreSQL holds")
    return found


def _copy(
    cursor: "psycopg.Cursor[tuple[object, ...]]", table: sql.Identifier, rows: pl.DataFrame
) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    command = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL {})").format(
        table, columns, sql.Literal(_NULL)
    )
    with cursor.copy(command) as copy:
        for piece in _pieces(rows):
            copy.write(piece)


def _pieces(rows: pl.DataFrame) -> Iterator[bytes]:
    """Yield rows as CSV; all texts are quoted, so that none is taken for null."""
    for piece in rows.iter_slices(_COPIED_AT_ONCE):
        yield piece.write_csv(
            include_header=False,
            quote_style="non_numeric",
            null_value=_NULL,
            datetime_format="%Y-%m-%dT%H:%M:%S%.6f+00:00",
        ).encode()


def _copy_rights(
    cursor: "psycopg.Cursor[tuple[object, ...]]", source: sql.Identifier, target: sql.Identifier
) -> None:
    """Grant on one table what was granted on another, to the same roles."""
    cursor.execute(
        "SELECT COALESCE(quote_ident(r.rolname), 'PUBLIC'), acl.privilege_type, acl.is_grantable "
        "FROM pg_class c, aclexplode(c.relacl) acl LEFT JOIN pg_roles r ON r.oid = acl.grantee "
        "WHERE c.oid = to_regclass(%s) AND acl.grantee <> c.relowner",
        (source.as_string(cursor),),
    )
    for role, privilege, is_grantable in cursor.fetchall():
        # Names come quoted from the database itself, privileges are its own words.
        cursor.execute(
            sql.SQL("GRANT {} ON {} TO {}{}").format(
                sql.SQL(str(privilege)),  # pyright: ignore[reportArgumentType]
                target,
                sql.SQL(str(role)),  # pyright: ignore[reportArgumentType]
                sql.SQL(" WITH GRANT OPTION" if is_grantable else ""),
            )
        )


def _comment(delivery: Delivery) -> str:
    return (
        f"sentirec segment {delivery.segment} {delivery.definition_version[:12]} as of "
        f"{delivery.as_of.isoformat()}: {delivery.size} people, delivery {delivery.key}"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
