"""`sentirec keys`: keys are made, listed and revoked, also by several people at once."""

import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from features.api_keys import ApiKey, KeyRing, new_key, read_keys, write_keys
from features.errors import KeysError
from serving import keys_command
from serving.keys_command import keys


def run(*arguments: str) -> str:
    ended = CliRunner().invoke(keys, arguments)
    if ended.exception is not None:
        raise ended.exception
    return ended.output


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    store = ("--store", str(tmp_path))
    key = run("create", "--scope", "read", "--name", "page", "--user", "anna", *store).strip()
    (kept,) = read_keys(tmp_path / "api_keys.json")
    assert KeyRing(tmp_path / "api_keys.json").find(key) == kept
    assert kept.is_of(key, "anna")
    assert not kept.is_of(key, "bob")
    told = run("list", *store)
    assert kept.key_id in told
    assert key not in told
    run("revoke", kept.key_id, *store)
    assert read_keys(tmp_path / "api_keys.json") == []
    with pytest.raises(KeysError, match="there is no key"):
        run("revoke", kept.key_id, *store)
    with pytest.raises(KeysError, match="--scope is one of read, write, admin"):
        run("create", "--scope", "root", *store)


def test_a_key_that_is_made_meanwhile_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read, then replaced: nobody else may replace it in between."""
    path = tmp_path / "api_keys.json"
    others: list[threading.Thread] = []
    (other, _) = new_key(frozenset({"write"}), now=keys_command.datetime.now(keys_command.UTC))

    def make_other() -> None:
        with keys_command.changing_keys(path):
            write_keys(path, [*read_keys(path), other])

    def reading(found: Path) -> list[ApiKey]:
        kept = read_keys(found)
        if not others:
            others.append(threading.Thread(target=make_other))
            others[0].start()
            others[0].join(0.3)
        return kept

    monkeypatch.setattr(keys_command, "read_keys", reading)
    run("create", "--scope", "read", "--store", str(tmp_path))
    others[0].join()
    assert [key.scopes for key in read_keys(path)] == [{"read"}, {"write"}]
