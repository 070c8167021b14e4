"""Who may ask for what: keys, scopes, limits, and keys of one user."""

import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from live_shop import LiveShop, live_shop
from published_shop import Published

from features.api_keys import ApiKey, KeyRing, Scope, new_key, read_keys, write_keys
from features.errors import KeysError
from serving.callers import Caller

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = {"/healthz", "/readyz"}


def key_of(*scopes: Scope, **given: Any) -> tuple[ApiKey, str]:
    return new_key(frozenset(scopes), now=NOW, **given)


@dataclass(frozen=True)
class Guarded:
    """A shop that asks for keys, and some of them."""

    shop: LiveShop
    file: Path
    keys: dict[str, str]

    def send(self, method: str, path: str, key: str | None, **given: Any) -> Any:
        headers = {} if key is None else {"Authorization": f"Bearer {self.keys.get(key, key)}"}
        return self.shop.client.request(method, path, headers=headers, **given)


@pytest.fixture(scope="module")
def guarded(
    published_once: Published, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("keys")
    made = {
        "read": key_of("read"),
        "write": key_of("write"),
        "admin": key_of("admin"),
        "anna": key_of("read", "write", user_id="anna"),
        "slow": key_of("read", per_second=0.5),
        "over": key_of("read", "write", "admin", expires_at=NOW),
    }
    write_keys(folder / "keys.json", [kept for kept, _ in made.values()])
    ring = KeyRing(folder / "keys.json")
    with live_shop(published_once.store, folder, keys=ring) as shop:
        yield Guarded(shop, folder / "keys.json", {name: key for name, (_, key) in made.items()})


def operations(shop: LiveShop) -> list[tuple[str, str, str | None]]:
    """Return method, path and the scope of every documented operation."""
    page = shop.client.get("/openapi.json").json()
    found = []
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            security = operation.get("security")
            scope = None if security is None else security[0]["key"][0]
            filled = path.replace("{", "").replace("}", "")
            found.append((method.upper(), filled, scope))
    return found


def test_everything_but_health_needs_a_key_with_the_scope_it_names(guarded: Guarded) -> None:
    told = operations(guarded.shop)
    assert {path for _, path, scope in told if scope is None} == OPEN
    assert {scope for _, _, scope in told} == {None, "read", "write", "admin"}
    for method, path, scope in told:
        if scope is None:
            continue
        body = {"json": {}} if method == "POST" else {}
        bare = guarded.send(method, path, None, **body)
        assert bare.status_code == 401, (method, path)
        assert bare.headers["www-authenticate"].startswith("Bearer")
        assert bare.headers["content-type"] == "application/problem+json"
        for other in {"read", "write", "admin"} - {scope}:
            refused = guarded.send(method, path, other, **body)
            assert refused.status_code == 403, (method, path, other)
            assert f"scope {scope}" in refused.json()["detail"]
        assert guarded.send(method, path, scope, **body).status_code not in (401, 403)


@pytest.mark.parametrize(
    "given", ["", "Bearer ", "Bearer x", "Basic abc", "Bearer sr_00000000_00", "Bearer sr_", "sr_1"]
)
def test_what_is_no_key_is_refused(guarded: Guarded, given: str) -> None:
    answered = guarded.shop.client.get("/v1/model", headers={"Authorization": given})
    assert answered.status_code == 401


def test_a_wrong_secret_and_an_expired_key_are_refused(guarded: Guarded) -> None:
    right = guarded.keys["read"]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    assert guarded.send("GET", "/v1/model", right).status_code == 200
    assert guarded.send("GET", "/v1/model", wrong).status_code == 401
    assert guarded.send("GET", "/v1/model", "over").status_code == 401


def event(user_id: str) -> dict[str, object]:
    return {"event_id": user_id, "user_id": user_id, "event_type": "view", "item_id": "i00001"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/recommendations", {"user_id": "USER"}),
        ("POST", "/v1/recommendations:batch", {"requests": [{"user_id": "USER"}]}),
        ("POST", "/v1/events", {"events": [event("anna"), event("USER")]}),
        ("POST", "/v1/reviews", {"review_id": "r", "user_id": "USER", "rating": 3}),
        ("GET", "/v1/users/USER/profile", None),
    ],
)
def test_a_key_of_one_user_sees_that_user_alone(
    guarded: Guarded, method: str, path: str, body: Any
) -> None:
    def send(user_id: str) -> Any:
        filled = json.loads(json.dumps(body).replace("USER", user_id))
        given = {} if body is None else {"json": filled}
        return guarded.send(method, path.replace("USER", user_id), "anna", **given)

    assert send("anna").status_code in (200, 404)
    refused = send("bob")
    assert refused.status_code == 403
    assert "another user" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/metrics", "/v1/model"])
def test_a_key_of_one_user_does_not_see_how_the_shop_does(guarded: Guarded, path: str) -> None:
    refused = guarded.send("GET", path, "anna")
    assert refused.status_code == 403
    assert "of one user alone" in refused.json()["detail"]


def test_no_trace_tells_a_key() -> None:
    kept, key = key_of("read")
    assert key not in repr(Caller(kept, key))


def test_a_key_of_one_user_gets_no_page_of_another(guarded: Guarded) -> None:
    first = guarded.send("POST", "/v1/recommendations", "read", json={"user_id": "bob"}).json()
    path = f"/v1/recommendations/{first['recommendation_id']}/next"
    token = {"token": first["next_token"]}
    assert guarded.send("POST", path, "anna", json=token).status_code == 403
    assert guarded.send("POST", path, "read", json=token).status_code == 200


def test_who_asks_too_often_is_told_when_to_come_again(guarded: Guarded) -> None:
    assert guarded.send("GET", "/v1/model", "slow").status_code == 200
    refused = guarded.send("GET", "/v1/model", "slow")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "2"
    assert guarded.send("GET", "/v1/model", "read").status_code == 200


def test_only_hashes_are_kept_in_a_file_of_the_owner_alone(guarded: Guarded) -> None:
    content = guarded.file.read_text()
    assert not any(key in content or key.split("_")[2] in content for key in guarded.keys.values())
    assert "anna" not in content
    assert stat.S_IMODE(os.stat(guarded.file).st_mode) == 0o600


def test_keys_are_taken_over_while_the_server_runs(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    (one, first), (other, second) = key_of("read"), key_of("write")
    write_keys(path, [one])
    ring = KeyRing(path, clock=lambda: NOW)
    assert ring.find(first) == one
    assert ring.find(second) is None

    write_keys(path, [other])
    end = time.monotonic() + 10
    while ring.find(second) is None and time.monotonic() < end:
        time.sleep(0.05)
    assert ring.find(second) == other
    assert ring.find(first) is None, "it was revoked"

    path.write_text("[{]")
    time.sleep(1.1)
    assert ring.find(second) == other, "a damaged file changes nothing"


def test_a_key_ends_when_it_should() -> None:
    key, _ = key_of("read", expires_at=NOW + timedelta(days=1))
    assert not key.is_expired(NOW + timedelta(hours=23))
    assert key.is_expired(NOW + timedelta(days=1))


def test_a_limit_is_shared_by_replicas(tmp_path: Path) -> None:
    key, _ = key_of("read", per_second=4.0)
    write_keys(tmp_path / "keys.json", [key])
    ring = KeyRing(tmp_path / "keys.json", num_replicas=2)
    waits = [ring.wait_s(key) for _ in range(4)]
    assert waits[:2] == [0.0, 0.0]
    assert all(0 < wait <= 0.5 for wait in waits[2:])


def test_wrong_wishes_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="of one user cannot have the scope admin"):
        key_of("admin", user_id="anna")
    with pytest.raises(KeysError, match="at least 1"):
        key_of()
    with pytest.raises(KeysError, match="greater than 0"):
        key_of("read", per_second=0.0)
    assert read_keys(tmp_path / "none.json") == []
    (tmp_path / "bad.json").write_text('{"a": 1}')
    with pytest.raises(KeysError, match="no file of keys"):
        read_keys(tmp_path / "bad.json")
    with pytest.raises(KeysError, match="cannot read"):
        read_keys(tmp_path)
