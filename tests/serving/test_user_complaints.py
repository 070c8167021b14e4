"""An aspect that disappointed a user counts against items that others find wanting in it."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from live_shop import NOW, live_shop
from published_shop import Published

from recsys.user_complaints import UserComplaints

PLACES = {"sound": 0, "strings": 1}


def table_of(*rows: tuple[str, str, float, float]) -> pl.DataFrame:
    """Return the table of rows of user, aspect, polarity and days ago."""
    told = [(user, aspect, felt, NOW - timedelta(days=days)) for user, aspect, felt, days in rows]
    columns = {"user_id": pl.String, "aspect": pl.String, "polarity": pl.Float64}
    schema = {**columns, "event_time": pl.Datetime("us", "UTC")}
    return pl.DataFrame(told, schema=schema, orient="row")


def test_complaints_of_each_user_fade() -> None:
    complaints = UserComplaints.of(
        table_of(
            ("v", "strings", -0.4, 0),
            ("u", "sound", -0.8, 30),
            ("u", "smell", -1.0, 0),
            ("v", "strings", 0.3, 0),
        ),
        PLACES,
    )
    now = int(NOW.timestamp() * 1e6)

    def found(name: str | None) -> list[float] | None:
        told = complaints.of_user(name, now, 30.0)
        return None if told is None else told.tolist()

    assert found("u") == pytest.approx([0.4, 0.0])
    assert found("v") == pytest.approx([0.0, 0.1])
    assert found("w") is found(None) is None


def test_nobody_complained() -> None:
    assert UserComplaints.of(table_of(), PLACES).of_user("u", 0, 30.0) is None
    assert UserComplaints.of(table_of(("u", "x", -1.0, 0)), {}).of_user("u", 0, 30.0) is None


def test_items_with_the_weakness_lose_relevance(published: Published, tmp_path: Path) -> None:
    user = published.tables["user_profiles"].sort("num_purchases", "user_id")["user_id"][-1]
    said = published.tables["item_aspects"].filter(pl.col("polarity") < 0)
    aspect = said["aspect"].mode().sort()[0]
    wanting = dict(said.filter(aspect=aspect).select("item_id", "polarity").iter_rows())
    with live_shop(published.store, tmp_path / "before") as shop:
        before = {item.item_id: item.score for item in shop.ask(user_id=user, k=100).items}
    assert set(wanting) & set(before)
    published.store.overwrite("user_complaints", table_of((user, aspect, -1.0, 0)))
    with live_shop(published.store, tmp_path / "after") as shop:
        after = {item.item_id: item.score for item in shop.ask(user_id=user, k=100).items}
        other = shop.ask(user_id="somebody else", k=100).items
    assert set(after) == set(before)
    for item, score in before.items():
        lost = 0.2 * -wanting[item] if item in wanting else 0.0
        assert after[item] == pytest.approx(score * (1 - lost), rel=1e-5)
    with live_shop(published.store, tmp_path / "stranger") as shop:
        assert shop.ask(user_id="somebody else", k=100).items == other
