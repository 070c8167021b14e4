"""What nobody should send: a clear refusal each, and the server lives on."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from raw_http import Answer, chunked, exchange, received, request
from small_shop import NUM_REPLICAS

from benchmarks.serving.replicas import replica_pids, wait_until_up
from benchmarks.serving.servers import running
from features.api_keys import FILE, SCOPES, new_key, write_keys
from serving.processes import free_port

pytestmark = pytest.mark.slow

ASK, TELL = "/v1/recommendations", "/v1/events"
OWN, OTHER = "u000001", "u000002"
NUM_SLOW = 40
"""More than the replicas have places."""
SLOW_LIMIT_S = 25.0


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """A server that asks for keys: one of the shop, and one of a user."""

    port: int
    shop_key: str
    user_key: str

    def ask(
        self,
        path: str,
        body: bytes | str | None = None,
        *,
        method: str = "POST",
        headers: tuple[str, ...] = (),
        key: str | None = None,
    ) -> Answer:
        known = f"Authorization: Bearer {key or self.shop_key}"
        return exchange(self.port, request(path, body, method=method, headers=(known, *headers)))

    def raw(self, sent: bytes) -> Answer:
        return exchange(self.port, sent)

    def check_alive(self) -> None:
        assert self.ask(ASK, f'{{"user_id":"{OWN}"}}').status == 200


@pytest.fixture(scope="module")
def keyed(published_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("hostile")
    store = folder / "shop"
    shutil.copytree(published_small, store, symlinks=True)
    now = datetime.now(UTC)
    of_shop, shop_key = new_key(frozenset(SCOPES), now=now)
    of_user, user_key = new_key(frozenset({"read", "write"}), now=now, user_id=OWN)
    write_keys(store / FILE, [of_shop, of_user])
    port, log = free_port(), folder / "stderr.txt"
    with running(store, port, NUM_REPLICAS, arguments=(), log=log):
        wait_until_up(NUM_REPLICAS)
        before = replica_pids()
        yield Keyed(port=port, shop_key=shop_key, user_key=user_key)
        assert replica_pids() == before
    assert "Traceback" not in log.read_text()


def event(**fields: str) -> str:
    told = {"event_id": "e", "user_id": OWN, "event_type": "view", "item_id": "i0000001", **fields}
    inner = ",".join(f'"{name}":"{value}"' for name, value in told.items())
    return f'{{"events":[{{{inner}}}]}}'


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param(ASK, f'{{"user_id":"{"a" * 10_000_000}"}}', 413, id="10 MB"),
        pytest.param(TELL, "[" * 10_000_000, 413, id="10 MB of brackets"),
        pytest.param(ASK, "a" * 20_000_000, 413, id="20 MB"),
        pytest.param(ASK, "[" * 100_000 + "]" * 100_000, 400, id="deep lists"),
        pytest.param(ASK, '{"a":' * 100_000 + "1" + "}" * 100_000, 400, id="deep objects"),
        pytest.param(ASK, '{"filters":' + "[" * 900 + "]" * 900 + "}", 422, id="deep and valid"),
        pytest.param(ASK, '{"diversity":NaN}', 400, id="NaN"),
        pytest.param(ASK, '{"diversity":Infinity}', 400, id="Infinity"),
        pytest.param(ASK, '{"diversity":1e999}', 400, id="too large for a float"),
        pytest.param(ASK, f'{{"k":{"9" * 5000}}}', 400, id="5,000 digits"),
        pytest.param(ASK, '{"k":100000000000000000000000000000}', 422, id="huge k"),
        pytest.param(ASK, '{"k":501}', 422, id="k"),
        pytest.param(ASK, '{"k":-1}', 422, id="negative k"),
        pytest.param(ASK, '{"user_id":"a\\u0000b"}', 422, id="NUL"),
        pytest.param(ASK, '{"user_id":"a\\u0085b"}', 422, id="C1 control"),
        pytest.param(ASK, '{"user_id":"a\nb"}', 400, id="line feed as it is"),
        pytest.param(ASK, '{"user_id":"a\\ud800b"}', 400, id="half a surrogate pair"),
        pytest.param(ASK, '{"user_id":"a\ud800b"}', 400, id="half a surrogate pair in UTF-8"),
        pytest.param(ASK, b'{"user_id":"a\xff\xfeb"}', 400, id="no UTF-8"),
        pytest.param(ASK, '{"user_id":"' + "\u0301" * 257 + '"}', 422, id="long id"),
        pytest.param(ASK, "\ufeff{}", 400, id="byte order mark"),
        pytest.param(TELL, event(event_id="e\\u0007"), 422, id="event id"),
        pytest.param(TELL, event(item_id="i\\u001b[2J"), 422, id="item id"),
        pytest.param(TELL, event(event_id="\\udfff"), 400, id="event id of half a pair"),
        pytest.param(TELL, event(event_time="+999999-01-01T00:00:00Z"), 422, id="time"),
        pytest.param(TELL, event(price_cents="1"), 422, id="number in quotes"),
        pytest.param(TELL, event(constructor="x"), 422, id="unknown field"),
        pytest.param("/v1/nothing", "{}", 404, id="unknown path"),
        pytest.param("/v1/items/%00%ff%2e%2e/similar", "{}", 405, id="method of a strange path"),
        pytest.param("/" + "a" * 12_000, "{}", 404, id="long path"),
    ],
)
def test_a_hostile_body_or_path(keyed: Keyed, path: str, body: bytes | str, status: int) -> None:
    answered = keyed.ask(path, body)
    assert answered.status == status, answered
    assert answered.problem()["status"] == status
    keyed.check_alive()


@pytest.mark.parametrize(
    "user_id", ["\u202eabc\ufeff", "\uffff\U0010ffff", "\u0301", "' OR 1=1 --", "../../etc", "%00"]
)
def test_an_odd_id_is_an_id(keyed: Keyed, user_id: str) -> None:
    answered = keyed.ask(ASK, f'{{"user_id":"{user_id}","k":1}}')
    assert answered.status == 200, answered
    assert user_id.encode() in answered.body
    assert keyed.ask(TELL, event(event_id=f"e {user_id}", user_id=user_id)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", ASK, f'{{"user_id":"{OTHER}"}}'),
        ("POST", f"{ASK}:batch", f'{{"requests":[{{"user_id":"{OWN}"}},{{"user_id":"{OTHER}"}}]}}'),
        ("POST", TELL, event(user_id=OTHER)),
        ("POST", "/v1/reviews", f'{{"review_id":"r","user_id":"{OTHER}","rating":1}}'),
        ("GET", f"/v1/users/{OTHER}/profile", None),
        ("DELETE", f"/v1/users/{OTHER}", None),
        ("DELETE", f"/v1/users/{OWN}", None),
        ("POST", "/v1/model/rollback", None),
    ],
)
def test_a_key_of_one_user_sees_and_changes_no_other(
    keyed: Keyed, method: str, path: str, body: str | None
) -> None:
    answered = keyed.ask(path, body, method=method, key=keyed.user_key)
    assert (answered.status, answered.problem()["status"]) == (403, 403)
    keyed.check_alive()
    assert keyed.ask(ASK, f'{{"user_id":"{OWN}"}}', key=keyed.user_key).status == 200


@pytest.mark.parametrize("key", ["sr_00000000_" + "0" * 64, "\xff\xfe", "a" * 8000, "' OR 1=1"])
def test_a_key_that_is_none(keyed: Keyed, key: str) -> None:
    answered = keyed.ask(ASK, "{}", key=key)
    assert (answered.status, answered.problem()["status"]) == (401, 401)


@pytest.mark.parametrize(
    ("method", "status"),
    [("PUT", 405), ("DELETE", 405), ("GET", 405), ("PATCH", 405), ("TRACE", 405), ("FOO", 400)],
)
def test_a_wrong_method(keyed: Keyed, method: str, status: int) -> None:
    answered = keyed.ask(ASK, method=method)
    assert (answered.status, answered.problem()["status"]) == (status, status)


HEAD = "POST /v1/recommendations HTTP/1.1\r\nHost: shop\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(f"{HEAD}X-A: {'a' * 65_536}\r\n\r\n", 400, id="64 KB header"),
        pytest.param(
            HEAD + "".join(f"X-{n}: a\r\n" for n in range(500)) + "\r\n", 400, id="500 headers"
        ),
        pytest.param(f"GET /{'a' * 65_536} HTTP/1.1\r\nHost: shop\r\n\r\n", 400, id="64 KB path"),
        pytest.param(f"{HEAD}Content-Length: -5\r\n\r\n", 400, id="negative length"),
        pytest.param(f"{HEAD}Content-Length: many\r\n\r\n", 400, id="length of letters"),
        pytest.param(f"{HEAD}Content-Length: {'9' * 30}\r\n\r\n", 400, id="huge length"),
        pytest.param(f"{HEAD}Content-Length: {1 << 40}\r\n\r\n{{}}", 413, id="1 TB declared"),
        pytest.param(f"{HEAD}Content-Length: {1 << 40}\r\n\r\n", 413, id="1 TB declared alone"),
        pytest.param(
            f"{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, id="two lengths"
        ),
        pytest.param(f"{HEAD}Transfer-Encoding: gzip\r\n\r\n", 400, id="unknown transfer"),
        pytest.param(
            f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", 400, id="bad chunk"
        ),
        pytest.param(chunked(ASK, 32, 65_536), 413, id="2 MB in chunks"),
        pytest.param(chunked(ASK, 512, 65_536), 413, id="32 MB in chunks"),
        pytest.param("OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n", 400, id="no path"),
        pytest.param("CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n", 400, id="CONNECT"),
        pytest.param("GET /a\0b HTTP/1.1\r\nHost: shop\r\n\r\n", 400, id="NUL in a path"),
        pytest.param("GET /healthz\r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00" + b"z" * 200 + b"\r\n\r\n", 400, id="TLS"),
    ],
)
def test_a_hostile_request(keyed: Keyed, sent: str | bytes, status: int) -> None:
    answered = keyed.raw(sent.encode() if isinstance(sent, str) else sent)
    assert answered.status == status, answered
    keyed.check_alive()


def test_slow_clients_hold_up_nobody(keyed: Keyed) -> None:
    key = f"Authorization: Bearer {keyed.shop_key}"
    whole = request(ASK, f'{{"user_id":"{OWN}"}}', headers=[key])
    long = request(ASK, " " * 100_000, headers=[key])
    # Heads, short bodies, and long bodies of which a replica sees the beginning.
    begun = [whole[:40]] * NUM_SLOW + [whole[:-5]] * NUM_SLOW + [long[:50_000]] * 4
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", keyed.port), SLOW_LIMIT_S))
            for _ in begun
        ]
        for connection, part in zip(slow, begun, strict=True):
            connection.sendall(part)
        for _ in range(100):
            keyed.check_alive()
        assert {received(connection).status for connection in slow} == {408}
    keyed.check_alive()
