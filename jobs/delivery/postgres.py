"""Lists as tables of PostgreSQL, each delivery in one transaction.

What is handed over is copied into a staging table (COPY) and swapped in from there: a reader sees
the old list or the new one. The table itself stays, with its owner, rights, policies and views;
only where other columns are told is it made anew, with the rights of the old one. The table
`sentirec_deliveries` beside it holds the key of every delivery, within the same transaction: what
comes again is known and does nothing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

import polars as pl
import psycopg
from psycopg import sql

from jobs.delivery.delivery import Delivery, OnStage, Receipt
from jobs.delivery.rows import ID, USER, ProfileRows
from jobs.errors import BadInputError, DeliveryError

_Cursor = psycopg.Cursor[tuple[object, ...]]
_LOG = "sentirec_deliveries"
_MOST_BYTES = 63
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

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            BadInputError: If PostgreSQL would cut one, or the table is that of deliveries.
        """
        for name in self.table.split("."):
            if not 0 < len(name.encode()) <= _MOST_BYTES or "\x00" in name or name == _LOG:
                raise BadInputError(
                    f"{name!r} is no name for a table of a segment: it has 1 to {_MOST_BYTES} "
                    f"bytes, and is not {_LOG}"
                )

    def check(self) -> None:
        """See `Destination`: the database answers."""
        with self._connect():
            pass

    def has(self, key: str, segment: str) -> bool | None:
        """See `Destination`: the table of deliveries knows the key."""
        log = self._name(_LOG)
        try:
            with self._connect() as connection, connection.cursor() as cursor:
                if not _exists(cursor, log):
                    return False
                cursor.execute(sql.SQL("SELECT 1 FROM {} WHERE key = %s").format(log), (key,))
                return cursor.fetchone() is not None
        except psycopg.Error as error:
            raise DeliveryError(f"{self.table}: {_line(error)}") from error

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
                f"the table {self.table} is told other columns than before and cannot be made "
                f"anew, since other things are made of it ({_line(error)}): drop those first"
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

    def _register(self, cursor: _Cursor, delivery: Delivery) -> bool:
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

    def _replace(self, cursor: _Cursor, delivery: Delivery, on_stage: OnStage) -> None:
        rows = _named(delivery.added.select(self.rows.told))
        table = self._name(self.table.rpartition(".")[2])
        columns: dict[str, LiteralString] = {
            name: _type(name, dtype) for name, dtype in rows.schema.items()
        }
        if not _exists(cursor, table):
            _create(cursor, table, columns)
        elif _columns(cursor, table) != columns:
            self._make_anew(cursor, table, columns)
        staging = sql.Identifier("staging")
        _stage(cursor, staging, table, rows, on_stage)
        on_stage("swap")
        # TRUNCATE would be quicker, and lock readers out until the commit.
        cursor.execute(sql.SQL("DELETE FROM {}").format(table))
        _insert(cursor, table, staging, rows.columns)
        _describe(cursor, table, delivery)

    def _make_anew(
        self, cursor: _Cursor, table: sql.Identifier, columns: Mapping[str, LiteralString]
    ) -> None:
        cursor.execute(
            "SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(%s)",
            (table.as_string(cursor),),
        )
        secured = cursor.fetchone()
        if secured is not None and secured[0]:
            raise BadInputError(
                f"the table {self.table} has row security and is told other columns than before: "
                "make it anew by hand, or leave [destinations] columns as they were"
            )
        bare = self.table.rpartition(".")[2]
        fresh = self._name("sentirec_fresh")
        _create(cursor, fresh, columns)
        _copy_rights(cursor, table, fresh)
        cursor.execute(sql.SQL("DROP TABLE {}").format(table))
        cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(fresh, sql.Identifier(bare)))

    def _update(self, cursor: _Cursor, delivery: Delivery, on_stage: OnStage) -> None:
        table = self._name(self.table.rpartition(".")[2])
        if not _exists(cursor, table):
            raise DeliveryError(
                f"the table {self.table} is gone: `segments export` writes the whole list"
            )
        added = _named(delivery.added.select(self.rows.told))
        # Whom an attempt before may have put there is taken off, too.
        leaving = pl.concat([delivery.removed[ID], delivery.added[ID]]).unique()
        gone = leaving.rename(USER).to_frame()
        removed_name, added_name = sql.Identifier("removed"), sql.Identifier("added")
        _stage(cursor, removed_name, table, gone, on_stage)
        _stage(cursor, added_name, table, added, on_stage)
        on_stage("apply")
        cursor.execute(
            sql.SQL("DELETE FROM {0} USING {1} WHERE {0}.{2} = {1}.{2}").format(
                table, removed_name, sql.Identifier(USER)
            )
        )
        _insert(cursor, table, added_name, added.columns)
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
        held = cursor.fetchone()
        if held is None or held[0] != delivery.size:
            raise DeliveryError(
                f"{self.table} would hold {held and held[0]:,} people after this update, not "
                f"{delivery.size:,}: somebody else has changed it; nothing was written. "
                "`segments export` writes the whole list"
            )
        _describe(cursor, table, delivery)

    def _name(self, bare: str) -> sql.Identifier:
        schema = self.table.rpartition(".")[0]
        return sql.Identifier(schema, bare) if schema else sql.Identifier(bare)


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.rename({ID: USER})


def _exists(cursor: _Cursor, table: sql.Identifier) -> bool:
    cursor.execute("SELECT to_regclass(%s)", (table.as_string(cursor),))
    found = cursor.fetchone()
    return found is not None and found[0] is not None


def _columns(cursor: _Cursor, table: sql.Identifier) -> dict[str, str]:
    """Return the types of a table's columns, as `_TYPES` writes them."""
    cursor.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (table.as_string(cursor),),
    )
    short = {"timestamp with time zone": "timestamptz"}
    return {str(name): short.get(str(kind), str(kind)) for name, kind in cursor.fetchall()}


def _create(cursor: _Cursor, table: sql.Identifier, columns: Mapping[str, LiteralString]) -> None:
    parts = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in columns.items()
    )
    key = sql.Identifier(USER)
    cursor.execute(sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(table, parts, key))


def _stage(
    cursor: _Cursor,
    staging: sql.Identifier,
    table: sql.Identifier,
    rows: pl.DataFrame,
    on_stage: OnStage,
) -> None:
    """Copy rows into a temporary table with the columns of the table they are for."""
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
            staging, columns, table
        )
    )
    on_stage("copy")
    _copy(cursor, staging, rows)


def _insert(
    cursor: _Cursor, table: sql.Identifier, staging: sql.Identifier, names: Sequence[str]
) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    cursor.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(table, columns, columns, staging)
    )


def _describe(cursor: _Cursor, table: sql.Identifier, delivery: Delivery) -> None:
    told = (
        f"sentirec segment {delivery.segment} {delivery.definition_version[:12]} as of "
        f"{delivery.as_of.isoformat()}: {delivery.size} people, delivery {delivery.key}"
    )
    cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(told)))


def _type(name: str, dtype: pl.DataType) -> LiteralString:
    found = _TYPES.get(type(dtype))
    if found is None:
        raise BadInputError(f"the column {name} is of {dtype}, which no table of PostgreSQL holds")
    return found


def _copy(cursor: _Cursor, table: sql.Identifier, rows: pl.DataFrame) -> None:
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


def _copy_rights(cursor: _Cursor, source: sql.Identifier, target: sql.Identifier) -> None:
    """Grant on one table what was granted on another, to the same roles, and nothing else."""
    cursor.execute(
        "SELECT DISTINCT COALESCE(quote_ident(r.rolname), 'PUBLIC') "
        "FROM pg_class c, aclexplode(c.relacl) acl LEFT JOIN pg_roles r ON r.oid = acl.grantee "
        "WHERE c.oid = to_regclass(%s) AND acl.grantee <> c.relowner",
        (target.as_string(cursor),),
    )
    for (role,) in cursor.fetchall():
        cursor.execute(
            sql.SQL("REVOKE ALL ON {} FROM {}").format(
                target,
                sql.SQL(str(role)),  # pyright: ignore[reportArgumentType]
            )
        )
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


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
