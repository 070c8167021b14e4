"""`sentirec segments export`, `sync`, `verify-log`, as a marketer calls them."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from features.api_keys import new_key, write_keys
from features.schema import TABLES
from features.store import Store
from jobs import cli
from jobs.segment_delivery_commands import KEY_VARIABLE

CONFIG = """
[store]
path = "{folder}/store"
[segments]
definitions = ["{folder}/segments.toml"]
min_size = 3
min_change = 1
[segments.holdout]
share = 0.3
salt = "spring"
[destinations.files]
kind = "csv"
channel = "email"
folder = "{folder}/out"
[destinations.kept-up]
kind = "parquet"
channel = "email"
folder = "{folder}/kept"
is_contact = false
"""
SEGMENTS = """
[segments.germans]
description = "[/dim] lives in Germany"
where = { user = "country", equals = "DE" }
"""
QUIET = """
[segments.quiet]
where = { all = [
  { user = "country", equals = "DE" },
  { contacts = "count", last_days = 14, equals = 0 },
] }
"""
USERS = [f"user-{number:02d}" for number in range(20)]
NOW = "2026-06-01"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    store = Store(tmp_path / "store")
    schema = TABLES["users"].create_empty().schema
    rows = [
        {"user_id": user, "country": "DE" if n < 15 else "FR", "consents": ["email"]}
        for n, user in enumerate(USERS)
    ]
    store.append("users", pl.DataFrame([{**dict.fromkeys(schema), **r} for r in rows], schema))
    (tmp_path / "sentirec.toml").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "segments.toml").write_text(SEGMENTS)
    monkeypatch.chdir(tmp_path)
    give_key(tmp_path, monkeypatch, "export", name="[/b] marketing")
    return tmp_path


def give_key(
    shop: Path, monkeypatch: pytest.MonkeyPatch, scope: str, *, name: str = "somebody"
) -> None:
    kept, key = new_key(frozenset({scope}), now=datetime.now(UTC), name=name)  # type: ignore[arg-type]
    write_keys(shop / "store" / "api_keys.json", [kept])
    monkeypatch.setenv(KEY_VARIABLE, key)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["segments", *arguments])


def told(shop: Path) -> dict[str, object]:
    return json.loads((shop / "told.json").read_text())


def test_a_list_is_exported_kept_up_and_written_down(shop: Path) -> None:
    done = call(
        *("export", "germans", "--to", "files", "--as-of", NOW, "--json", "told.json"),
        *("--experiment", "spring", "--exposures", "spring.parquet"),
    )
    assert done.exit_code == 0, done.output
    delivery = told(shop)["delivery"]
    assert isinstance(delivery, dict)
    (file,) = (shop / "out" / "germans").glob("*.csv")
    sent = pl.read_csv(file)["user_id"].to_list()
    assert set(sent) < set(USERS[:15])
    assert delivery["size"] == len(sent)
    arms = pl.read_parquet(shop / "spring.parquet")
    assert set(arms.filter(pl.col("variant") == "treatment")["user_id"]) == set(sent)
    control = set(arms.filter(pl.col("variant") == "control")["user_id"])
    assert control | set(sent) == set(USERS[:15])
    assert control.isdisjoint(sent)

    assert call("sync", "germans", "--to", "kept-up", "--as-of", NOW).exit_code == 0
    again = call("sync", "germans", "--to", "kept-up", "--as-of", NOW)
    assert "nothing has changed" in again.output
    verified = call("verify-log", "--json", "told.json")
    assert verified.exit_code == 0, verified.output
    entries = told(shop)["entries"]
    assert isinstance(entries, list)
    assert [entry["kind"] for entry in entries] == ["planned", "delivered"] * 2
    assert {entry["actor"]["name"] for entry in entries} == {"[/b] marketing"}
    log = shop / "store" / "audit" / "exports.jsonl"
    log.write_bytes(log.read_bytes().replace(b"kept-up", b"kept-on", 1))
    assert call("verify-log").exit_code == 1
    assert call("export", "germans", "--to", "files", "--as-of", NOW).exit_code == 1


def test_nobody_leaves_a_list_for_being_on_it(shop: Path) -> None:
    store = Store(shop / "store")
    (shop / "segments.toml").write_text(QUIET)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    arguments = ("sync", "quiet", "--to", "files", "--as-of", later)
    assert call(*arguments).exit_code == 0
    assert store.scan("contacts").collect()["segment"].unique().to_list() == ["quiet"]
    assert "nothing has changed" in call(*arguments).output
    written = store.scan("contacts").with_columns(
        contact_id="other " + pl.col("contact_id"), segment=pl.lit("news")
    )
    store.append("contacts", written.head(2).collect())
    assert call(*arguments, "--json", "told.json").exit_code == 0
    delivery = told(shop)["delivery"]
    assert isinstance(delivery, dict)
    assert (delivery["added"], delivery["removed"]) == (0, 2), "whom others wrote to leaves"


def test_who_is_in_a_more_important_segment_is_left_to_it(shop: Path) -> None:
    everybody = '[segments.everybody]\nwhere = { user = "country", in = ["DE", "FR"] }\n'
    (shop / "segments.toml").write_text(SEGMENTS + everybody)
    config = shop / "sentirec.toml"
    ranked = 'min_size = 3\npriority = ["germans", "everybody"]'
    config.write_text(config.read_text().replace("min_size = 3", ranked))
    assert call("sync", "everybody", "--to", "files", "--as-of", NOW).exit_code == 0
    (file,) = (shop / "out" / "everybody").glob("*.csv")
    assert set(pl.read_csv(file)["user_id"]) <= set(USERS[15:])


def test_an_export_needs_a_key_with_the_scope(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("export", "germans", "--to", "files", "--as-of", NOW)
    give_key(shop, monkeypatch, "admin")
    assert "needs a key with the scope export" in str(call(*arguments).exception)
    monkeypatch.setenv(KEY_VARIABLE, f"{os.environ[KEY_VARIABLE]}0")
    assert "not among those" in str(call(*arguments).exception)
    monkeypatch.delenv(KEY_VARIABLE)
    assert "keys create --scope export" in str(call(*arguments).exception)
    assert not (shop / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("export", "germans", "--to", "nowhere", "--as-of", NOW), "there is files, kept-up"),
        (("export", "nobody", "--to", "files", "--as-of", NOW), "no segment nobody"),
        (("export", "germans", "--to", "files", "--experiment", "x"), "go together"),
        (("sync", "germans", "--to", "files", "--as-of", "soon"), "no ISO 8601 time"),
    ],
)
def test_what_cannot_be_used_is_named(shop: Path, arguments: tuple[str, ...], why: str) -> None:
    done = call(*arguments)
    assert done.exit_code != 0
    assert why in str(done.exception)
    assert not (shop / "out").exists()
