"""An event log in a Redis server: for servers on several machines.

Group commit: one thread of each process sends whatever was submitted since its last commit in one
script, which Redis does as a whole or not at all, and acknowledges it once the server has answered,
which it does after it has synced its append-only file (see `features.event_log.redis_disk`).

A tail asks the server at each poll, by one command that costs it next to nothing. Redis could tell
readers of changes by itself (client tracking, blocking reads), but a writer's acknowledgement and
such a message travel by different ways: what was acknowledged before a poll may not be there yet.

Of a replica that takes over, nothing is asked: Redis copies to replicas after it has answered.
"""

import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from features.errors import EventLogError
from features.event_log import redis_scripts as scripts
from features.event_log.group_commit import GroupCommit
from features.event_log.records import KINDS, PRUNED, WRITTEN_BY_LOG, Entry, Kind, Outcome, Record
from features.event_log.redis_address import RedisAddress
from features.event_log.redis_disk import REWRITE_S, require_durable, write_anew
from features.event_log.redis_link import Ask, Part, RedisLink
from features.event_log.redis_reading import PAGE, Keys, entries_at, page_after, position_of
from features.event_log.redis_records import packed

MAX_GROUP = 1_000
"""Records of one script, unless a single call brings more: nobody else is served meanwhile."""
PRUNED_AT_ONCE = 500
"""Entries that one script looks at, for the same reason."""
_OUTCOMES: dict[str, Outcome] = {"a": "added", "k": "known", "e": "erased"}
_TAILED: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "exposure")


@dataclass(frozen=True)
class _Work:
    """Arguments for a script; those of appends that follow each other are sent as one."""

    script: str
    arguments: list[Part]


class RedisEventLog:
    """See `features.event_log.records.EventLog`.

    Args:
        address: Of the server and the log in it, which is made where there is none.

    Raises:
        EventLogError: If the server cannot be reached, may lose what it acknowledges, or holds
            something else under these keys.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._keys = Keys(address.prefix)
        self._id: bytes | None = None
        self._link = RedisLink(address, self._check)
        try:
            self._id, self._salt = self._prepare()
        except BaseException:
            self._link.close()
            raise
        self._writer = GroupCommit[_Work](
            str(address), self._commit, max_weight=MAX_GROUP, finish=self._link.close
        )

    @staticmethod
    def is_at(address: RedisAddress) -> bool:
        """Tell whether there is a log.

        Raises:
            EventLogError: If the server cannot be reached, or refuses.
        """
        link = RedisLink(address, lambda ask: None)
        try:
            return link.ask("EXISTS", Keys(address.prefix).settings) > 0
        finally:
            link.close()

    def submit(self, records: Sequence[Record]) -> "Future[list[Outcome]]":
        """Append records in one piece; the result comes once they are on the server's disk."""
        if any(record.kind in WRITTEN_BY_LOG for record in records):
            raise ValueError("an erasure is appended by erase")
        arguments: list[Part] = []
        for record in records:
            arguments += (self._hash(record.user_id), packed(record))
        return self._writer.put(_Work(scripts.APPEND, arguments), len(records))

    def append(self, records: Sequence[Record]) -> list[Outcome]:
        """Append records and wait until they are on the server's disk."""
        return self.submit(records).result()

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return the first entries after a position, in order, at most `limit`."""
        self._writer.require_open()
        found: list[Entry] = []
        is_last = False
        while not is_last and len(found) < limit:
            size = min(limit - len(found), PAGE)
            page = page_after(self._keys, self._link.ask, KINDS, after, size)
            found += page.entries
            after, is_last = page.last, page.is_last
        return found[:limit]

    def feedback(self, through: int) -> list[Entry]:
        """Return the feedback up to a position, in order."""
        self._writer.require_open()
        stream = self._keys.order("feedback")
        found: list[Entry] = []
        first, is_last = 0, False
        while not is_last:
            answer = self._link.ask("XRANGE", stream, first, through, "COUNT", PAGE)
            positions = [position_of(entry) for entry in answer]
            found += entries_at(self._keys, self._link.ask, positions)
            is_last = len(positions) < PAGE
            first = first if is_last else positions[-1] + 1
        return found

    def tail(self, after: int = 0) -> "RedisTail":
        """Return a reader of what comes after a position; of the thread that asks for it."""
        self._writer.require_open()
        return RedisTail(self._link, self._keys, after)

    def erase(self, user_id: str, received_at: int) -> int:
        """Delete a user's entries, refuse all that is to come, and append an `erasure`.

        Returns once the server's files are free of what was deleted.
        """
        erasure = Record(
            kind="erasure", key=user_id, user_id=user_id, received_at=received_at, content=b"{}"
        )
        return self._and_clean(scripts.ERASE, [user_id, self._hash(user_id), packed(erasure)])

    def complete_erasure(self, user_id: str) -> None:
        """Put an `erased` that names nobody in the place of a user's `erasure`."""
        self._and_clean(scripts.COMPLETE_ERASURE, [user_id, self.name_hash(user_id)])

    def name_hash(self, user_id: str) -> str:
        """Return the salted hash of a user's name, hexadecimal."""
        return self._hash(user_id).hex()

    def entries_of(self, user_id: str) -> list[Entry]:
        """Return every entry of a user, in order."""
        self._writer.require_open()
        found = self._link.ask("SMEMBERS", self._keys.user(user_id))
        return entries_at(self._keys, self._link.ask, sorted(int(place) for place in found))

    def drained(self, drain: str) -> int:
        """Return the position up to which a drain has taken everything, 0 for a new one."""
        self._writer.require_open()
        return int(self._link.ask("HGET", self._keys.drains, drain) or 0)

    def mark_drained(self, drain: str, position: int) -> None:
        """Keep how far a drain got.

        Raises:
            ValueError: If it had got further.
        """
        if not self._done(scripts.MARK_DRAINED, [drain, position]):
            raise ValueError(f"the drain {drain} had got further than {position} already")

    def prune(self, through: int, before: int) -> int:
        """Delete entries of the kinds in `PRUNED`."""
        num_deleted = 0
        for kind in PRUNED:
            first, is_more = 0, True
            while is_more:
                deleted, num_seen, last = self._done(
                    scripts.PRUNE, [kind, first, through, before, PRUNED_AT_ONCE]
                )
                num_deleted += deleted
                first, is_more = int(last) + 1, num_seen == PRUNED_AT_ONCE
        return num_deleted

    def close(self) -> None:
        """Finish what was submitted, then give back what it holds; safe to repeat."""
        self._writer.close()

    def _done(self, script: str, arguments: list[Part]) -> Any:
        return self._writer.put(_Work(script, arguments)).result()

    def _and_clean(self, script: str, arguments: list[Part]) -> int:
        """Delete something, then let the server's files forget all that was ever deleted."""
        num_deleted, wanted = self._done(script, arguments)
        deadline = time.monotonic() + REWRITE_S
        while True:
            fields = ("cleaned", "erased")
            cleaned, erased = self._link.ask("HMGET", self._keys.settings, *fields)
            if int(cleaned) >= wanted:
                return num_deleted
            if write_anew(self._link, deadline):
                self._done(scripts.MARK_CLEANED, [erased])

    def _prepare(self) -> tuple[bytes, bytes]:
        """Make a log where there is none, refuse something else; return its id and salt."""
        found_format, log_id, salt = self._link.ask(
            "EVAL", scripts.OPEN, 1, self._keys.settings, scripts.FORMAT,
            secrets.token_hex(16), secrets.token_hex(16),
        )  # fmt: skip
        if found_format != str(scripts.FORMAT).encode():
            raise EventLogError(
                f"what is at {self._link.address} is no event log of format {scripts.FORMAT}: "
                "give the log another prefix or database"
            )
        return log_id, bytes.fromhex(salt.decode())

    def _hash(self, user_id: str) -> bytes:
        return hashlib.blake2b(user_id.encode(), key=self._salt, digest_size=16).digest()

    def _check(self, ask: Ask) -> None:
        """See to it that a new connection leads to a server that keeps the log, and to this log."""
        address = self._link.address
        if not address.is_assumed_durable:
            require_durable(address, ask)
        if self._id is not None and ask("HGET", self._keys.settings, "id") != self._id:
            raise EventLogError(
                f"the event log {address} is not the one that was opened: the server lost it or "
                "was emptied; start what uses it again"
            )

    def _commit(self, group: list[_Work]) -> list[object]:
        calls = list(_calls(group))
        answers = self._link.ask_all([self._command(works) for works in calls])
        return [
            result
            for works, answer in zip(calls, answers, strict=True)
            for result in _results(works, answer)
        ]

    def _command(self, works: list[_Work]) -> list[Part]:
        assert self._id is not None
        arguments = [argument for work in works for argument in work.arguments]
        # The text itself and not its digest, which a server that was restarted does not know.
        return [
            "EVAL", works[0].script, 1, self._keys.settings, self._keys.base, self._id, *arguments
        ]  # fmt: skip


TAIL_ANSWER_S = 0.2
"""A tail is asked within requests, which cannot wait for a server that is gone."""


class RedisTail:
    """See `features.event_log.records.Tail`."""

    def __init__(self, link: RedisLink, keys: Keys, after: int) -> None:
        self._connection = link.connection(TAIL_ANSWER_S)
        self._keys = keys
        self._position = after
        self._asked: tuple[tuple[Part, ...], list[bytes]] = ((), [])

    def poll(self) -> list[Entry]:
        """Return what was appended since the last poll."""
        found: list[Entry] = []
        position, is_last = self._position, False
        while not is_last:
            page = page_after(self._keys, self._ask, _TAILED, position, PAGE)
            found += page.entries
            position, is_last = page.last, page.is_last
        self._position = position
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, *command: Part) -> Any:
        # While nothing comes in, each poll asks the same; to pack it costs as much as to ask it.
        if command != self._asked[0]:
            self._asked = (command, self._connection.packed(*command))
        return self._connection.ask_again(self._asked[1])


def _calls(group: list[_Work]) -> Iterator[list[_Work]]:
    """Yield the works of each script that is sent, in order: appends are done together."""
    joined: list[_Work] = []
    for work in group:
        if work.script is scripts.APPEND:
            joined.append(work)
            continue
        if joined:
            yield joined
            joined = []
        yield [work]
    if joined:
        yield joined


def _results(works: list[_Work], answer: Any) -> Iterator[object]:
    """Yield the result of each of the works that were done together."""
    if isinstance(answer, EventLogError) or works[0].script is not scripts.APPEND:
        yield from [answer] * len(works)
        return
    outcomes = [_OUTCOMES[letter] for letter in answer.decode()]
    start = 0
    for work in works:
        end = start + len(work.arguments) // 2
        yield outcomes[start:end]
        start = end
