"""From a segment to a destination: chosen, asked for consent, planned, asked again, handed over.

Every step may be the last before a kill. What was planned and not confirmed is handed over again
under the same key as long as it still holds; else a whole list, chosen anew, takes its place, and
the destination's list is right again whatever had arrived. Contacts are noted before anything
leaves, so that a kill can make one too many and never one too few; see `jobs.delivery.ledger`.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from features.pseudonyms import Pseudonyms
from features.store import Store
from jobs.delivery.audit_log import AuditLog
from jobs.delivery.delivery import Delivery, Mode, OnStage, Receipt
from jobs.delivery.drafts import Draft, Drafting
from jobs.delivery.ledger import Begun, Ledger, Version
from jobs.delivery.rows import USER
from jobs.delivery.target import Target
from jobs.errors import DeliveryError, GateRefusedError, JobsError
from recsys.segments.disclosure import size_refusal

_MOST_DRAFTS = 3


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
class DeliveryReport:
    """What was done.

    Attributes:
        delivery: What was handed over; None where nothing had changed.
        receipt: Of the destination; None likewise.
        audit_hash: Of the entry in the audit log; None likewise.
        was_resumed: Whether it was planned by an earlier run that did not end.
        dropped: Rule to users who were left out by it, of a newly planned list.
        withheld: Users who could no longer be reached when the plan was asked about again.
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
        on_plan: Told the ids of who is sent and of who is held out, of a newly planned list.
    """

    store: Store
    audit: AuditLog
    actor: dict[str, Any]
    now: Callable[[], datetime]
    pseudonyms: Pseudonyms | None = None
    on_stage: OnStage = lambda stage: None
    on_plan: Callable[[pl.Series, pl.Series], None] = lambda sent, control: None

    def run(self, audience: Audience, target: Target, mode: Mode) -> DeliveryReport:
        """Hand over a segment: the whole list (export), or what has changed of it (sync).

        A list of the same kind that an earlier run did not end is ended first, where it still
        holds, and nothing else is done then.

        Raises:
            GateRefusedError: The list, or its change, would tell too much of single people.
            BadInputError, DeliveryError: See `Destination`.
            StoreError: A table is damaged or cannot be written.
            TamperedLogError: The audit log does not fit; nothing was handed over.
        """
        ledger = Ledger(
            store=self.store,
            segment=audience.segment,
            destination=target.name,
            pseudonyms=self.pseudonyms,
        )
        with self.store.lock(ledger.table):
            self.audit.entries()
            target.destination.check()
            begun = ledger.begun()
            if begun is not None:
                ended = self._end(begun, ledger, target, mode)
                if ended is not None:
                    return ended
            return self._begin(ledger, audience, target, mode, begun)

    def _end(
        self, begun: Begun, ledger: Ledger, target: Target, mode: Mode
    ) -> DeliveryReport | None:
        """End what an earlier run began, where it has arrived or still holds."""
        if begun.delivery is None:
            return None
        has_arrived = target.destination.has(begun.key, ledger.segment)
        if not has_arrived:
            still_holds = (
                begun.mode == mode
                and begun.told == target.destination.rows.told
                and self._holds(begun.delivery, ledger, target)
            )
            if not still_holds:
                return None
        note = (
            f"an earlier run did not end: its list, number {begun.number}, is done. Run this again "
            "for who is in the segment now"
        )
        self._note_contacts(begun.delivery, target, self._drafting(ledger, target))
        if has_arrived:
            receipt = Receipt(place="arrived with the earlier run")
        else:
            receipt = self._hand_over(begun.delivery, target)
        return self._finish(begun.delivery, receipt, target, ledger, [note], was_resumed=True)

    def _holds(self, delivery: Delivery, ledger: Ledger, target: Target) -> bool:
        """Tell whether a list may still go out as it was planned."""
        if size_refusal(delivery.size, least_size=target.min_size) is not None and delivery.size:
            return False
        with self.store.lock(_channel_lock(target)):
            return not len(self._drafting(ledger, target).unreachable(delivery.members))

    def _begin(
        self,
        ledger: Ledger,
        audience: Audience,
        target: Target,
        mode: Mode,
        begun: Begun | None,
    ) -> DeliveryReport:
        self.on_stage("choose")
        chosen = audience.user_ids().cast(pl.String).rename(USER).unique()
        version = Version(
            definition_version=audience.definition_version,
            as_of=audience.as_of,
            mode=mode,
            told=target.destination.rows.told,
        )
        previous = None if begun is not None else ledger.previous()
        drafting, was_told = self._drafting(ledger, target), ledger.was_told()
        withheld, notes = 0, []
        if begun is not None:
            notes.append(
                f"an earlier run did not end, and its list, number {begun.number}, no longer "
                "holds: a whole one takes its place"
            )
        # Of one channel only one list is put together at a time: else two could pass its cap.
        with self.store.lock(_channel_lock(target)):
            for _ in range(_MOST_DRAFTS):
                self.on_stage("ask for consent")
                draft = drafting.draft(chosen, previous, mode, was_told=was_told)
                if draft.refusal is not None:
                    self._refuse(draft.refusal, audience, target)
                if draft.changes_nothing:
                    return _nothing(draft, notes)
                self.on_stage("plan")
                delivery = ledger.plan(
                    draft.rows,
                    version,
                    previous=draft.previous,
                    old=drafting.old(mode),
                    at=self.now(),
                )
                self.on_stage("ask for consent again")
                lost = drafting.unreachable(delivery.members)
                if not len(lost):
                    break
                withheld += len(lost)
            else:
                raise DeliveryError("consent changes while lists are planned: run this again later")
            self.on_plan(delivery.members, draft.control)
            self._note_contacts(delivery, target, drafting)
        receipt = self._hand_over(delivery, target)
        report = self._finish(delivery, receipt, target, ledger, [*notes, *draft.notes])
        return replace(report, dropped=draft.dropped, withheld=withheld)

    def _drafting(self, ledger: Ledger, target: Target) -> Drafting:
        return Drafting(
            store=self.store,
            ledger=ledger,
            target=target,
            pseudonyms=self.pseudonyms,
            now=self.now,
        )

    def _note_contacts(self, delivery: Delivery, target: Target, drafting: Drafting) -> None:
        if not target.is_contact or not len(delivery.newcomers):
            return
        self.on_stage("note contacts")
        contacts = pl.DataFrame(
            {"contact_id": drafting.contact_ids(delivery.newcomers), USER: delivery.newcomers}
        ).with_columns(
            channel=pl.lit(target.channel),
            segment=pl.lit(delivery.segment),
            definition_version=pl.lit(delivery.definition_version),
            contacted_at=pl.lit(self.now()),
        )
        self.store.upsert("contacts", contacts, ["contact_id"])

    def _hand_over(self, delivery: Delivery, target: Target) -> Receipt:
        self.on_stage("write down")
        self._log("planned", target, **delivery.facts())
        self.on_stage("hand over")
        try:
            return target.destination.deliver(delivery, self.on_stage)
        except Exception as error:
            # What went wrong is told, whatever the log has to say.
            with suppress(JobsError):
                self._log("failed", target, **delivery.facts(), why=str(error))
            raise

    def _finish(
        self,
        delivery: Delivery,
        receipt: Receipt,
        target: Target,
        ledger: Ledger,
        notes: list[str],
        *,
        was_resumed: bool = False,
    ) -> DeliveryReport:
        self.on_stage("audit")
        audit_hash = self._delivered_hash(delivery.key) if was_resumed else None
        if audit_hash is None:
            facts = {**delivery.facts(), "place": receipt.place, "receipt": receipt.details}
            audit_hash = self._log("delivered", target, **facts)
        self.on_stage("confirm")
        ledger.confirm(delivery, self.now())
        return DeliveryReport(
            delivery=delivery,
            receipt=receipt,
            audit_hash=audit_hash,
            was_resumed=was_resumed,
            dropped={},
            withheld=0,
            notes=notes,
        )

    def _delivered_hash(self, key: str) -> str | None:
        """Return the hash of the entry that a killed run wrote of a delivery; None without one."""
        entries = self.audit.entries()
        own = (one for one in entries if one.get("key") == key and one["kind"] == "delivered")
        return next((one["hash"] for one in own), None)

    def _refuse(self, why: str, audience: Audience, target: Target) -> None:
        self._log(
            "refused",
            target,
            segment=audience.segment,
            definition_version=audience.definition_version,
            as_of=audience.as_of.isoformat(),
            why=why,
        )
        raise GateRefusedError(f"{audience.segment} to {target.name}: {why}")

    def _log(self, kind: str, target: Target, **more: Any) -> str:
        entry = {
            "kind": kind,
            "at": self.now().isoformat(),
            "actor": self.actor,
            "destination": target.name,
            "channel": target.channel,
        }
        return self.audit.append({**entry, **more})


def _channel_lock(target: Target) -> str:
    named = target.channel.strip().lower().encode()
    return f"channel-{hashlib.sha256(named).hexdigest()[:16]}"


def _nothing(draft: Draft, notes: list[str]) -> DeliveryReport:
    return DeliveryReport(
        delivery=None,
        receipt=None,
        audit_hash=None,
        was_resumed=False,
        dropped=draft.dropped,
        withheld=0,
        notes=[*notes, *draft.notes, "nothing has changed since the last delivery"],
    )
