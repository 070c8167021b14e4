"""Reading entries from Redis: first which positions there are, then what lies there.

What is deleted between the two is not found by the second, and left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features.event_log.records import Entry, Kind
from features.event_log.redis_link import Ask
from features.event_log.redis_records import unpacked

PAGE = 2_000
"""Entries that are asked for at once."""


class Keys:
    """Names of the keys of a log; see `features.event_log.redis_scripts`."""

    def __init__(self, prefix: str) -> None:
        self.base = f"{{{prefix}}}:"
        self.settings = f"{self.base}settings"
        self.entries = f"{self.base}entries"
        self.drains = f"{self.base}drains"

    def order(self, kind: Kind) -> str:
        """Return the stream of the positions of a kind."""
        return f"{self.base}order:{kind}"

    def user(self, user_id: str) -> str:
        """Return the set of the positions of a user."""
        return f"{self.base}user:{user_id}"


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some entries that follow each other.

    Attributes:
        entries: In order.
        last: Position up to which all is there.
        is_last: Whether nothing came after it when it was asked for.
    """

    entries: list[Entry]
    last: int
    is_last: bool


def page_after(keys: Keys, ask: Ask, kinds: Sequence[Kind], after: int, size: int) -> Page:
    """Read what comes after a position, at least `size` entries where there are as many.

    One command where nothing does.
    """
    streams = [keys.order(kind) for kind in kinds]
    answer = ask("XREAD", "COUNT", size, "STREAMS", *streams, *[f"{after}-0"] * len(streams))
    if answer is None:
        return Page(entries=[], last=after, is_last=True)
    found = [[position_of(entry) for entry in entries] for _, entries in answer]
    # A stream of which a full page came may have more between its last one and those of others.
    cut = min((positions[-1] for positions in found if len(positions) == size), default=None)
    ordered = sorted(p for positions in found for p in positions if cut is None or p <= cut)
    return Page(entries=entries_at(keys, ask, ordered), last=ordered[-1], is_last=cut is None)


def entries_at(keys: Keys, ask: Ask, positions: Sequence[int]) -> list[Entry]:
    """Return the entries at some positions, without those that are deleted."""
    found: list[Entry] = []
    for start in range(0, len(positions), PAGE):
        wanted = positions[start : start + PAGE]
        records = ask("HMGET", keys.entries, *wanted)
        found += [
            unpacked(position, record)
            for position, record in zip(wanted, records, strict=True)
            if record is not None
        ]
    return found


def position_of(entry: Any) -> int:
    """Return the position that an entry of a stream stands for."""
    return int(entry[0].partition(b"-")[0])
