"""Pages of satisfaction, brands, trends and needs: self-contained, and the same as their JSON."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from alerts_shop import BROKEN, BROKEN_DAY, START, Row, make_store
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from features.store import Store
from jobs.cli import app
from jobs.config import Config
from jobs.draw_report_figures import draw_intervals, draw_lines
from jobs.errors import BadInputError
from jobs.settings import score_config
from jobs.trend_reports import NeedsReport
from jobs.write_trend_reports import needs_json, needs_report
from recsys.need_clusters import cluster_needs
from recsys.opinion_changes import opinion_changes
from sentiment.schema import ReviewSignals
from sentiment.scorer import ReviewScorer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(str(tmp_path_factory.mktemp("reports") / "shop"))


def written(store: Store, folder: Path, *args: str) -> tuple[str, dict]:
    page, figures = folder / "page.html", folder / "figures.json"
    done = CliRunner().invoke(
        app,
        ["report", *args, "--store", store.root, "--out", str(page), "--json", str(figures)],
    )
    assert done.exit_code == 0, (done.output, done.exception)
    return page.read_text(), json.loads(figures.read_text())


def check_page(page: str) -> None:
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    pictures = re.findall(r"<img ([^>]*)>", page)
    assert pictures
    assert all(re.search(r'alt="[^"]{20,}"', one) for one in pictures)


def test_satisfaction(store: Store, tmp_path: Path) -> None:
    page, figures = written(store, tmp_path, "satisfaction", "--period", "month")
    check_page(page)
    brands = figures["by"]["brand"]
    assert [row["brand"] for row in brands] == ["b0", "b1", "b2"]
    assert all(
        row["satisfaction_low"] < row["satisfaction"] < row["satisfaction_high"] for row in brands
    )
    assert f"{brands[0]['satisfaction']:.1f}" in page


def test_brands(store: Store, tmp_path: Path) -> None:
    page, figures = written(store, tmp_path, "brand", "--period", "week")
    check_page(page)
    voice = figures["voice"]
    assert sum(row["share"] for row in voice) == pytest.approx(1.0)
    reviews = store.scan("reviews").collect()
    assert sum(row["num_reviews"] for row in voice) == len(reviews)
    assert all(row["low"] < row["share"] < row["high"] for row in voice)
    assert {row["aspect"] for row in figures["complaints"]} == {"durability"}


def test_trends(store: Store, tmp_path: Path) -> None:
    until = (START + timedelta(days=BROKEN_DAY + 12)).isoformat()
    page, figures = written(store, tmp_path, "trends", "--as-of", until)
    check_page(page)
    worst = figures["opinion_changes"]["item"][0]
    assert worst["change"] < 0
    assert {one["of"] for one in figures["forecasts"]} == {"demand", "sentiment"}
    for one in figures["forecasts"]:
        assert (one["forecast"] is None) == (one["why_not"] is not None)
        if one["forecast"] is not None:
            best = min(trial["mase"] for trial in one["trials"].values())
            assert one["trials"][one["method"]]["mase"] == best
    assert "MASE" in page


def test_what_cannot_be_is_refused(store: Store, tmp_path: Path) -> None:
    run = CliRunner()
    wrong = run.invoke(
        app,
        ["report", "brand", "--period", "day", "--store", store.root, "--out", str(tmp_path / "x")],
    )
    assert isinstance(wrong.exception, BadInputError)
    assert "week, month" in str(wrong.exception)
    nowhere = run.invoke(app, ["report", "brand", "--store", store.root, "--out", "/no/page.html"])
    assert "there is no folder" in str(nowhere.exception)


def test_needs_are_read_gathered_and_quoted(tmp_path: Path) -> None:
    texts = {
        "ann": "Good lamp, but I wish the cable was longer.",
        "bob": "I wish the cable were longer, it hardly reaches the wall.",
        "cat": "Bright and quiet. I just wish the cable was a bit longer!",
        "dan": "Does it fit an old E14 bulb?",
        "eve": "Bright and quiet, I use it every day.",
    }
    more: list[Row] = [(user, "i01", 20, 17, False, text, True) for user, text in texts.items()]
    whole, store = make_store(str(tmp_path / "whole"), more), Store(str(tmp_path / "shop"))
    store.append("items", whole.scan("items").collect())
    for name in ("users", "events", "reviews"):
        rows = whole.scan(name).filter(pl.col("user_id").is_in(list(texts)))
        store.append(name, rows.collect())
    scorer = ReviewScorer.load(score_config(Config()).scorer)
    signals = scorer.score_reviews(store.scan("reviews").collect())
    store.append("review_signals", ReviewSignals.validate(signals))
    page, figures = written(store, tmp_path, "needs")
    check_page(page)
    assert figures["num_needs"] == 4
    [cable] = figures["clusters"]
    assert (cable["num_needs"], cable["num_users"]) == (3, 3)
    assert all("cable" in quote and quote in " ".join(texts.values()) for quote in cable["quotes"])
    assert all(quote in page for quote in cable["quotes"])


def needs_of(rows: list[tuple[str, str]]) -> pl.DataFrame:
    time = datetime(2025, 5, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "item_id": ["i1"] * len(rows),
            "review_id": [f"r{place}" for place in range(len(rows))],
            "user_id": [user for user, _ in rows],
            "need": [need for _, need in rows],
            "kind": ["improvement"] * len(rows),
            "event_time": [time + timedelta(days=20 * place) for place in range(len(rows))],
        }
    )


def test_needs_of_one_meaning_are_counted_by_people() -> None:
    needs = needs_of(
        [("a", "a longer cable"), ("a", "longer cable"), ("b", "more cable"), ("c", "<b>blue</b>")]
    )
    vectors = np.array([[1.0, 0.0], [0.99, 0.1], [0.98, 0.15], [0.0, 1.0]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = cluster_needs(needs, vectors)
    assert [(one.num_needs, one.num_users) for one in found] == [(3, 2)]
    assert found[0].need == "longer cable"
    assert set(found[0].quotes) == {"a longer cable", "longer cable", "more cable"}
    assert cluster_needs(needs[:1], vectors[:1]) == []
    with pytest.raises(ValueError, match="vectors"):
        cluster_needs(needs, vectors[:2])
    lone = cluster_needs(needs, vectors, least_users=1)
    kinds = pl.DataFrame({"kind": ["improvement"], "num_needs": [4], "num_users": [3]})
    report = NeedsReport(
        as_of=datetime(2025, 6, 1, tzinfo=UTC),
        num_needs=4,
        num_read=4,
        by_kind=kinds,
        clusters=lone,
    )
    page = needs_report(report)
    check_page(page)
    assert "<b>blue" not in page
    assert "&lt;b&gt;blue" in page
    assert json.dumps(needs_json(report))


def test_changes_of_opinion_are_those_of_the_windows() -> None:
    rng = np.random.default_rng(0)
    end = datetime(2025, 6, 1, tzinfo=UTC)
    rows = [
        (key, end - timedelta(days=day), float(np.clip(mean + 0.2 * rng.normal(), -1, 1)))
        for key, late in (("falls", -0.5), ("stays", 0.5), ("rises", 0.9))
        for day in range(100)
        for mean in [late if day < 28 else 0.5]
    ]
    felt = pl.DataFrame(rows, schema=["key", "event_time", "polarity"], orient="row")
    found = opinion_changes(felt)
    assert found["key"].to_list() == ["falls", "stays", "rises"]
    assert found["q_value"][0] < 1e-6
    assert found["q_value"][1] > 0.05
    assert found["low"][1] < 0 < found["high"][1]
    assert opinion_changes(felt.filter(pl.col("key") == BROKEN)).is_empty()


def test_intervals_of_few_opinions_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    keys, windows = 800, np.repeat([5, 40], 5)
    felt = pl.DataFrame(
        {
            "key": np.repeat([f"k{n}" for n in range(keys)], 10),
            "polarity": rng.normal(0, 0.3, 10 * keys),
            "event_time": [datetime(2026, 6, 1) - timedelta(days=int(d)) for d in windows] * keys,
        }
    )
    newest = felt.head(1).with_columns(key=pl.lit("last"), event_time=pl.lit(datetime(2026, 6, 1)))
    found = opinion_changes(pl.concat([felt, newest]))
    held = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    assert isinstance(held, float)
    error = np.sqrt(0.95 * 0.05 / keys)
    assert abs(held - 0.95) < 3 * error + 0.01


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_name_can_be_drawn(names: list[str]) -> None:
    dollars = [*names, "$x_$ cheaper", "A$$P ^{", "_secret"]
    ones = [1.0] * len(dollars)
    rows = draw_intervals(dollars, ones, ones, ones, label="x")
    now = datetime(2026, 1, 1)
    lines = draw_lines([(name, [now], [1.0], None, None) for name in dollars[-3:]], label="y")
    for figure in (rows, lines):
        figure.savefig(io.BytesIO(), format="svg")
    legend = lines.axes[0].get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 3
