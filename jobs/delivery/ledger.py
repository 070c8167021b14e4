"""What was handed over, of one segment to one destination, and what was about to be.

The table `deliveries` has a row of each delivery that was planned and one of each that is done. The
table `delivered_<hash>` of the two names holds the people of the newest plan: who stays, who is
added, who is removed, with what the destination is told of them. It is replaced in one commit, and
that commit makes the plan: a planned delivery whose number the table does not have never began.
`exported_<hash>` of a segment holds who was on its last exports, to whatever destination.

All lie in the store, so that an erased person is erased here, too; the number of people no longer
fits then, and the next delivery replaces the whole list. In a store with pseudonyms what is told is
sealed, as it may be a plain id or a hash of an address.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from features.personal import opened_texts, sealed_texts
from features.pseudonyms import Pseudonyms
from features.store import Store
from jobs.delivery.delivery import Delivery, Mode, Operation
from jobs.delivery.rows import USER

DELIVERIES = "deliveries"
KEPT_EXPORTS = 5
"""With so many exports of a segment a new one is compared."""
_DELIVERIES_SCHEMA = pl.Schema(
    {
        "segment": pl.String(),
        "destination": pl.String(),
        "number": pl.Int64(),
        "status": pl.String(),
        "key": pl.String(),
        "mode": pl.String(),
        "operation": pl.String(),
        "definition_version": pl.String(),
        "as_of": pl.Datetime("us", "UTC"),
        "removed": pl.Int64(),
        "size": pl.Int64(),
        "told": pl.List(pl.String()),
        "at": pl.Datetime("us", "UTC"),
    }
)
_EXPORTED_SCHEMA = pl.Schema(
    {USER: pl.String(), "export": pl.String(), "at": pl.Datetime("us", "UTC")}
)
_CHANGE, _NUMBER, _SEALED = "change", "number", "sealed"
_KEEP, _ADD, _REMOVE = 0, 1, -1


@dataclass(frozen=True, kw_only=True)
class Version:
    """Which list of people it is.

    Attributes:
        definition_version: Of the segment.
        as_of: Its moment.
        mode: Whether everybody on it is written to, or a list is kept up.
        told: What the destination is told of people.
    """

    definition_version: str
    as_of: datetime
    mode: Mode
    told: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A delivery that was planned and not confirmed: it may have arrived, or not.

    Attributes:
        key: Of the delivery.
        number: Of the delivery.
        mode: It was planned as.
        told: What the destination would be told.
        delivery: To be handed over again; None where somebody on it was erased since.
    """

    key: str
    number: int
    mode: Mode
    told: tuple[str, ...]
    delivery: Delivery | None


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Of one segment to one destination; whoever writes holds the lock of `table`.

    Attributes:
        store: Where the tables are.
        segment: Name of the segment.
        destination: Name of the destination.
        pseudonyms: Of the store, where it holds any: they seal what is told.
    """

    store: Store
    segment: str
    destination: str
    pseudonyms: Pseudonyms | None = None

    @property
    def table(self) -> str:
        """Name of the table of people."""
        return f"delivered_{_short_hash(self.segment, self.destination)}"

    def num_done(self) -> int:
        """Return the number of the newest delivery that is done, 0 where there is none."""
        done = self._newest("done")
        return 0 if done is None else done["number"]

    def was_told(self) -> bool:
        """Tell whether the destination has, or may have, anybody on its list."""
        done = self._newest("done")
        return self.begun() is not None or (done is not None and done["size"] > 0)

    def begun(self) -> Begun | None:
        """Return the delivery that was planned and is not done; None where there is none."""
        people = self._people()
        if people is None or people.is_empty():
            return None
        number = people[_NUMBER][0]
        row = self._row("planned", number)
        if row is None or number <= self.num_done():
            return None
        delivery = _delivery(row, people) if self._is_whole(row, people) else None
        return Begun(
            key=row["key"],
            number=number,
            mode=row["mode"],
            told=tuple(row["told"]),
            delivery=delivery,
        )

    def previous(self) -> pl.DataFrame | None:
        """Return the rows that the destination has; None where it has none, or not known which.

        That is not known where a person was erased since, or the delivery after it never ended.
        """
        done, people = self._newest("done"), self._people()
        if done is None or people is None or not self._is_whole(done, people):
            return None
        rows = people.filter(pl.col(_CHANGE) != _REMOVE)
        return rows.select(USER, *done["told"]) if len(rows) else None

    def on_list(self) -> pl.Series:
        """Return who is known to be on the list at the destination, erased ones left out."""
        people = self._people()
        if people is None:
            return pl.Series(USER, [], dtype=pl.String)
        is_done = pl.col(_NUMBER) <= self.num_done()
        was_on = pl.col(_CHANGE) == _KEEP
        return people.filter(was_on | (is_done & (pl.col(_CHANGE) == _ADD)))[USER].unique()

    def plan(
        self,
        rows: pl.DataFrame,
        version: Version,
        *,
        previous: pl.DataFrame | None,
        old: pl.Series,
        at: datetime,
    ) -> Delivery:
        """Write down a delivery that is about to be made, and return it.

        Args:
            rows: `user_id` and what is told of everybody who is to be on the list.
            version: Of the list.
            previous: The rows that the destination has, of the same columns; None for a replace.
            old: Who was on the list before, and is no newcomer.
            at: Now.

        Raises:
            StoreError: It could not be written.
        """
        if previous is not None:
            changes = _changes(rows, previous)
        else:
            is_old = pl.col(USER).is_in(old.implode())
            change = pl.when(is_old).then(_KEEP).otherwise(_ADD).cast(pl.Int8)
            changes = rows.with_columns(change.alias(_CHANGE))
        planned = self._newest("planned")
        row = {
            "segment": self.segment,
            "destination": self.destination,
            "number": 1 if planned is None else planned["number"] + 1,
            "status": "planned",
            "key": uuid.uuid4().hex,
            "mode": version.mode,
            "operation": "replace" if previous is None else "update",
            "definition_version": version.definition_version,
            "as_of": version.as_of,
            "removed": int((changes[_CHANGE] == _REMOVE).sum()),
            "size": int((changes[_CHANGE] != _REMOVE).sum()),
            "told": list(version.told),
            "at": at,
        }
        self._note(row)
        people = changes.with_columns(pl.lit(row["number"], pl.Int32).alias(_NUMBER))
        self.store.overwrite(self.table, self._closed(people))
        return _delivery(row, people)

    def confirm(self, delivery: Delivery, at: datetime) -> None:
        """Write down that a delivery is done, and forget the lists before it.

        Raises:
            StoreError: It could not be written.
        """
        planned = self._row("planned", delivery.number)
        assert planned is not None
        assert planned["key"] == delivery.key
        if planned["mode"] == "export":
            self._keep_export(delivery, at)
        self._note({**planned, "status": "done", "at": at})
        self.store.compact(DELIVERIES)
        if self.store.is_local:
            self.store.forget_history(self.table)

    def exports(self) -> dict[str, pl.Series]:
        """Return who was on the last exports of this segment, to whatever destination, by name.

        The oldest first.
        """
        if not self.store.exists(self._exported):
            return {}
        rows = self.store.scan(self._exported).sort("at", "export").collect()
        by_export = rows.group_by("export", maintain_order=True)
        return {str(name): part[USER] for (name,), part in by_export}

    @property
    def _exported(self) -> str:
        return f"exported_{_short_hash(self.segment)}"

    def _keep_export(self, delivery: Delivery, at: datetime) -> None:
        name = f"delivery {delivery.number} to {self.destination}"
        fresh = (
            delivery.members.rename(USER)
            .to_frame()
            .with_columns(export=pl.lit(name), at=pl.lit(at).cast(pl.Datetime("us", "UTC")))
        )
        with self.store.lock(self._exported):
            kept = _EXPORTED_SCHEMA.to_frame()
            if self.store.exists(self._exported):
                kept = self.store.scan(self._exported).collect()
            rows = pl.concat([kept.filter(pl.col("export") != name), fresh])
            newest = rows["at"].unique().sort(descending=True).head(KEPT_EXPORTS)
            self.store.overwrite(self._exported, rows.filter(pl.col("at").is_in(newest.implode())))
            if self.store.is_local:
                self.store.forget_history(self._exported)

    def _rows_of(self, status: str) -> pl.LazyFrame | None:
        if not self.store.exists(DELIVERIES):
            return None
        return self.store.scan(DELIVERIES).filter(
            pl.col("segment") == self.segment,
            pl.col("destination") == self.destination,
            pl.col("status") == status,
        )

    def _newest(self, status: str) -> dict[str, Any] | None:
        own = self._rows_of(status)
        rows = [] if own is None else own.sort("number").tail(1).collect().to_dicts()
        return rows[0] if rows else None

    def _row(self, status: str, number: int) -> dict[str, Any] | None:
        own = self._rows_of(status)
        rows = [] if own is None else own.filter(pl.col("number") == number).collect().to_dicts()
        return rows[0] if rows else None

    def _people(self) -> pl.DataFrame | None:
        if not self.store.exists(self.table):
            return None
        return self._opened(self.store.scan(self.table).collect())

    def _is_whole(self, row: dict[str, Any], people: pl.DataFrame) -> bool:
        """Tell whether people are those of a row of `deliveries`, and none was erased since."""
        if people.filter(pl.col(_NUMBER) != row["number"]).height:
            return False
        num_removed = int((people[_CHANGE] == _REMOVE).sum())
        return (len(people) - num_removed, num_removed) == (row["size"], row["removed"])

    def _closed(self, people: pl.DataFrame) -> pl.DataFrame:
        """Seal the texts that are told, where the store holds pseudonyms."""
        texts = [name for name in people.columns if people.schema[name] == pl.String]
        texts = [name for name in texts if name != USER]
        if self.pseudonyms is None or not texts:
            return people
        rows = [json.dumps(row) for row in people.select(texts).to_dicts()]
        sealed = sealed_texts(rows, people[USER].to_list(), self.pseudonyms)
        return people.drop(texts).with_columns(pl.Series(_SEALED, sealed, dtype=pl.Binary))

    def _opened(self, people: pl.DataFrame) -> pl.DataFrame:
        if _SEALED not in people.columns or self.pseudonyms is None or people.is_empty():
            return people
        texts = opened_texts(
            people[_SEALED].to_list(), people[USER].to_list(), self.pseudonyms, where=self.table
        )
        rows = [json.loads(text) for text in texts]
        told = {name: [row[name] for row in rows] for name in rows[0]}
        opened = [pl.Series(name, values, dtype=pl.String) for name, values in told.items()]
        return people.drop(_SEALED).with_columns(opened)

    def _note(self, row: dict[str, Any]) -> None:
        self.store.append(DELIVERIES, pl.DataFrame([row], schema=_DELIVERIES_SCHEMA))


def _short_hash(*names: str) -> str:
    return hashlib.sha256("\x00".join(names).encode()).hexdigest()[:16]


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

    removed, added, members = of(_REMOVE), of(_ADD), of(_KEEP, _ADD)
    operation: Operation = row["operation"]
    return Delivery(
        key=row["key"],
        number=row["number"],
        segment=row["segment"],
        definition_version=row["definition_version"],
        as_of=row["as_of"],
        operation=operation,
        added=members if operation == "replace" else added,
        removed=removed,
        newcomers=added.join(removed, on=USER, how="anti")[USER],
        members=members[USER],
    )
