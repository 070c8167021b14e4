"""Far more requests than can be answered: each is answered, or refused in order."""

import time
from collections import Counter

import httpx
import pytest
from small_shop import NUM_USERS, Serving

from benchmarks.serving.open_loop import OpenLoop
from benchmarks.serving.replicas import process_ids

OFFERED_PER_S, SECONDS = 2000, 3
RECOVERED_WITHIN_S = 30.0


@pytest.mark.slow
def test_too_many_requests_are_refused_in_order(serve: Serving) -> None:
    # What a replica takes at once is little, so that any machine is asked too much.
    server = serve("max_in_flight = 2", "max_wait_ms = 5")
    before = process_ids()
    with OpenLoop(server.url, num_users=NUM_USERS, per_second=OFFERED_PER_S) as flood:
        time.sleep(SECONDS)
    found = Counter(seen.status for seen in flood.seen)
    assert set(found) == {200, 503}, found
    assert min(found.values()) > 20
    assert all(seen.is_right for seen in flood.seen)

    assert httpx.get(f"{server.url}/healthz", trust_env=False).json() == {"status": "ok"}
    end = time.monotonic() + RECOVERED_WITHIN_S
    in_a_row = 0
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        while in_a_row < 50:
            answered = client.post("/v1/recommendations", json={"user_id": "u000001"})
            in_a_row = in_a_row + 1 if answered.status_code == 200 else 0
            assert time.monotonic() < end
    assert process_ids() == before
