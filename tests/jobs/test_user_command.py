"""`sentirec user`: what profiles say of somebody, and the sentences behind it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from table_rows import rows
from typer.testing import CliRunner

from features.errors import StoreError
from features.store import Store
from jobs.build_profiles import profiles
from jobs.cli import app
from jobs.config import Config
from jobs.settings import score_config
from sentiment.schema import EMBEDDING_DIM
from sentiment.scorer import model_version

TEXTS = {
    "anna": "The strap is soft.<br/>The strap of this one is soft too. Sound is [/red] thin!",
    "bert": "Sound is fine. Sounds were fine before.",
    "cleo": "Sound is great.",
}
OPINIONS = [
    ("anna", "strap", "The strap is", 0.8),
    ("anna", "strap", "strap of", 0.6),
    ("anna", "sound", "Sound", -0.7),
    ("bert", "sound", "Sound", 0.5),
    ("bert", "sounds", "Sounds", 0.4),
    ("cleo", "sound", "Sound", 0.9),
]


def at(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


def opinion(text: str, aspect: str, where: str, polarity: float) -> dict[str, Any]:
    cleaned = text.replace("<br/>", " ")
    start = cleaned.index(where)
    span = {"start": start, "end": start + len(where)}
    return {"aspect": aspect, "polarity": polarity, "confidence": 0.9, **span}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    opened = Store(tmp_path_factory.mktemp("shop"))
    version = model_version(score_config(Config()).scorer)
    opened.append("items", rows("items", {"item_id": "a", "categories": ["x"], "brand": "B"}))
    users = list(TEXTS)
    events = [
        {"user_id": user, "item_id": "a", "event_type": "purchase", "event_time": at(place + 1)}
        for place, user in enumerate([*users, "dora"])
    ]
    opened.append(
        "events",
        rows("events", *({"event_id": f"e{n}", "seq": n} | row for n, row in enumerate(events))),
    )
    written = [
        {"review_id": f"r-{user}", "user_id": user, "item_id": "a", "text": text,
         "source": "review", "event_time": at(9), "seq": 0}
        for user, text in TEXTS.items()
    ]  # fmt: skip
    opened.append("reviews", rows("reviews", *written))
    said = [
        {"review_id": f"r-{user}", "model_version": version, "language": "en", "polarity": 0.2,
         "p_negative": 0.2, "p_neutral": 0.4, "p_positive": 0.4, "intensity": 0.2,
         "stars_expected": 3.4, "mixed": False, "needs": [], "truncated": False,
         "aspects": [opinion(text, a, b, c) for who, a, b, c in OPINIONS if who == user]}
        for user, text in TEXTS.items()
    ]  # fmt: skip
    signals = rows("review_signals", *said)
    vectors = np.eye(len(said), EMBEDDING_DIM, dtype=np.float32)
    opened.append(
        "review_signals",
        signals.with_columns(pl.Series("embedding", vectors, dtype=signals.schema["embedding"])),
    )
    profiles(opened, version=version, as_of=at(20))
    return opened


def run(store: Store, user: str, *more: str) -> str:
    result = CliRunner().invoke(app, ["user", user, "--store", store.root, *more])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_what_a_user_stresses_comes_with_their_own_sentences(store: Store) -> None:
    card = json.loads(run(store, "bert", "--json", "-"))
    [sound] = card["aspects"]
    assert (sound["aspect"], sound["num_mentions"], sound["num_reviews"]) == ("sound", 1, 1)
    told = [(said["sentence"], said["polarity"]) for said in sound["sentences"]]
    assert told == [
        ("Sound is fine.", pytest.approx(0.5)),
        ("Sounds were fine before.", pytest.approx(0.4)),
    ]
    assert sound["sentences"][0]["review_id"] == "r-bert"
    assert card["profile"]["num_purchases"] == 1
    assert card["affinities"]["brand"] == {"B": 1.0}


def test_aspects_that_few_write_of_are_not_told(store: Store) -> None:
    card = json.loads(run(store, "anna", "--json", "-"))
    assert [row["aspect"] for row in card["aspects"]] == ["sound"]
    assert card["aspects"][0]["sentences"][0]["sentence"] == "Sound is [/red] thin!"
    assert "Sound is [/red] thin!" in run(store, "anna")


def test_people_see_tables(store: Store) -> None:
    shown = run(store, "cleo")
    for part in ("cleo as of 2026-01-20", "num_purchases", "brand", "B 100%", "Sound is great."):
        assert part in shown
    assert "in their words" in run(store, "dora")


def test_nobody_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no profile of this user"):
        run(store, "nobody")
    with pytest.raises(StoreError):
        run(Store(tmp_path / "none"), "anna")
