"""Alerts of a shop over its days: found, dated, told apart, seen to, closed, and never doubled."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest
from alerts_shop import (
    BOMBED,
    BOMBED_DAY,
    BROKEN,
    BROKEN_DAY,
    DAY,
    MENDED_DAY,
    START,
    VERSION,
    make_store,
)
from typer.testing import CliRunner

from features.alert_tables import ACKNOWLEDGED, OPEN, RESOLVED
from features.erasure import erase_user
from features.store import Store
from jobs.alert_looks import days_to_look_at
from jobs.alerts_tables import LOCK, change_alerts, read_alerts, read_table
from jobs.cli import app
from jobs.detect_alerts import detect, detect_in, load_tables
from jobs.errors import BadInputError
from recsys.alerts.config import AlertConfig
from recsys.alerts.lifecycle import Recent, after_look, change_by_hand, has_recovered
from recsys.alerts.opinions import day_of
from recsys.errors import AlertError

CONFIG = AlertConfig()
TABLES = ("alerts", "alert_quotes", "alert_changes", "alert_looks", "item_demotions")


def look(store: Store, first: int, last: int) -> None:
    tables = load_tables(store, VERSION)
    with store.lock(LOCK):
        for day in range(first, last + 1):
            detect_in(store, tables, day=DAY + day, config=CONFIG, demotion=0.4)


@pytest.fixture(scope="module")
def looked_once(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Looked at daily until the tenth day of the bad batch; never written to."""
    store = make_store(str(tmp_path_factory.mktemp("alerts") / "shop"))
    look(store, BROKEN_DAY - 3, BROKEN_DAY + 10)
    return store


@pytest.fixture
def looked(looked_once: Store, tmp_path: Path) -> Store:
    """A copy of its own."""
    root = tmp_path / "shop"
    shutil.copytree(looked_once.root, root)
    return Store(root)


def of_item(store: Store, item: str) -> dict:
    found = [alert for alert in read_alerts(store).values() if alert["key"] == item]
    assert len(found) == 1, found
    return found[0]


def content(store: Store) -> list[pl.DataFrame]:
    frames = [read_table(store, name) for name in TABLES]
    return [
        frame.sort([n for n, t in frame.schema.items() if not t.is_nested()]) for frame in frames
    ]


def test_a_bad_batch_and_a_bombing_are_found_and_nothing_else(looked: Store) -> None:
    alerts = read_alerts(looked).values()
    assert {(alert["scope"], alert["key"]) for alert in alerts} == {
        ("item", BROKEN),
        ("item", BOMBED),
    }
    broken, bombed = of_item(looked, BROKEN), of_item(looked, BOMBED)
    assert (broken["kind"], bombed["kind"]) == ("bad_batch", "review_bombing")
    assert abs(broken["onset"] - (START + timedelta(days=BROKEN_DAY))) <= timedelta(days=2)
    assert broken["onset_low"] <= broken["onset"] <= broken["onset_high"]
    # The first review of the batch comes three days after its sale.
    assert DAY + BROKEN_DAY + 3 <= broken["opened_day"] <= DAY + BROKEN_DAY + 10
    assert DAY + BOMBED_DAY <= bombed["opened_day"] <= DAY + BOMBED_DAY + 2
    assert broken["num_buyers"] == DAY + BROKEN_DAY + 10 - day_of(broken["onset"]) + 1
    assert broken["action"] == "stop_sale_and_inspect_batch"
    assert bombed["action"] == "investigate_reviews"
    assert bombed["near_duplicate"] > 0.8 > broken["near_duplicate"]
    assert bombed["not_bought"] > 0.8
    assert broken["not_bought"] == 0.0


def test_only_what_is_really_bad_is_demoted(looked: Store) -> None:
    demoted = read_table(looked, "item_demotions")
    assert demoted.select("item_id", "amount").rows() == [(BROKEN, 0.4)]


def test_the_same_day_again_changes_nothing(looked: Store) -> None:
    before, versions = content(looked), [looked.version(name) for name in TABLES]
    report = detect(looked, version=VERSION, day=DAY + BROKEN_DAY + 10, config=CONFIG, demotion=0.4)
    assert not report.changes
    assert [looked.version(name) for name in TABLES] == versions
    assert all(a.equals(b) for a, b in zip(before, content(looked), strict=True))


def test_looks_go_forward(looked: Store) -> None:
    with pytest.raises(BadInputError, match="looked at already"):
        detect(looked, version=VERSION, day=DAY + BROKEN_DAY, config=CONFIG, demotion=0.4)
    last = DAY + BROKEN_DAY + 10
    assert days_to_look_at(looked, last + 3, 30) == [last + 1, last + 2, last + 3]
    assert days_to_look_at(looked, last, 30) == [last]


def test_later_reviews_change_no_look(looked: Store, tmp_path: Path) -> None:
    cut = Store(tmp_path / "cut")
    end = START + timedelta(days=BROKEN_DAY + 11)
    for name in ("items", "users", "events", "reviews", "review_signals"):
        frame = looked.scan(name).collect()
        if "event_time" in frame.columns:
            frame = frame.filter(pl.col("event_time") < end)
        cut.append(name, frame)
    look(cut, BROKEN_DAY - 3, BROKEN_DAY + 10)
    assert all(a.equals(b) for a, b in zip(content(looked), content(cut), strict=True))


def test_recovery_closes_an_alert_and_restores_the_item(looked: Store) -> None:
    look(looked, BROKEN_DAY + 11, MENDED_DAY + 22)
    broken = of_item(looked, BROKEN)
    assert broken["state"] == RESOLVED
    assert broken["changed_day"] > DAY + MENDED_DAY + 3
    assert read_table(looked, "item_demotions").is_empty()
    notes = read_table(looked, "alert_changes").filter(alert_id=broken["alert_id"])
    notes = notes.sort("number")
    assert notes["state"].to_list() == [OPEN, RESOLVED]
    assert notes["note"][1].startswith("recovered")
    # What it was found for is not held against it again.
    look(looked, MENDED_DAY + 23, MENDED_DAY + 24)
    assert of_item(looked, BROKEN)["state"] == RESOLVED


def test_states_change_by_hand(looked: Store) -> None:
    name = of_item(looked, BROKEN)["alert_id"]
    day = DAY + BROKEN_DAY + 10

    def to(state: str) -> int:
        done = change_alerts(looked, [name], state, day=day, by="ann", note="seen", demotion=0.4)
        return len(done)

    assert [to(ACKNOWLEDGED), to(ACKNOWLEDGED)] == [1, 0]
    assert read_table(looked, "item_demotions")["item_id"].to_list() == [BROKEN]
    assert to(RESOLVED) == 1
    assert read_table(looked, "item_demotions").is_empty()
    with pytest.raises(AlertError, match="is resolved"):
        to(ACKNOWLEDGED)
    with pytest.raises(BadInputError, match="no alert a0"):
        change_alerts(looked, ["a0"], RESOLVED, day=day, by="ann", note=None, demotion=0.4)
    assert read_table(looked, "alert_changes").filter(alert_id=name).height == 3


def _acknowledge(root: str, name: str) -> int:
    changes = change_alerts(
        Store(root), [name], ACKNOWLEDGED, day=DAY, by=name, note=None, demotion=0.4
    )
    return len(changes)


def test_acknowledgements_at_once_are_all_kept(looked: Store) -> None:
    names = sorted(read_alerts(looked))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(_acknowledge, [looked.root] * 4, names * 2))
    assert sum(done) == len(names) == 2
    assert {alert["state"] for alert in read_alerts(looked).values()} == {ACKNOWLEDGED}
    assert read_table(looked, "alert_changes").filter(state=ACKNOWLEDGED).height == 2


def test_who_is_erased_is_quoted_no_more(looked: Store) -> None:
    quotes = read_table(looked, "alert_quotes")
    reviews = looked.scan("reviews").collect()
    told = quotes.join(reviews.select("review_id", "text"), on="review_id")
    assert len(told) == len(quotes) > 0
    assert all(quote in text for quote, text in told.select("quote", "text").iter_rows())
    gone = quotes["user_id"][0]
    erase_user(looked, gone, now=datetime(2026, 1, 1, tzinfo=UTC))
    look(looked, BROKEN_DAY + 10, BROKEN_DAY + 11)
    after = read_table(looked, "alert_quotes")
    assert gone not in after["user_id"].to_list()
    assert len(after)


def test_an_item_that_misses_one_load_keeps_its_alert(looked: Store) -> None:
    before, items = of_item(looked, BROKEN), looked.scan("items").collect()
    quotes = read_table(looked, "alert_quotes").filter(alert_id=before["alert_id"])
    looked.overwrite("items", items.filter(pl.col("item_id") != BROKEN))
    look(looked, BROKEN_DAY + 11, BROKEN_DAY + 11)
    assert of_item(looked, BROKEN) == before
    assert read_table(looked, "item_demotions")["item_id"].to_list() == [BROKEN]
    kept = read_table(looked, "alert_quotes").filter(alert_id=before["alert_id"])
    assert kept.sort("review_id").equals(quotes.sort("review_id"))
    looked.overwrite("items", items)
    look(looked, BROKEN_DAY + 12, BROKEN_DAY + 12)
    after = of_item(looked, BROKEN)
    assert (after["state"], after["looked_day"]) == (OPEN, DAY + BROKEN_DAY + 12)
    assert after["num_reviews"] > before["num_reviews"]


def test_recovery_takes_more_than_a_pause() -> None:
    alert = {
        "alert_id": "a",
        "state": OPEN,
        "share_before": 0.1,
        "share_opened": 0.8,
        "looked_day": 10,
        "recovered_looks": 0,
        "num_changes": 0,
    }
    good = Recent(num_reviews=10, num_negative=1, days_silent=0)
    half = Recent(num_reviews=10, num_negative=4, days_silent=0)
    few = Recent(num_reviews=4, num_negative=0, days_silent=0)
    assert has_recovered(alert, good, CONFIG)
    assert not has_recovered(alert, half, CONFIG)
    assert not has_recovered(alert, few, CONFIG)
    for day, seen, state in (
        (11, good, OPEN),
        (12, half, OPEN),
        (13, good, OPEN),
        (14, good, OPEN),
    ):
        alert, change = after_look(alert, seen, day=day, config=CONFIG)
        assert (alert["state"], change) == (state, None)
    same, _ = after_look(alert, good, day=14, config=CONFIG)
    assert same == alert
    alert, change = after_look(alert, good, day=15, config=CONFIG)
    assert change is not None
    assert alert["state"] == RESOLVED
    silent = Recent(num_reviews=0, num_negative=0, days_silent=91)
    closed, _ = after_look(alert | {"state": OPEN}, silent, day=16, config=CONFIG)
    assert closed["state"] == RESOLVED
    assert change_by_hand(closed, RESOLVED, day=17, by="ann") == (closed, None)


def test_the_command_says_what_it_did(looked: Store, tmp_path: Path) -> None:
    run = CliRunner()
    config = tmp_path / "sentirec.toml"
    config.write_text(f'[alerts]\nfile = "{tmp_path}/alerts.jsonl"\n')
    day = (START + timedelta(days=BROKEN_DAY + 12)).isoformat()
    common = ["--store", looked.root, "--config", str(config)]
    done = run.invoke(
        app, ["alerts", "detect", *common, "--as-of", day, "--json", str(tmp_path / "out.json")]
    )
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out.json").read_text())
    assert {alert["key"] for alert in told["alerts"]} == {BROKEN, BOMBED}
    assert all("user_id" not in json.dumps(alert) for alert in told["alerts"])
    assert told["deliveries"] == {"sent": 2, "failed": 0, "errors": []}
    name = next(alert["alert_id"] for alert in told["alerts"] if alert["key"] == BOMBED)
    done = run.invoke(app, ["alerts", "resolve", name, "--by", "ann", *common])
    assert done.exit_code == 0, done.output
    done = run.invoke(app, ["alerts", "list", "--state", "resolved", *common])
    assert name in done.output
    lines = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == [OPEN, OPEN, RESOLVED]
    assert len({line["key"] for line in lines}) == 3
    wrong = run.invoke(app, ["alerts", "list", "--state", "closed", *common])
    assert isinstance(wrong.exception, BadInputError)
