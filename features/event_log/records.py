"""What an event log takes and gives, and what every event log can do.

A log is a sequence of entries in the order in which they became durable. Several processes append
to one log and read it; each appended record is there once, whatever is sent again. Drains, such as
`sentirec ingest --from-event-log`, keep how far they got in the log itself.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Kind = Literal["event", "feedback", "review", "signals", "exposure", "erasure", "erased"]
"""What users did; what they said of recommendations; reviews; what was read in those; what was
shown; who is to be erased; that somebody was, under `EventLog.name_hash`."""
KINDS: tuple[Kind, ...] = get_args(Kind)
WRITTEN_BY_LOG: tuple[Kind, ...] = ("erasure", "erased")
"""Kinds that are appended by erasing alone."""
PRUNED: tuple[Kind, ...] = ("event", "review", "signals", "exposure", "erased")
"""Kinds that go once they are in the tables: answers need the others as long as they stand."""
MAX_AHEAD_S = 300
"""How far what happened may lie ahead of the clock of the server that is told of it."""
Outcome = Literal["added", "known", "erased"]
"""What became of a record: it is new; one of its kind and key is there; its user was erased."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One thing to be kept.

    Attributes:
        kind: Which; those in `WRITTEN_BY_LOG` are no part of an append.
        key: Names the record among those of its kind.
        user_id: Whose it is, as the tables know them; empty for nobody's.
        received_at: Microseconds since the epoch.
        content: JSON.
    """

    kind: Kind
    key: str
    user_id: str
    received_at: int
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Entry(Record):
    """A record and its place.

    Attributes:
        position: Larger than that of every entry before it; never given twice.
    """

    position: int


class Tail(Protocol):
    """A reader that keeps up with a log; of one thread."""

    def poll(self) -> list[Entry]:
        """Return what was appended since the last poll, but for exposures.

        All that was acknowledged before the call is there. Costs next to nothing where there is
        nothing new.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class EventLog(Protocol):
    """What every event log can do. All methods may be called by any thread."""

    def submit(self, records: Sequence[Record]) -> "Future[list[Outcome]]":
        """Append records, in one piece: all of them are there or none.

        Returns:
            What became of each, once the records are on the disk; `EventLogError` where they could
            not be written.
        """
        ...

    def append(self, records: Sequence[Record]) -> list[Outcome]:
        """Append records and wait until they are on the disk."""
        ...

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return the first entries after a position, in order, at most `limit`."""
        ...

    def feedback(self, through: int) -> list[Entry]:
        """Return the feedback up to a position, in order."""
        ...

    def tail(self, after: int = 0) -> Tail:
        """Return a reader of what comes after a position."""
        ...

    def erase(self, user_id: str, received_at: int) -> int:
        """Delete a user's entries, refuse all that is to come, and append an `erasure`.

        Returns:
            How many entries there were.
        """
        ...

    def complete_erasure(self, user_id: str) -> None:
        """Put an `erased` in the place of a user's `erasure`; who comes is still refused.

        The `erased` names nobody: its key is the `name_hash` of the user, by which a tail that saw
        no `erasure` still knows whom to forget. Does nothing where there is no `erasure`.
        """
        ...

    def name_hash(self, user_id: str) -> str:
        """Return the salted hash of a user's name, hexadecimal: the key of an `erased`."""
        ...

    def entries_of(self, user_id: str) -> list[Entry]:
        """Return every entry of a user, in order; an `erasure` that is not complete among them."""
        ...

    def drained(self, drain: str) -> int:
        """Return the position up to which a drain has taken everything, 0 for a new one."""
        ...

    def mark_drained(self, drain: str, position: int) -> None:
        """Keep how far a drain got; going back is an error of the caller."""
        ...

    def prune(self, through: int, before: int) -> int:
        """Delete entries of the kinds in `PRUNED`.

        Args:
            through: Position of the last entry that may go.
            before: Entries received at this time or later stay, microseconds since the epoch.

        Returns:
            How many entries went.
        """
        ...

    def close(self) -> None:
        """Finish what was submitted, then give back what it holds."""
        ...
