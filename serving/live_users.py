"""What users did since the side tables were made: read from the event log, kept in memory.

The side tables know what the log holds up to a position (`features.event_log.coverage`); what comes
after it is added here, entry by entry, before each answer: whoever was told that an event is
acknowledged sees it in the user's next answer, on any replica. Feedback counts from the first entry
on, as no side table knows it.

Not for several threads at once, but for `of`.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from features.errors import EventLogError
from features.event_log import Entry, EventLog, Kind
from features.histories import BROWSE_WEIGHTS
from features.opinion import NEGATIVE_BELOW, polarity_of_stars

ACT_COLUMNS = ("event_type", "item_id", "event_time", "price_cents", "quantity")
SAID_COLUMNS = ("rating", "event_time", "polarity", "emotions", "num_needs")
_RETRY_AFTER_S = 1.0
_HASHES_KEPT = 65_536
_logger = logging.getLogger(__name__)


@dataclass
class LiveUser:
    """What one user did and said since the side tables were made.

    Attributes:
        bought: When each item was bought first, microseconds since the epoch, by item id.
        browsed: When each item was browsed last, and how strongly in all, by item id.
        stars: Of the user's own review, by item id.
        words: Polarity of its text, by item id.
        dismissed: Items the user does not want to be shown.
        wrong_causes: Items that must not be given as a reason, nor count as the user's taste.
        wrong_quotes: Reviews that must not be quoted.
        counts: Sums of what profile columns count; see `live_query.with_live`.
        acts: Rows of the table of events, columns `ACT_COLUMNS`.
        said: Rows of reviews and what was felt in them, by the key of the log; see `live_profile`.
    """

    bought: dict[str, int] = field(default_factory=dict)
    browsed: dict[str, tuple[int, float]] = field(default_factory=dict)
    stars: dict[str, float] = field(default_factory=dict)
    words: dict[str, float] = field(default_factory=dict)
    dismissed: set[str] = field(default_factory=set)
    wrong_causes: set[str] = field(default_factory=set)
    wrong_quotes: set[str] = field(default_factory=set)
    counts: dict[str, float] = field(default_factory=dict)
    acts: list[tuple[Any, ...]] = field(default_factory=list)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)

    def felt(self) -> dict[str, float]:
        """Return how the user felt about items, as `features.opinion.felt` has it, by item id."""
        found = {item: polarity_of_stars(stars) for item, stars in self.stars.items()}
        return found | {
            item: (found[item] + polarity) / 2.0 if item in found else polarity
            for item, polarity in self.words.items()
        }

    def count(self, name: str, value: float = 1.0) -> None:
        """Add to one of the sums."""
        self.counts[name] = self.counts.get(name, 0.0) + value


class ErasedNames:
    """Who was erased, as a container of names that holds no name.

    Args:
        name_hash: See `features.event_log.EventLog`.
    """

    def __init__(self, name_hash: Callable[[str], str]) -> None:
        self._hash = lru_cache(_HASHES_KEPT)(name_hash)
        self._hashes: set[str] = set()

    def add(self, name_hash: str) -> None:
        """Take in the hash of a name."""
        self._hashes.add(name_hash)

    def __contains__(self, name: object) -> bool:
        """Tell whether a user was erased, by the name that the tables know."""
        return bool(self._hashes) and isinstance(name, str) and self._hash(name) in self._hashes


class LiveUsers:
    """What all users did since the side tables were made.

    Args:
        log: Where it is read from.
        covered: Position of the last entry that the side tables know.

    Raises:
        EventLogError: If the log cannot be read.
    """

    def __init__(self, log: EventLog, covered: int) -> None:
        self.covered = covered
        self.position = covered
        self.received_at = 0
        """When the newest entry was received, microseconds since the epoch; 0 before any."""
        self.is_stale = False
        """Whether the log could not be asked at the last try."""
        self._failed_at = 0.0
        self._asked_in: asyncio.AbstractEventLoop | None = None
        self._users: dict[str, LiveUser] = {}
        self._name_hash = log.name_hash
        self.erased = ErasedNames(log.name_hash)
        """Users that were erased since the side tables were made."""
        for entry in log.feedback(covered):
            self._apply(entry)
        self._tail = log.tail(covered)
        self.refresh()

    def refresh(self) -> None:
        """Take in what was acknowledged since the last call.

        Raises:
            EventLogError: If the log cannot be read; what was known stays.
        """
        found = self._tail.poll()
        for entry in found:
            self._apply(entry)
        if any(entry.kind == "erased" for entry in found):
            self._users = {
                name: user for name, user in self._users.items() if name not in self.erased
            }

    def keep_up(self) -> None:
        """Take in what was acknowledged since the last call, as far as the log can be asked.

        A log that failed is left alone for a second: a server that does not answer must not hold up
        every request. `is_stale` tells.

        What runs in one turn of an event loop asks once. Its callbacks run in the order in which
        they came to wait, so whoever runs before `_turn` was waiting, its request there, when the
        log was asked: what was acknowledged before that request is known.
        """
        loop = _running_loop()
        if loop is not None:
            if self._asked_in is loop:
                return
            self._asked_in = loop
            loop.call_soon(self._turn)
        if self.is_stale and time.monotonic() - self._failed_at < _RETRY_AFTER_S:
            return
        try:
            self.refresh()
        except EventLogError:
            if not self.is_stale:
                _logger.exception("the event log cannot be read: answers may be stale")
            self.is_stale, self._failed_at = True, time.monotonic()
        else:
            self.is_stale = False

    def _turn(self) -> None:
        self._asked_in = None

    def of(self, user_id: str | None) -> LiveUser | None:
        """Return what a user did, by the name that the tables know; None for nothing."""
        return None if user_id is None else self._users.get(user_id)

    def is_erased(self, user_id: str) -> bool:
        """Tell whether a user was erased since the side tables were made."""
        return user_id in self.erased

    def close(self) -> None:
        """Stop reading."""
        self._tail.close()

    def _apply(self, entry: Entry) -> None:
        self.position = max(self.position, entry.position)
        self.received_at = max(self.received_at, entry.received_at)
        if entry.kind == "erasure":
            self.erased.add(self._name_hash(entry.user_id))
            self._users.pop(entry.user_id, None)
            return
        if entry.kind == "erased":
            self.erased.add(entry.key)
            return
        try:
            user = self._users.setdefault(entry.user_id, LiveUser())
            content = orjson.loads(entry.content)
            _APPLY[entry.kind](user, content)
            # The tables know feedback that came before; answers do not know it from them.
            if entry.position > self.covered:
                _keep(user, entry, content)
        except (KeyError, TypeError, ValueError):
            # One entry that another version wrote must not keep all others from being answered.
            _logger.exception("entry %d of the event log cannot be used", entry.position)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _keep(user: LiveUser, entry: Entry, content: dict[str, Any]) -> None:
    """Keep the row that the tables will have."""
    if entry.kind in ("event", "feedback"):
        # Kinds are few and events many: one string a kind.
        kind = sys.intern(content["event_type"])
        user.acts.append((kind, *(content.get(name) for name in ACT_COLUMNS[1:])))
    else:
        row = user.said.setdefault(entry.key, {})
        row |= {name: content[name] for name in SAID_COLUMNS if name in content}


def _event(user: LiveUser, content: dict[str, Any]) -> None:
    kind, item_id, time = content["event_type"], content.get("item_id"), content["event_time"]
    if item_id is None:
        return
    if kind == "purchase":
        user.bought[item_id] = min(time, user.bought.get(item_id, time))
        user.count("purchases")
    elif kind == "return":
        user.count("returns")
    if kind == "view":
        user.count("views")
    if kind in BROWSE_WEIGHTS:
        last, strength = user.browsed.pop(item_id, (time, 0.0))
        user.browsed[item_id] = (max(last, time), strength + BROWSE_WEIGHTS[kind])


def _feedback(user: LiveUser, content: dict[str, Any]) -> None:
    if content["event_type"] == "dismiss":
        user.dismissed.add(content["item_id"])
        return
    if content.get("because_item_id"):
        user.wrong_causes.add(content["because_item_id"])
    if content.get("quoted_review_id"):
        user.wrong_quotes.add(content["quoted_review_id"])


def _review(user: LiveUser, content: dict[str, Any]) -> None:
    user.count("reviews")
    item_id = content.get("item_id")
    if item_id is not None:
        # Of several reviews of an item the last one counts, whose words are read after it came.
        user.stars.pop(item_id, None)
        user.words.pop(item_id, None)
        if content.get("rating") is not None:
            user.stars[item_id] = content["rating"]
    if content.get("rating") is not None:
        user.count("ratings")
        user.count("stars", content["rating"])


def _signals(user: LiveUser, content: dict[str, Any]) -> None:
    polarity = content["polarity"]
    if content.get("item_id") is not None:
        user.words[content["item_id"]] = polarity
    user.count("felt")
    user.count("polarity", polarity)
    user.count("negative", float(polarity < NEGATIVE_BELOW))


_APPLY: dict[Kind, Any] = {
    "event": _event,
    "feedback": _feedback,
    "review": _review,
    "signals": _signals,
}
