"""Who is to be on a list: who was chosen, less whom it may not reach, less who is held out."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import polars as pl

from features.pseudonyms import Pseudonyms
from features.store import Store
from jobs.delivery.delivery import Mode
from jobs.delivery.ledger import Ledger
from jobs.delivery.rows import USER
from jobs.delivery.target import Target
from jobs.segment_tables import admission_tables
from recsys.segments.admission import Admission, admit, narrowed
from recsys.segments.disclosure import differencing_refusal, size_refusal
from recsys.segments.holdout import Holdout, held_out

NO_ADDRESS = "no address"
HELD_OUT = "held out"
_NOBODY = Holdout(share=0.0, salt="nobody")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A list that may be planned.

    Attributes:
        rows: `user_id` and what is told of everybody on it.
        previous: The rows that it changes; None where it replaces whatever there is.
        control: Who could be on it and is held out.
        dropped: Rule to users who were left out by it.
        refusal: Why it must not go out; None where it may.
        notes: Sentences for people.
    """

    rows: pl.DataFrame
    previous: pl.DataFrame | None
    control: pl.Series
    dropped: dict[str, int]
    refusal: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def changes_nothing(self) -> bool:
        """Whether the destination has exactly these rows."""
        if self.previous is None:
            return False
        columns = self.rows.columns
        same = self.rows.join(self.previous, on=columns, how="semi", nulls_equal=True)
        return len(same) == len(self.rows) == len(self.previous)


@dataclass(frozen=True)
class _Reached:
    """Whom a list can reach: rows of who is on it, who is held out, who was dropped by which."""

    rows: pl.DataFrame
    control: pl.Series
    dropped: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Drafting:
    """Drafts lists of one segment to one destination.

    Attributes:
        store: Where the tables are.
        ledger: Of segment and destination.
        target: Where lists go.
        pseudonyms: Of the store, where it holds any.
        now: The clock.
    """

    store: Store
    ledger: Ledger
    target: Target
    pseudonyms: Pseudonyms | None
    now: Callable[[], datetime]

    def old(self, mode: Mode) -> pl.Series:
        """Return who is on the list already; an export is a message to everybody anew."""
        return self._on_list.clear() if mode == "export" else self._on_list

    def draft(
        self, chosen: pl.Series, previous: pl.DataFrame | None, mode: Mode, *, was_told: bool
    ) -> Draft:
        """Draft a list.

        Args:
            chosen: Ids of the segment's members, each once.
            previous: Rows that the destination has, where they are known.
            mode: See `Mode`.
            was_told: Whether the destination has, or may have, a list.
        """
        found = self._reached(chosen, self.old(mode))
        rows, notes = found.rows, []
        can_update = mode == "sync" and previous is not None and previous.columns == rows.columns
        base = previous if can_update else None
        if mode == "sync" and was_told and base is None:
            notes.append("the whole list is sent, since not all of the one before is known")
        told_apart = self._told_apart(rows[USER], mode)
        if told_apart is not None and mode == "sync" and base is not None:
            # What has to leave leaves; everything else waits until more has changed.
            kept = self._reached(base[USER], base[USER]).rows[USER]
            rows = base.filter(pl.col(USER).is_in(kept.implode()))
            notes.append(f"{told_apart}; only who may no longer be reached is taken off")
        refusal = told_apart if mode == "export" else None
        too_small = size_refusal(len(rows), least_size=self.target.min_size)
        if too_small is not None and mode == "sync" and was_told:
            rows = rows.clear()
            notes.append(f"{too_small}: the list at the destination is emptied")
        elif too_small is not None:
            refusal = f"{too_small}. {_left_out(len(chosen), found.dropped)}"
        return Draft(
            rows=rows,
            previous=base,
            control=found.control,
            dropped=found.dropped,
            refusal=refusal,
            notes=notes,
        )

    def unreachable(self, members: pl.Series) -> pl.Series:
        """Return who of a planned list may not be on it any more."""
        reached = self._reached(members, members).rows[USER]
        return members.filter(~members.is_in(reached.implode()))

    def contact_ids(self, user_ids: pl.Series) -> pl.Series:
        """Name the contacts of who is put on the list: the same until a delivery is done."""
        base = f"{self.ledger.table}\x00{self._num_done}\x00"
        ids = [hashlib.sha256(f"{base}{user}".encode()).hexdigest()[:32] for user in user_ids]
        return pl.Series("contact_id", ids, dtype=pl.String)

    def _reached(self, members: pl.Series, old: pl.Series) -> _Reached:
        admission = self._admitted(members, old)
        rows = self.target.destination.rows.of(self.store, admission.user_ids, self.pseudonyms)
        # Drawn last: who is left alone could have been reached, as those who are not.
        is_left_alone = held_out(rows[USER], self.target.holdout or _NOBODY)
        told = rows.filter(~is_left_alone)
        return _Reached(
            rows=told,
            control=rows.filter(is_left_alone)[USER],
            dropped={
                **admission.dropped,
                NO_ADDRESS: len(admission.user_ids) - len(rows),
                HELD_OUT: len(rows) - len(told),
            },
        )

    def _admitted(self, members: pl.Series, old: pl.Series) -> Admission:
        """Ask whom a list may reach; of who is on it already, frequency caps ask nothing."""
        tables = narrowed(admission_tables(self.store), members)
        target, is_old = self.target, members.is_in(old.implode())
        if target.cap is not None:
            # Contacts of an attempt before at this very list do not count.
            own = self.contact_ids(members).to_frame().lazy()
            counted = tables.contacts.join(own, on="contact_id", how="anti")
            tables = replace(tables, contacts=counted)
        found = [
            admit(tables, part, channel=target.channel, at=self.now(), caps=cap)
            for part, cap in ((members.filter(is_old), None), (members.filter(~is_old), target.cap))
        ]
        return Admission(
            pl.concat([part.user_ids for part in found]).sort(),
            {rule: sum(part.dropped[rule] for part in found) for rule in found[0].dropped},
        )

    def _told_apart(self, members: pl.Series, mode: Mode) -> str | None:
        """Say why a list must not follow those before it; None where it may."""
        target = self.target
        least = target.least_export_change if mode == "export" else target.least_sync_change
        if least is None:
            return None
        lists = self.ledger.exports() if mode == "export" else {}
        if len(self._on_list):
            lists["the list there now"] = self._on_list
        if not lists:
            return None
        before = pl.concat(list(lists.values())).unique()
        reached = self._reached(before, before).rows[USER]
        withdrawn = before.filter(~before.is_in(reached.implode()))
        return differencing_refusal(members, lists, least_change=least, withdrawn=withdrawn)

    @cached_property
    def _on_list(self) -> pl.Series:
        return self.ledger.on_list()

    @cached_property
    def _num_done(self) -> int:
        return self.ledger.num_done()


def _left_out(chosen: int, dropped: dict[str, int]) -> str:
    told = ", ".join(f"{count:,} {rule}" for rule, count in dropped.items() if count)
    return f"The segment has {chosen:,}; left out are {told or 'none'}"
