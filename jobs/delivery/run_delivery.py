"""From a segment to a destination: chosen, asked for consent, planned, asked again, handed over.

Every step may be the last before a kill. What was planned and not confirmed is handed over again by
the next run under the same key, to whom it may still reach; see `jobs.delivery.ledger`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import polars as pl

from features.pseudonyms import Pseudonyms
from features.store import Store
from jobs.delivery.audit_log import AuditLog
from jobs.delivery.delivery import Delivery, Destination, OnStage, Operation, Receipt
from jobs.delivery.ledger import Ledger, Version
from jobs.delivery.rows import USER
from jobs.errors import GateRefusedError
from jobs.segment_tables import admission_tables
from recsys.segments.admission import Admission, FrequencyCap, admit, narrowed
from recsys.segments.disclosure import differencing_refusal, size_refusal
from recsys.segments.holdout import Holdout, held_out
from recsys.segments.section import LEAST_SIZE

Mode = Literal["export", "sync"]
NO_ADDRESS = "no address"
HELD_OUT = "held out"
_NOBODY = Holdout(share=0.0, salt="nobody")


@dataclass(frozen=True, kw_only=True)
class Audience:
    """Who is in a segment, before anybody asks whom it may reach.

    Attributes:
        segment: Its name.
        definition_version: Of the segment.
        as_of: Its moment.
        user_ids: As stored; called only where a list is planned.
    """

    segment: str
    definition_version: str
    as_of: datetime
    user_ids: Callable[[], pl.Series]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a list goes, and by which rules.

    Attributes:
        name: Of the destination.
        destination: It.
        channel: Whose consent is needed.
        cap: How often people may be written to in the channel; None for any number.
        holdout: Who is left alone; None for nobody.
        min_size: Smaller lists are refused.
        least_export_change: A whole list may differ from the one before by nobody or at least so
            many; None for any.
        least_sync_change: The same of an update, which is held back until there are so many.
        is_contact: Whether being put on the list counts as a contact.
    """

    name: str
    destination: Destination
    channel: str
    cap: FrequencyCap | None = None
    holdout: Holdout | None = None
    min_size: int = LEAST_SIZE
    least_export_change: int | None = None
    least_sync_change: int | None = None
    is_contact: bool = True


@dataclass(frozen=True, kw_only=True)
class DeliveryReport:
    """What was done.

    Attributes:
        delivery: What was handed over; None where nothing had changed.
        receipt: Of the destination; None likewise.
        audit_hash: Of the entry in the audit log; None likewise.
        was_resumed: Whether it was planned by an earlier run that did not end.
        dropped: Rule to users who were left out by it, of a newly planned list.
        withheld: Users who were planned and may no longer be reached.
        notes: Sentences for people.
    """

    delivery: Delivery | None
    receipt: Receipt | None
    audit_hash: str | None
    was_resumed: bool
    dropped: dict[str, int]
    withheld: int
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types; no ids."""
        return {
            "delivery": None if self.delivery is None else self.delivery.facts(),
            "place": None if self.receipt is None else self.receipt.place,
            "details": None if self.receipt is None else self.receipt.details,
            "audit_hash": self.audit_hash,
            "was_resumed": self.was_resumed,
            "dropped": self.dropped,
            "withheld": self.withheld,
            "notes": self.notes,
        }


@dataclass(frozen=True, kw_only=True)
class Delivering:
    """Hands lists over.

    Attributes:
        store: Where the tables are.
        audit: Where it is written down.
        actor: Who does it, JSON types, for the audit log.
        now: The clock, with a zone.
        pseudonyms: Of the store, where it holds any.
        on_stage: See `OnStage`.
        on_control: Told the ids of who is held out of a newly planned list.
    """

    store: Store
    audit: AuditLog
    actor: dict[str, Any]
    now: Callable[[], datetime]
    pseudonyms: Pseudonyms | None = None
    on_stage: OnStage = lambda stage: None
    on_control: Callable[[pl.Series], None] = lambda control: None

    def run(self, audience: Audience, target: Target, mode: Mode) -> DeliveryReport:
        """Hand over a segment: the whole list (export), or what has changed of it (sync).

        An earlier run that did not end is ended first, and nothing else is done then.

        Raises:
            GateRefusedError: The list, or its change, would tell too much of single people.
            BadInputError, DeliveryError: See `Destination`.
            StoreError: A table is damaged or cannot be written.
            TamperedLogError: The audit log does not fit; nothing was handed over.
        """
        ledger = Ledger(store=self.store, segment=audience.segment, destination=target.name)
        version = Version(
            segment=audience.segment,
            definition_version=audience.definition_version,
            as_of=audience.as_of,
            told=target.destination.rows.told,
        )
        with self.store.lock(ledger.table):
            self.audit.verify()
            target.destination.check()
            pending = ledger.pending()
            was_resumed = pending is not None
            dropped, notes = {}, []
            if pending is None:
                pending, dropped, notes = self._plan(ledger, version, audience, target, mode)
            else:
                notes = [f"an earlier run did not end: its list, number {pending.number}, is done"]
            if pending is None:
                return DeliveryReport(
                    delivery=None,
                    receipt=None,
                    audit_hash=None,
                    was_resumed=False,
                    dropped=dropped,
                    withheld=0,
                    notes=notes,
                )
            self.on_stage("ask for consent again")
            withheld = self._withheld(ledger, pending, target)
            if len(withheld):
                pending = ledger.without(pending, withheld, version, self.now())
            self.on_stage("hand over")
            receipt = target.destination.deliver(pending, self.on_stage)
            audit_hash = self._write_down(pending, receipt, target, ledger)
        return DeliveryReport(
            delivery=pending,
            receipt=receipt,
            audit_hash=audit_hash,
            was_resumed=was_resumed,
            dropped=dropped,
            withheld=len(withheld),
            notes=notes,
        )

    def _plan(
        self, ledger: Ledger, version: Version, audience: Audience, target: Target, mode: Mode
    ) -> tuple[Delivery | None, dict[str, int], list[str]]:
        """Plan a list; return it with who was left out and notes, None where nothing changes."""
        self.on_stage("choose")
        chosen = audience.user_ids().cast(pl.String).rename(USER).unique()
        self.on_stage("ask for consent")
        on_list = ledger.members()
        old = on_list.clear() if mode == "export" else on_list
        admission = self._admit(chosen, old, target)
        reached = target.destination.rows.of(self.store, admission.user_ids, self.pseudonyms)
        # Drawn last: who is left alone could have been reached, as those who are not.
        is_left_alone = held_out(reached[USER], target.holdout or _NOBODY)
        rows = reached.filter(~is_left_alone)
        dropped = {
            **admission.dropped,
            NO_ADDRESS: len(admission.user_ids) - len(reached),
            HELD_OUT: len(reached) - len(rows),
        }
        self.on_control(reached.filter(is_left_alone)[USER])
        previous, notes = ledger.previous(), []
        is_export = mode == "export"
        least_change = target.least_export_change if is_export else target.least_sync_change
        refusal = size_refusal(len(rows), least_size=target.min_size)
        if refusal is not None and (is_export or not len(on_list)):
            self._refuse(f"{refusal}. {_left_out(len(chosen), dropped)}", audience, target)
        if refusal is not None:
            rows = rows.clear()
            notes.append(f"{refusal}: the list at the destination is emptied")
        elif least_change is not None and previous is not None:
            withdrawn = self._withdrawn(previous[USER], target)
            told = differencing_refusal(
                rows[USER],
                {f"delivery {(ledger.done() or {}).get('number')}": previous[USER]},
                least_change=least_change,
                withdrawn=withdrawn,
            )
            if told is not None and is_export:
                self._refuse(told, audience, target)
            if told is not None:
                rows = previous.filter(~pl.col(USER).is_in(withdrawn.implode()))
                notes.append(f"{told}; only who may no longer be reached is taken off")
        can_update = previous is not None and previous.columns == rows.columns
        operation: Operation = "update" if can_update and not is_export else "replace"
        if not is_export and not can_update and len(on_list):
            notes.append("the whole list is sent, since not all of the one before is known")
        if operation == "update" and previous is not None:
            same = rows.join(previous, on=rows.columns, how="semi", nulls_equal=True)
            if len(same) == len(rows) == len(previous):
                return None, dropped, [*notes, "nothing has changed since the last delivery"]
        self.on_stage("plan")
        delivery = ledger.plan(rows, version, operation=operation, old=old, at=self.now())
        return delivery, dropped, notes

    def _admit(
        self,
        members: pl.Series,
        old: pl.Series,
        target: Target,
        uncounted: pl.Series | None = None,
    ) -> Admission:
        """Ask whom a list may reach; of who is on it already, frequency caps ask nothing.

        Args:
            members: Ids.
            old: Who of them is on the list.
            target: With channel and cap.
            uncounted: Ids of contacts that do not count, as they are this list itself.
        """
        tables = admission_tables(self.store)
        if uncounted is not None:
            own = uncounted.rename("contact_id").to_frame().lazy()
            counted = tables.contacts.join(own, on="contact_id", how="anti")
            tables = replace(tables, contacts=counted)
        # Read once, for both parts.
        tables, is_old = narrowed(tables, members), members.is_in(old.implode())
        found = [
            admit(tables, part, channel=target.channel, at=self.now(), caps=cap)
            for part, cap in ((members.filter(is_old), None), (members.filter(~is_old), target.cap))
        ]
        return Admission(
            pl.concat([part.user_ids for part in found]).sort(),
            {rule: sum(part.dropped[rule] for part in found) for rule in found[0].dropped},
        )

    def _withdrawn(self, user_ids: pl.Series, target: Target) -> pl.Series:
        reached = self._admit(user_ids, user_ids, target).user_ids
        return user_ids.filter(~user_ids.is_in(reached.implode()))

    def _withheld(self, ledger: Ledger, pending: Delivery, target: Target) -> pl.Series:
        """Return who of a planned list may no longer be reached."""
        planned = ledger.members()
        old = planned.filter(~planned.is_in(pending.newcomers.implode()))
        own = _contact_ids(pending)
        reached = self._admit(planned, old, target, own).user_ids
        return planned.filter(~planned.is_in(reached.implode()))

    def _write_down(
        self, delivery: Delivery, receipt: Receipt, target: Target, ledger: Ledger
    ) -> str:
        at = self.now()
        if target.is_contact and len(delivery.newcomers):
            self.on_stage("note contacts")
            contacts = pl.DataFrame(
                {"contact_id": _contact_ids(delivery), USER: delivery.newcomers}
            ).with_columns(
                channel=pl.lit(target.channel),
                segment=pl.lit(delivery.segment),
                definition_version=pl.lit(delivery.definition_version),
                contacted_at=pl.lit(at),
            )
            self.store.upsert("contacts", contacts, ["contact_id"])
        self.on_stage("audit")
        audit_hash = self._audited(delivery.key) or self.audit.append(
            {
                "kind": "delivered",
                **self._entry(target),
                **delivery.facts(),
                "place": receipt.place,
                **({"receipt": receipt.details} if receipt.details else {}),
            }
        )
        self.on_stage("confirm")
        ledger.confirm(delivery, at)
        return audit_hash

    def _audited(self, key: str) -> str | None:
        """Return the hash of the entry of a delivery that is in the log already."""
        return next((e["hash"] for e in self.audit.entries() if e.get("key") == key), None)

    def _refuse(self, why: str, audience: Audience, target: Target) -> None:
        self.audit.append(
            {
                "kind": "refused",
                **self._entry(target),
                "segment": audience.segment,
                "definition_version": audience.definition_version,
                "as_of": audience.as_of.isoformat(),
                "why": why,
            }
        )
        raise GateRefusedError(f"{audience.segment} to {target.name}: {why}")

    def _entry(self, target: Target) -> dict[str, Any]:
        return {
            "at": self.now().isoformat(),
            "actor": self.actor,
            "destination": target.name,
            "channel": target.channel,
        }


def _left_out(chosen: int, dropped: dict[str, int]) -> str:
    told = ", ".join(f"{count:,} {rule}" for rule, count in dropped.items() if count)
    return f"The segment has {chosen:,}; left out are {told or 'none'}"


def _contact_ids(delivery: Delivery) -> pl.Series:
    """Name the contacts that a delivery makes: the same whenever it is tried again."""
    ids = [
        hashlib.sha256(f"{delivery.origin}\x00{user}".encode()).hexdigest()[:32]
        for user in delivery.newcomers
    ]
    return pl.Series("contact_id", ids, dtype=pl.String)
