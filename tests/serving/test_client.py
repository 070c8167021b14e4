"""The client against the real application over a real socket, and against servers that fail."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from http_server import http_server
from live_shop import NOW, LiveShop, live_shop
from published_shop import Published

import serving
from features.api_keys import KeyRing, new_key, write_keys
from sentiment.scorer import ReviewScorer, ScorerConfig
from serving import AnswerError, Client, ClientError, RefusedError, UnavailableError
from serving.schema import RecommendationRequest
from serving.schema_events import Event
from serving.sentiment_app import build_sentiment_app

EVENT = {"user_id": "u", "event_type": "view", "item_id": "i"}
MODEL = {
    "version": "v1",
    "created_at": "2026-01-01T00:00:00+00:00",
    "metrics": {},
    "side_tables": {},
    "experiments": {},
    "reload_error": None,
}


@pytest.fixture(scope="module")
def live(published_once: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    with live_shop(published_once.store, tmp_path_factory.mktemp("log")) as shop:
        yield shop


@pytest.fixture(scope="module")
def client(live: LiveShop) -> Iterator[Client]:
    with http_server(live.client.app) as url, Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def buyer(published_once: Published) -> str:
    return published_once.buyer


def test_recommendations_and_their_next_pages_repeat_nothing(client: Client, buyer: str) -> None:
    first = client.recommend(user_id=buyer, k=6)
    second = client.next_page(first)
    assert second is not None
    seen = [item.item_id for page in (first, second) for item in page.items]
    assert len(seen) == len(set(seen)) == 12
    assert [item.rank for item in second.items] == list(range(7, 13))
    assert first.model_version == "v1"


def test_a_request_can_be_given_whole_or_in_fields(client: Client, buyer: str) -> None:
    asked = {"user_id": buyer, "k": 3, "filters": {"category": ["Musical Instruments"]}}
    request = RecommendationRequest.model_validate(asked)
    whole, fields = client.recommend(request), client.recommend(**asked)
    assert [item.item_id for item in whole.items] == [item.item_id for item in fields.items]
    with pytest.raises(ValueError, match="not both"):
        client.recommend(request, k=3)


def test_the_last_page_has_none_after_it(client: Client) -> None:
    page = client.recommend(k=500)
    while (following := client.next_page(page)) is not None:
        page = following
    assert page.next_token is None


def test_items_are_asked_about(client: Client) -> None:
    assert len(client.similar("i00003", k=4).items) == 4
    assert client.bought_together("i00003", k=2).item_id == "i00003"
    assert client.insight("i00003").title
    found = client.trending(k=3, category="Musical Instruments", surface="home")
    assert (found.category, found.surface, len(found.items)) == ("Musical Instruments", "home", 3)


def test_events_count_once_and_are_seen_by_the_next_answer(client: Client) -> None:
    bought = [item.item_id for item in client.recommend(k=2).items]
    row = {"user_id": "fresh", "event_type": "purchase", "item_id": bought[0]}
    whole = Event.model_validate(
        {**row, "event_id": "c1", "item_id": bought[1], "event_time": "2026-01-02T11:00:00+01:00"}
    )
    timed = {**row, "event_id": "c2", "event_time": datetime(2026, 1, 1, 9, 30, tzinfo=UTC)}
    told = client.send_events([row, whole, timed])
    assert (told.added, told.known, told.erased) == (3, 0, 0)
    again = client.send_events([whole, timed])
    assert (again.added, again.known) == (0, 2)
    times = {item.item_id: item.event_time for item in client.profile("fresh").bought}
    assert times == {
        bought[0]: "2026-01-01T09:30:00+00:00",
        bought[1]: "2026-01-02T10:00:00+00:00",
    }
    recommended = {item.item_id for item in client.recommend(user_id="fresh", k=100).items}
    assert not recommended & set(bought)


def test_a_review_is_kept_and_a_user_forgotten(client: Client) -> None:
    told = client.send_review(user_id="writer", item_id="i00003", rating=4, event_time=NOW)
    assert told.outcome == "added"
    again = client.send_review(user_id="writer", item_id="i00003", rating=4)
    assert again.outcome == "added"
    assert client.erase("writer").state == "accepted"
    with pytest.raises(RefusedError, match="answered 404") as refused:
        client.profile("writer")
    assert refused.value.problem["type"] == "urn:sentirec:problem:unknown-user"


def test_what_answers_is_told(client: Client) -> None:
    assert client.model().version == "v1"


def test_a_text_is_read() -> None:
    app = build_sentiment_app(ReviewScorer.load(ScorerConfig(max_tokens=64)))
    with http_server(app) as url, Client(url) as client:
        told = client.sentiment("Great sound, but I wish the cable were longer.", explain=True)
    assert told.polarity > 0
    assert told.needs[0].text == "I wish the cable were longer"
    assert told.words
    assert told.embedding is None


def test_a_key_lets_in_and_without_it_nobody_comes_in(
    published_once: Published, tmp_path: Path
) -> None:
    kept, key = new_key(frozenset({"read"}), now=datetime.now(UTC))
    write_keys(tmp_path / "keys.json", [kept])
    ring = KeyRing(tmp_path / "keys.json")
    with (
        live_shop(published_once.store, tmp_path / "log", keys=ring) as shop,
        http_server(shop.client.app) as url,
        Client(url, key=key) as known,
        Client(url) as unknown,
    ):
        assert known.recommend(k=1).items
        with pytest.raises(RefusedError) as forbidden:
            known.send_events([EVENT])
        with pytest.raises(RefusedError) as unauthorized:
            unknown.recommend(k=1)
    assert (forbidden.value.status, unauthorized.value.status) == (403, 401)
    assert key not in str(forbidden.value)


def test_a_refusal_carries_the_problem_details(client: Client) -> None:
    with pytest.raises(RefusedError, match="no item of this id") as refused:
        client.similar("nothing/like ü?#%it")
    assert isinstance(refused.value, ClientError)
    assert refused.value.status == 404
    assert refused.value.problem["type"] == "urn:sentirec:problem:unknown-item"
    assert refused.value.problem["request_id"] == refused.value.request_id
    with pytest.raises(RefusedError) as invalid:
        client.similar("i00003", k=0)
    assert [error["field"] for error in invalid.value.problem["errors"]] == ["k"]


@pytest.mark.parametrize("item_id", [".", "..", "a/../b", "a b", "%2e"])
def test_an_id_never_leads_elsewhere(client: Client, item_id: str) -> None:
    with pytest.raises(RefusedError) as refused:
        client.insight(item_id)
    assert refused.value.problem["type"] == "urn:sentirec:problem:unknown-item"


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.recommend(k=0),
        lambda client: client.recommend(limit=3),
        lambda client: client.send_events([{"user_id": "u", "event_type": "view"}]),
        lambda client: client.send_events([]),
        lambda client: client.send_review(user_id="u"),
        lambda client: client.sentiment("a" * 30_000),
    ],
)
def test_what_breaks_the_contract_is_not_even_sent(ask: Callable[[Client], object]) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ValueError, match="validation"):
        ask(client)


def test_many_threads_share_one_client(client: Client, buyer: str) -> None:
    wanted = [item.item_id for item in client.recommend(user_id=buyer, k=5).items]
    found: list[list[str]] = []

    def ask() -> None:
        for _ in range(10):
            page = client.recommend(user_id=buyer, k=5)
            found.append([item.item_id for item in page.items])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 80


@dataclass
class Failing:
    """A server that does what it is told, request by request, and keeps what it was sent."""

    url: str
    plan: list[Any]
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def failing(*plan: Any) -> Iterator[Failing]:
    """Answer each request by the next of the plan: `(status, headers, body)`, or a word.

    `drop` closes the connection, `hang` says nothing for a while. After the plan all is well.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.seen.append((self.command, self.path, headers, body))
            step = server.plan.pop(0) if server.plan else (200, {}, json.dumps(MODEL))
            if step == "drop":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if step == "hang":
                ended.wait(3)
                self.close_connection = True
                return
            status, more, text = step
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            content = text.encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    ended = threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Failing(url=f"http://127.0.0.1:{http.server_address[1]}", plan=list(plan))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        http.shutdown()
        http.server_close()
        thread.join()


TAKEN = json.dumps({"request_id": "r", "model_version": "v", "added": 1, "known": 0, "erased": 0})


@pytest.mark.parametrize(
    "failure", ["drop", "hang", (502, {}, "bad"), (503, {}, ""), (504, {}, "<html>")]
)
def test_what_failed_is_sent_once_more_as_it_was(failure: Any) -> None:
    with (
        failing(failure, (200, {}, TAKEN)) as server,
        Client(server.url, key="secret", timeout_s=0.5) as client,
    ):
        assert client.send_events([EVENT]).added == 1
    first, second = server.seen
    assert first == second
    method, path, headers, body = first
    assert (method, path) == ("POST", "/v1/events")
    assert headers["x-request-id"] == headers["idempotency-key"]
    assert headers["authorization"] == "Bearer secret"
    assert headers["content-type"] == "application/json"
    (event,) = json.loads(body)["events"]
    assert event == {**EVENT, "event_id": event["event_id"]}
    assert event["event_id"]


def test_two_requests_have_two_ids() -> None:
    with failing((200, {}, TAKEN), (200, {}, TAKEN)) as server, Client(server.url) as client:
        client.send_events([EVENT])
        client.send_events([EVENT])
    assert len({headers["x-request-id"] for _, _, headers, _ in server.seen}) == 2
    assert len({body for _, _, _, body in server.seen}) == 2
    assert "authorization" not in server.seen[0][2]


@pytest.mark.parametrize("failure", ["drop", "hang", (503, {}, "")])
def test_after_two_failures_it_says_that_nobody_answers(failure: Any) -> None:
    with (
        failing(failure, failure, (200, {}, TAKEN)) as server,
        Client(server.url, timeout_s=0.3) as client,
        pytest.raises(UnavailableError) as error,
    ):
        client.model()
    assert len(server.seen) == 2
    assert error.value.request_id == server.seen[0][2]["x-request-id"]
    assert error.value.status == (503 if isinstance(failure, tuple) else None)


def test_where_nobody_listens_it_says_so() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url) as client, pytest.raises(UnavailableError, match="also when asked again"):
            client.model()


@pytest.mark.parametrize(
    "answer", [(500, {}, ""), (501, {}, ""), (400, {}, ""), (409, {}, ""), (429, {}, "")]
)
def test_what_would_fail_again_is_not_sent_again(answer: Any) -> None:
    with failing(answer) as server, Client(server.url) as client:
        kind = RefusedError if answer[0] < 500 else UnavailableError
        with pytest.raises(kind) as error:
            client.model()
    assert len(server.seen) == 1
    assert error.value.status == answer[0]
    assert error.value.problem == {}


def test_it_waits_as_long_as_the_server_wants() -> None:
    with failing((503, {"Retry-After": "1"}, "")) as server, Client(server.url) as client:
        started = time.monotonic()
        assert client.model().version == "v1"
        assert 1 <= time.monotonic() - started < 4
    assert len(server.seen) == 2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_who_wants_it_to_wait_longer_is_not_asked_again(form: str) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    told = "90" if form == "seconds" else later
    with failing((503, {"Retry-After": told}, "")) as server, Client(server.url) as client:
        started = time.monotonic()
        with pytest.raises(UnavailableError) as error:
            client.model()
        assert time.monotonic() - started < 2
    assert error.value.retry_after_s == pytest.approx(90, abs=3)
    assert len(server.seen) == 1


def test_a_retry_after_that_makes_no_sense_is_none() -> None:
    with failing((503, {"Retry-After": "soon"}, "")) as server, Client(server.url) as client:
        assert client.model().version == "v1"
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, "<html>welcome</html>"),
        (200, {}, "{}"),
        (204, {}, ""),
        (302, {"Location": "/"}, ""),
    ],
)
def test_what_is_no_answer_of_this_interface_is_told(answer: Any) -> None:
    with failing(answer) as server, Client(server.url) as client, pytest.raises(AnswerError):
        client.model()
    assert len(server.seen) == 1


def test_a_newer_server_may_tell_more() -> None:
    more = json.dumps({**MODEL, "mood": "good"})
    with failing((200, {}, more)) as server, Client(server.url) as client:
        assert client.model().version == "v1"


def test_a_path_before_the_interface_is_kept() -> None:
    with failing() as server, Client(f"{server.url}/shop/") as client:
        client.model()
    assert server.seen[0][1] == "/shop/v1/model"


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://shop.example", "http://", "http://[::"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Client(url)


@pytest.mark.parametrize("key", ["", "two\nlines", " blank", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(ValueError, match="key") as error:
        Client("http://localhost", key=key)
    assert not key or key not in str(error.value)


def test_the_key_is_not_in_its_name() -> None:
    with Client("http://localhost:8000", key="secret") as client:
        assert repr(client) == "Client('http://localhost:8000')"


def test_it_is_light() -> None:
    """Whoever asks needs no models, no Ray, no web framework."""
    code = (
        "import sys; from serving import Client, ClientError; Client('http://localhost').close();"
        "heavy = 'torch ray faiss fastapi starlette polars numpy lightgbm uvicorn'.split();"
        "print([name for name in heavy if name in sys.modules])"
    )
    root = Path(serving.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these() -> None:
    assert serving.__all__ == sorted(serving.__all__)
    for name in serving.__all__:
        assert getattr(serving, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        serving.Klient  # noqa: B018
