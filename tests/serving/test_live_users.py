"""The event log is asked once for all that waits in one turn of the event loop."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from features.event_log import EventLog, Record
from features.event_log.of_store import event_log_of
from features.store import Store
from serving.live_users import LiveUsers


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with closing(event_log_of(Store(tmp_path), None)) as log:
        yield log


def view(key: str, item_id: str) -> Record:
    content = {"event_type": "view", "item_id": item_id, "event_time": 1}
    return Record(kind="event", key=key, user_id="u1", received_at=1, content=orjson.dumps(content))


def seen(live: LiveUsers) -> set[str]:
    live.keep_up()
    user = live.of("u1")
    return set() if user is None else set(user.browsed)


def test_outside_of_an_event_loop_each_answer_asks(log: EventLog) -> None:
    live = LiveUsers(log, 0)
    for number in range(3):
        log.submit([view(f"e{number}", f"i{number}")]).result()
        assert len(seen(live)) == number + 1


def test_what_waits_in_one_turn_asks_once(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveUsers(log, 0)
    asked = []
    refresh = LiveUsers.refresh
    monkeypatch.setattr(LiveUsers, "refresh", lambda self: asked.append(refresh(self)))

    async def answer() -> set[str]:
        return seen(live)

    async def turns() -> None:
        await asyncio.gather(*(answer() for _ in range(16)))
        assert len(asked) == 1
        await asyncio.gather(*(answer() for _ in range(16)))
        assert len(asked) == 2

    asyncio.run(turns())
    # Of another loop, and of one that ended before its next turn.
    asyncio.run(answer())
    assert len(asked) == 3


def test_what_was_acknowledged_before_a_request_came_is_in_its_answer(log: EventLog) -> None:
    """Requests come at any moment: in the turn in which others ask, and from other threads."""
    live = LiveUsers(log, 0)

    async def store(number: int) -> None:
        await asyncio.wrap_future(log.submit([view(f"e{number}", f"i{number}")]))
        # Acknowledged: the next request of this user comes to wait now.
        assert f"i{number}" in await asyncio.create_task(answer())

    async def answer() -> set[str]:
        return seen(live)

    async def others() -> None:
        while True:
            seen(live)
            await asyncio.sleep(0)

    async def turns() -> None:
        asking = [asyncio.create_task(others()) for _ in range(5)]
        await asyncio.gather(*(store(number) for number in range(50)))
        for task in asking:
            task.cancel()

    asyncio.run(turns())
