"""An event log that does not answer takes no recommendation down; answers say they are stale."""

import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from live_shop import live_shop
from published_shop import Published, app_of
from redis_server import RedisServer
from starlette.testclient import TestClient

from features.errors import EventLogError
from features.event_log.of_store import event_log_of
from serving.live_users import LiveUsers
from serving.state import ServingState


def test_a_log_that_cannot_be_read_makes_answers_stale(
    published_once: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_shop(published_once.store, tmp_path) as shop:
        assert shop.ask(user_id="u00001", k=3).degraded is None

        def fails(self: LiveUsers) -> None:
            raise EventLogError("gone")

        with monkeypatch.context() as broken:
            broken.setattr(LiveUsers, "refresh", fails)
            stale = shop.ask(user_id="u00001", k=3)
            assert (stale.degraded, stale.degradations) == ("stale", ["stale"])
            assert len(stale.items) == 3
            assert shop.ask(k=3).degradations == ["no_user_id", "stale"]
            for path in ("/readyz", "/v1/model", "/v1/trending"):
                assert shop.client.get(path).status_code == 200
        time.sleep(1.1)
        assert shop.ask(user_id="u00001", k=3).degraded is None


@pytest.mark.slow
def test_a_server_of_the_log_that_hangs_or_is_gone_holds_nobody_up(
    published_once: Published, tmp_path: Path
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    body = {"user_id": "u00001", "k": 3}
    with (
        RedisServer(folder) as server,
        closing(event_log_of(published_once.store, server.address)) as log,
    ):
        state = ServingState(published_once.store, log=log)
        state.load()
        client = TestClient(app_of(state, log=log))
        assert client.post("/v1/recommendations", json=body).json()["degraded"] is None

        server._process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(20):
                answered = client.post("/v1/recommendations", json=body)
                assert answered.status_code == 200
                assert answered.json()["degraded"] == "stale"
                assert len(answered.json()["items"]) == 3
        finally:
            server._process.send_signal(signal.SIGCONT)
        end = time.monotonic() + 20
        while client.post("/v1/recommendations", json=body).json()["degraded"] is not None:
            assert time.monotonic() < end, "still stale"
            time.sleep(0.2)

        server.kill()
        gone = client.post("/v1/recommendations", json=body)
        assert (gone.status_code, gone.json()["degraded"]) == (200, "stale")
        event = {"event_id": "e", "user_id": "u", "event_type": "view", "item_id": "i00001"}
        assert client.post("/v1/events", json={"events": [event]}).status_code == 503
