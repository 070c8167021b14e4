"""Every error is a problem details document, whatever is thrown at the interface."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published_shop import app_of
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from features.store import Store
from serving.request_guard import DRAINED_BYTES, MAX_BODY_BYTES, RequestGuard
from serving.state import ServingState

PATH = "/v1/recommendations"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    state = ServingState(Store(tmp_path_factory.mktemp("empty")))
    with TestClient(app_of(state), raise_server_exceptions=False) as client:
        yield client


def problem_of(answered: Any, status: int) -> dict[str, object]:
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    problem = answered.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:sentirec:problem:")
    assert problem["instance"].endswith(problem["request_id"])
    return problem


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (
            {"usr": "u"},
            "usr",
            "unknown field; known ones are avoid_aspects, boost, bury, contributions, debug,",
        ),
        ({"filters": {"colour": "red"}}, "filters.colour", "unknown field; known ones are brand"),
        ({"k": 0}, "k", "greater than or equal to 1, not 0"),
        ({"k": 501}, "k", "less than or equal to 500, not 501"),
        ({"k": "20"}, "k", "valid integer, not '20'"),
        ({"k": 2.5}, "k", "valid integer, not 2.5"),
        ({"k": True}, "k", "valid integer, not True"),
        ({"k": None}, "k", "valid integer"),
        ({"k": 10**30}, "k", "integer"),
        ({"user_id": ""}, "user_id", "at least 1 character"),
        ({"user_id": "u" * 257}, "user_id", "at most 256 characters"),
        ({"user_id": 7}, "user_id", "valid string, not 7"),
        ({"user_id": "u\u0000"}, "user_id", "control characters are not allowed"),
        ({"user_id": "u\n"}, "user_id", "control characters are not allowed"),
        ({"user_id": "u\u0085"}, "user_id", "control characters are not allowed"),
        ({"diversity": 1.5}, "diversity", "less than or equal to 1"),
        ({"diversity": "0.5"}, "diversity", "valid number"),
        ({"explain": "yes"}, "explain", "valid boolean, not 'yes'"),
        ({"filters": []}, "filters", "valid dictionary"),
        ({"filters": {"category": []}}, "filters.category", "at least 1 item"),
        ({"filters": {"category": [3]}}, "filters.category.0", "valid string, not 3"),
        ({"filters": {"brand": ["a"] * 101}}, "filters.brand", "at most 100 items"),
        ({"filters": {"min_price_cents": -1}}, "filters.min_price_cents", "equal to 0, not -1"),
        ({"filters": {"min_price_cents": 2, "max_price_cents": 1}}, "filters", "is 2, above"),
        (
            {"filters": {"exclude_item_ids": ["i"] * 1001}},
            "filters.exclude_item_ids",
            "at most 1000 items",
        ),
        ([], "body", "valid dictionary"),
        ("text", "body", "valid dictionary"),
        (None, "body", "valid dictionary"),
    ],
)
def test_what_breaks_the_contract_is_a_422_that_names_the_field(
    client: TestClient, body: object, field: str, message: str
) -> None:
    problem = problem_of(client.post(PATH, content=json.dumps(body), headers=JSON), 422)
    errors = problem["errors"]
    assert isinstance(errors, list)
    assert [error["field"] for error in errors] == [field]
    assert message in errors[0]["message"]


def test_all_offending_fields_are_named_at_once(client: TestClient) -> None:
    body = {"k": 0, "user_id": "", "filters": {"a": 1, "b": 2}}
    problem = problem_of(client.post(PATH, json=body), 422)
    assert isinstance(problem["errors"], list)
    assert {e["field"] for e in problem["errors"]} == {"k", "user_id", "filters.a", "filters.b"}
    assert str(problem["detail"]).endswith("and 1 more")


def test_a_long_value_is_not_echoed_in_full(client: TestClient) -> None:
    answered = client.post(PATH, json={"user_id": "\n" * 200_000})
    problem_of(answered, 422)
    assert len(answered.content) < 2000


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"k": NaN}',
        b'{"k": Infinity}',
        b'{"user_id": "\xff"}',
        b'{"user_id": "\\ud800"}',
        b"[" * 100_000,
        b"\x00",
        b"{} {}",
    ],
)
def test_what_is_no_json_is_a_400(client: TestClient, body: bytes) -> None:
    problem = problem_of(client.post(PATH, content=body, headers=JSON), 400)
    assert problem["type"] == "urn:sentirec:problem:malformed-json"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_media_type_is_a_415(client: TestClient, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    problem_of(client.post(PATH, content=b"{}", headers=headers), 415)


def test_a_charset_does_not_matter(client: TestClient) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    problem_of(client.post(PATH, content=b"{}", headers=headers), 503)


def test_unknown_paths_and_methods(client: TestClient) -> None:
    problem_of(client.get("/v2/recommendations"), 404)
    answered = client.get(PATH)
    problem_of(answered, 405)
    assert answered.headers["allow"] == "POST"


def test_a_declared_long_body_is_a_413(client: TestClient) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    problem_of(client.post(PATH, content=body, headers=JSON), 413)


def test_a_long_body_of_undeclared_length_is_a_413(client: TestClient) -> None:
    pieces = (b" " * 65_536 for _ in range(17))
    problem_of(client.post(PATH, content=pieces, headers=JSON), 413)


def pieces_of(num_bytes: int) -> Iterator[bytes]:
    return (b" " * 65_536 for _ in range(num_bytes // 65_536))


def test_a_long_body_is_read_to_its_end_so_that_the_connection_goes_on() -> None:
    received: list[Message] = []
    sent: list[Message] = []
    pieces = pieces_of(2 * MAX_BODY_BYTES)
    messages = [{"type": "http.request", "body": p, "more_body": True} for p in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> Message:
        received.append(messages[len(received)])
        return received[-1]

    async def send(message: Message) -> None:
        sent.append(message)

    async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
    asyncio.run(RequestGuard(unreachable)(scope, receive, send))
    assert len(received) == len(messages)
    assert sent[0]["status"] == 413
    assert b"connection" not in dict(sent[0]["headers"])


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_too_long_to_be_read_ends_the_connection(client: TestClient, declared: bool) -> None:
    content = b" " * (DRAINED_BYTES + 1) if declared else pieces_of(DRAINED_BYTES + MAX_BODY_BYTES)
    answered = client.post(PATH, content=content, headers=JSON)
    problem_of(answered, 413)
    assert answered.headers["connection"] == "close"


def test_a_body_that_comes_too_slowly_is_a_408() -> None:
    pieces = [b"{", b" "]
    sent: list[Message] = []

    async def receive() -> Message:
        if not pieces:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": pieces.pop(), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    guard = RequestGuard(unreachable, body_limit_s=0.05)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"20")]}
    asyncio.run(guard(scope, receive, send))
    problem = json.loads(sent[1]["body"])
    assert (sent[0]["status"], problem["type"]) == (408, "urn:sentirec:problem:timeout")
    assert dict(sent[0]["headers"])[b"connection"] == b"close"


def test_a_body_of_the_greatest_length_is_read(client: TestClient) -> None:
    body = b"{}".ljust(MAX_BODY_BYTES)
    problem_of(client.post(PATH, content=body, headers=JSON), 503)


def test_what_nobody_foresaw_is_a_500_that_tells_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = FastAPI()
    app.add_middleware(RequestGuard)

    @app.get("/")
    async def fails() -> None:
        raise ZeroDivisionError("secret")

    answered = TestClient(app).get("/", headers={"X-Request-ID": "r1"})
    problem_of(answered, 500)
    assert "secret" not in answered.text
    assert "request r1 failed" in caplog.text


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["user_id", "k", "filters", "explain", "category", "brand", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_body_makes_it_fail(client: TestClient, body: object) -> None:
    answered = client.post(PATH, content=json.dumps(body), headers=JSON)
    assert answered.status_code in (400, 422, 503)
    problem_of(answered, answered.status_code)
