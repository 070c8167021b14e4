"""What was handed over, of one segment to one destination, and what was about to be.

The table `deliveries` has a row of each delivery that was planned and one of each that is done. The
table `delivered_<hash>` of the two names holds the people of the newest plan: who stays, who is
added, who is removed, with what the destination is told of them. It is replaced in one commit, and
that commit makes the plan: a planned delivery whose number the table does not have never began.
Both lie in the store, so that an erased person is erased here, too; their number then no longer
fits, and the next delivery replaces the whole list.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from features.store import Store
from jobs.delivery.delivery import Delivery, Operation
from jobs.delivery.rows import USER

DELIVERIES = "deliveries"
_DELIVERIES_SCHEMA = pl.Schema(
    {
        "segment": pl.String(),
        "destination": pl.String(),
        "number": pl.Int64(),
        "status": pl.String(),
        "key": pl.String(),
        "origin": pl.String(),
        "operation": pl.String(),
        "definition_version": pl.String(),
        "as_of": pl.Datetime("us", "UTC"),
        "added": pl.Int64(),
        "removed": pl.Int64(),
        "size": pl.Int64(),
        "told": pl.List(pl.String()),
        "at": pl.Datetime("us", "UTC"),
    }
)
_CHANGE, _NUMBER = "change", "number"
_KEEP, _ADD, _REMOVE = 0, 1, -1


@dataclass(frozen=True, kw_only=True)
class Version:
    """Which list of people it is.

    Attributes:
        segment: Its name.
        definition_version: Of the segment.
        as_of: Its moment.
        told: What the destination is told of people.
    """

    segment: str
    definition_version: str
    as_of: datetime
    told: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Of one segment to one destination; whoever writes holds `lock`.

    Attributes:
        store: Where the tables are.
        segment: Name of the segment.
        destination: Name of the destination.
    """

    store: Store
    segment: str
    destination: str

    @property
    def table(self) -> str:
        """Name of the table of people."""
        names = f"{self.segment}\x00{self.destination}".encode()
        return f"delivered_{hashlib.sha256(names).hexdigest()[:16]}"

    def done(self) -> dict[str, Any] | None:
        """Return the newest delivery that is done; None where there is none."""
        return self._newest("done")

    def pending(self) -> Delivery | None:
        """Return the delivery that was planned and is not done; None where there is none.

        There is none either where somebody on it was erased since: it has to be planned anew.
        """
        planned, done = self._newest("planned"), self.done()
        if planned is None or (done is not None and done["number"] >= planned["number"]):
            return None
        people = self._people_of(planned)
        return None if people is None else _delivery(planned, people)

    def previous(self) -> pl.DataFrame | None:
        """Return the rows that the destination has; None where it has none, or not known which.

        That is not known where a person was erased since, or the delivery after it never ended.
        """
        done = self.done()
        people = None if done is None else self._people_of(done)
        if people is None:
            return None
        return people.filter(pl.col(_CHANGE) != _REMOVE).drop(_CHANGE, _NUMBER)

    def members(self) -> pl.Series:
        """Return whom the newest plan has on the list, erased ones left out."""
        people = self._people()
        if people is None:
            return pl.Series(USER, [], dtype=pl.String)
        return people.filter(pl.col(_CHANGE) != _REMOVE)[USER]

    def plan(
        self,
        rows: pl.DataFrame,
        version: Version,
        *,
        operation: Operation,
        old: pl.Series,
        at: datetime,
    ) -> Delivery:
        """Write down a delivery that is about to be made, and return it.

        Args:
            rows: `user_id` and what is told of everybody who is to be on the list.
            version: Of the list.
            operation: A `replace` needs nothing of the past; for an `update`, see `previous`.
            old: Who of them was on the list before, and is no newcomer.
            at: Now.

        Raises:
            ValueError: An update without a list before.
            StoreError: It could not be written.
        """
        if operation == "update":
            previous = self.previous()
            if previous is None or previous.columns != rows.columns:
                raise ValueError("there is no list of these columns that an update could change")
            changes = _changes(rows, previous)
        else:
            is_old = pl.col(USER).is_in(old.implode())
            change = pl.when(is_old).then(_KEEP).otherwise(_ADD).cast(pl.Int8)
            changes = rows.with_columns(change.alias(_CHANGE))
        return self._write(changes, version, operation, at)

    def without(
        self, delivery: Delivery, withheld: pl.Series, version: Version, at: datetime
    ) -> Delivery:
        """Plan a pending delivery anew, without people who may no longer be on the list.

        Whoever of them may have been sent by an attempt before is among those who are removed.

        Args:
            delivery: The pending one.
            withheld: Ids, as stored.
            version: Of the list.
            at: Now.
        """
        people = self._people()
        assert people is not None
        is_withheld = pl.col(USER).is_in(withheld.implode())
        change = pl.when(is_withheld).then(pl.lit(_REMOVE, pl.Int8)).otherwise(pl.col(_CHANGE))
        changes = people.with_columns(change.alias(_CHANGE)).drop(_NUMBER)
        # Who was to be told anew is in twice: one removal is enough.
        changes = changes.unique([USER, _CHANGE], keep="first", maintain_order=True)
        if delivery.operation == "replace":
            changes = changes.filter(pl.col(_CHANGE) != _REMOVE)
        return self._write(changes, version, delivery.operation, at, origin=delivery.origin)

    def confirm(self, delivery: Delivery, at: datetime) -> None:
        """Write down that a delivery is done.

        Raises:
            StoreError: It could not be written.
        """
        planned = self._newest("planned")
        assert planned is not None
        assert planned["key"] == delivery.key
        self._note({**planned, "status": "done", "at": at})

    def _newest(self, status: str) -> dict[str, Any] | None:
        if not self.store.exists(DELIVERIES):
            return None
        own = self.store.scan(DELIVERIES).filter(
            pl.col("segment") == self.segment,
            pl.col("destination") == self.destination,
            pl.col("status") == status,
        )
        rows = own.sort("number").tail(1).collect().to_dicts()
        return rows[0] if rows else None

    def _people(self) -> pl.DataFrame | None:
        return self.store.scan(self.table).collect() if self.store.exists(self.table) else None

    def _people_of(self, row: dict[str, Any]) -> pl.DataFrame | None:
        """Return the people of a row of `deliveries`; None where they are others or fewer now."""
        people = self._people()
        if people is None or people.filter(pl.col(_NUMBER) != row["number"]).height:
            return None
        changes = people[_CHANGE]
        counts = ((changes != _REMOVE).sum(), (changes == _REMOVE).sum())
        return people if counts == (row["size"], row["removed"]) else None

    def _write(
        self,
        changes: pl.DataFrame,
        version: Version,
        operation: Operation,
        at: datetime,
        origin: str | None = None,
    ) -> Delivery:
        planned, key = self._newest("planned"), uuid.uuid4().hex
        counts = dict(changes[_CHANGE].value_counts().iter_rows())
        row = {
            "segment": self.segment,
            "destination": self.destination,
            "number": 1 if planned is None else planned["number"] + 1,
            "status": "planned",
            "key": key,
            "origin": origin or key,
            "operation": operation,
            "definition_version": version.definition_version,
            "as_of": version.as_of,
            "added": counts.get(_ADD, 0),
            "removed": counts.get(_REMOVE, 0),
            "size": counts.get(_ADD, 0) + counts.get(_KEEP, 0),
            "told": list(version.told),
            "at": at,
        }
        self._note(row)
        people = changes.with_columns(pl.lit(row["number"], pl.Int32).alias(_NUMBER))
        self.store.overwrite(self.table, people)
        return _delivery(row, people)

    def _note(self, row: dict[str, Any]) -> None:
        self.store.append(DELIVERIES, pl.DataFrame([row], schema=_DELIVERIES_SCHEMA))


def _changes(rows: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return who stays, is added, is removed, each with what is told (of the removed: was told)."""
    columns = rows.columns

    def marked(frame: pl.DataFrame, change: int) -> pl.DataFrame:
        return frame.with_columns(pl.lit(change, pl.Int8).alias(_CHANGE))

    def only(
        frame: pl.DataFrame, others: pl.DataFrame, how: Literal["anti", "semi"]
    ) -> pl.DataFrame:
        return frame.join(others, on=columns, how=how, nulls_equal=True)

    return pl.concat(
        [
            marked(only(rows, before, "semi"), _KEEP),
            marked(only(rows, before, "anti"), _ADD),
            marked(only(before, rows, "anti"), _REMOVE),
        ]
    )


def _delivery(row: dict[str, Any], people: pl.DataFrame) -> Delivery:
    """Return the delivery of a row of `deliveries`, with the people of the same plan."""

    def of(*changes: int) -> pl.DataFrame:
        chosen = people.filter(pl.col(_CHANGE).is_in(changes))
        return chosen.drop(_CHANGE, _NUMBER).sort(USER)

    removed, added = of(_REMOVE), of(_ADD)
    return Delivery(
        key=row["key"],
        origin=row["origin"],
        number=row["number"],
        segment=row["segment"],
        definition_version=row["definition_version"],
        as_of=row["as_of"],
        operation=row["operation"],
        added=of(_KEEP, _ADD) if row["operation"] == "replace" else added,
        removed=removed,
        newcomers=added.join(removed, on=USER, how="anti")[USER],
        size=row["size"],
    )
