"""`sentirec satisfaction` over a small store, as people and machines see it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from table_rows import rows
from typer.testing import CliRunner

from features.store import Store
from jobs.cli import app
from jobs.config import Config
from jobs.errors import BadInputError
from jobs.settings import score_config
from sentiment.schema import EMBEDDING_DIM
from sentiment.scorer import model_version


def at(month: int) -> datetime:
    return datetime(2026, month, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two brands, one of which is disliked and sent back in March."""
    opened = Store(tmp_path_factory.mktemp("shop"))
    version = model_version(score_config(Config()).scorer)
    opened.append(
        "items",
        rows(
            "items",
            {"item_id": "a", "brand": "=Good", "categories": ["x"]},
            {"item_id": "b", "brand": "Bad", "categories": ["x"]},
        ),
    )
    bought = [
        {"user_id": f"u{user}", "item_id": item, "event_type": kind, "event_time": at(month)}
        for user, item, kind, month in [
            (0, "a", "purchase", 1), (1, "a", "purchase", 2), (2, "b", "purchase", 1),
            (3, "b", "purchase", 3), (3, "b", "return", 3),
        ]
    ]  # fmt: skip
    opened.append(
        "events",
        rows("events", *({"event_id": f"e{n}", "seq": n} | row for n, row in enumerate(bought))),
    )
    said = [
        (0, "a", 5.0, 0.9, 1), (1, "a", 5.0, 0.8, 2),
        (2, "b", 2.0, -0.4, 2), (3, "b", 1.0, -0.9, 3),
    ]  # fmt: skip
    opened.append(
        "reviews",
        rows(
            "reviews",
            *(
                {
                    "review_id": f"r{user}",
                    "user_id": f"u{user}",
                    "item_id": item,
                    "rating": stars,
                    "text": "words",
                    "source": "review",
                    "event_time": at(month),
                    "seq": user,
                }
                for user, item, stars, _, month in said
            ),
        ),
    )
    scores = {
        "model_version": version,
        "language": "en",
        "p_neutral": 0.0,
        "intensity": 0.5,
        "stars_expected": 3.0,
        "mixed": False,
        "aspects": [],
        "needs": [],
        "truncated": False,
        "embedding": np.eye(1, EMBEDDING_DIM)[0].tolist(),
    }
    opened.append(
        "review_signals",
        rows(
            "review_signals",
            *(
                scores
                | {
                    "review_id": f"r{user}",
                    "polarity": polarity,
                    "p_negative": (1 - polarity) / 2,
                    "p_positive": (1 + polarity) / 2,
                }
                for user, _, _, polarity, _ in said
            ),
        ),
    )
    return opened


def groups(store: Store, *arguments: str) -> tuple[list[dict], str]:
    result = CliRunner().invoke(
        app, ["satisfaction", "--store", store.root, "--json", "out.json", *arguments]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return json.loads(Path("out.json").read_text())["groups"], result.output


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_least_satisfied_brand_is_shown_first(store: Store) -> None:
    found, printed = groups(store)
    by_brand = {row["brand"]: row for row in found}
    assert by_brand["Bad"]["satisfaction"] < by_brand["=Good"]["satisfaction"]
    assert (by_brand["Bad"]["num_returned"], by_brand["Bad"]["return_rate"]) == (1, 0.5)
    assert printed.index("Bad") < printed.index("=Good")
    assert "small" in printed


def test_months_are_dates_and_a_cut_leaves_out_what_comes_later(store: Store) -> None:
    found, printed = groups(store, "--by", "brand", "--by", "period", "--as-of", "2026-03-01")
    assert [(row["brand"], row["period"]) for row in found] == [
        ("=Good", "2026-01-01T00:00:00Z"),
        ("=Good", "2026-02-01T00:00:00Z"),
        ("Bad", "2026-01-01T00:00:00Z"),
        ("Bad", "2026-02-01T00:00:00Z"),
    ]
    assert "2026-01-01" in printed
    assert [row["num_opinions"] for row in found] == [1, 1, 0, 1]


def test_all_groups_go_into_a_file_that_a_spreadsheet_does_not_run(store: Store) -> None:
    found, printed = groups(store, "--show", "1", "--csv", "index.csv")
    assert "1 of 2" in printed
    written = pl.read_csv("index.csv")
    assert written["brand"].to_list() == ["'=Good", "Bad"]
    assert written["satisfaction"].to_list() == pytest.approx([r["satisfaction"] for r in found])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "colour"], "group by some of item_id, .* not colour"),
        (["--period", "day"], "period must be one of week, month, quarter, year, not 'day'"),
        (["--by", "country"], "groups of users need the table users"),
    ],
)
def test_what_cannot_be_grouped_is_named(store: Store, arguments: list[str], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        groups(store, *arguments)
