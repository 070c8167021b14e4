"""Invariants of a generated shop, whatever its size and settings."""

import datetime as dt
import gzip
import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.schema import Events, Items, Users
from jobs.sample_shop import Shop, ShopConfig, expected_satisfaction, generate_shop, write_shop
from sentiment.schema import Reviews

SMALL = {"num_items": 100, "num_users": 80, "num_reviews": 240, "num_events": 2400}


@cache
def _shop(**changes: float | int | str) -> Shop:
    return generate_shop(ShopConfig(**{**SMALL, **changes}))  # pyright: ignore[reportArgumentType]


CASES = (
    {"seed": 1},
    {"seed": 2, "sentiment_effect": 0.0},
    {"seed": 3, "sentiment_effect": 2.0, "chinese_share": 0.5},
    {"seed": 4, "num_items": 300, "start": "2019-06-15", "days": 200},
    {"seed": 5, "num_users": 40, "chinese_share": 0.0},
    {"seed": 6, "num_users": 120, "num_events": 4000, "chinese_share": 1.0},
)


@pytest.fixture(params=CASES, ids=lambda case: f"seed{case['seed']}")
def shop(request: pytest.FixtureRequest) -> Shop:
    return _shop(**request.param)


def _check_invariants(shop: Shop) -> None:
    _check_tables(shop)
    _check_order(shop)
    _check_sessions(shop)
    _check_reviews(shop)
    _check_spans(shop)


def _check_tables(shop: Shop) -> None:
    assert Items.is_valid(shop.items)
    assert Users.is_valid(shop.users)
    assert Events.is_valid(shop.events)
    assert Reviews.is_valid(shop.reviews)
    assert shop.items.height == shop.config.num_items
    assert shop.users.height == shop.config.num_users
    assert shop.reviews.height == shop.config.num_reviews
    assert (shop.events["event_type"] == "purchase").sum() == shop.config.num_purchases
    assert shop.events.height == pytest.approx(shop.config.num_events, rel=0.06)
    assert (
        shop.events.join(shop.items, on="item_id", how="anti")["item_id"].null_count()
        == (shop.events["event_type"] == "search").sum()
    )
    assert shop.events.join(shop.users, on="user_id", how="anti").is_empty()


def _check_order(shop: Shop) -> None:
    start = dt.datetime.fromisoformat(shop.config.start).replace(tzinfo=dt.UTC)
    end = start + dt.timedelta(days=shop.config.days)
    for table in (shop.events, shop.reviews):
        assert table["seq"].to_list() == list(range(table.height))
        assert table["event_time"].is_sorted()
        assert table["event_time"].is_between(start, end, closed="left").all()
    about_items = shop.events.join(shop.items.select("item_id", "created_at"), on="item_id")
    assert (about_items["event_time"] >= about_items["created_at"]).all()
    by_users = shop.events.join(shop.users.select("user_id", "signup_at"), on="user_id")
    assert (by_users["event_time"] >= by_users["signup_at"]).all()


def _check_sessions(shop: Shop) -> None:
    key = ["session_id", "user_id", "item_id"]
    first = {
        kind: shop.events.filter(pl.col("event_type") == kind)
        .group_by(key)
        .agg(pl.col("seq").min().alias(kind))
        for kind in ("view", "cart", "purchase")
    }
    bought = first["purchase"].join(first["view"], on=key, how="left")
    bought = bought.join(first["cart"], on=key, how="left")
    assert (bought["view"] < bought["cart"]).all()
    assert (bought["cart"] < bought["purchase"]).all()
    assert bought["view"].null_count() == 0
    returns = shop.events.filter(pl.col("event_type") == "return")
    back = returns.join(first["purchase"], on=["user_id", "item_id"], how="left")
    assert back["purchase"].null_count() == 0
    assert (back.group_by("event_id").agg(pl.col("seq").first() > pl.col("purchase").min()))[
        "seq"
    ].all()


def _check_reviews(shop: Shop) -> None:
    told = shop.reviews.join(shop.truth.reviews, on="review_id")
    told = told.join(shop.events, on="event_id", suffix="_bought")
    assert told.height == shop.reviews.height
    assert (told["user_id"] == told["user_id_bought"]).all()
    assert (told["item_id"] == told["item_id_bought"]).all()
    assert (told["event_time"] > told["event_time_bought"]).all()
    assert not shop.reviews.select("user_id", "item_id").is_duplicated().any()
    stars = shop.truth.purchases.join(shop.truth.reviews, on="event_id")
    stars = stars.join(shop.reviews, on="review_id")
    assert (stars["stars"] == stars["rating"]).all()


def _check_spans(shop: Shop) -> None:
    texts = dict(shop.reviews.select("review_id", "text").iter_rows())
    for told in (shop.truth.opinions, shop.truth.needs):
        for review_id, start, end in told.select("review_id", "start", "end").iter_rows():
            assert 0 <= start < end <= len(texts[review_id])
            assert texts[review_id][start:end] == texts[review_id][start:end].strip()
    counts = shop.truth.opinions.group_by("review_id").len()
    assert counts.height == shop.reviews.height
    assert counts["len"].is_between(1, 4).all()
    spans = shop.truth.opinions.sort("review_id", "start")
    overlap = spans.select(
        (pl.col("start") < pl.col("end").shift(1).over("review_id")).fill_null(False).any()
    )
    assert not overlap.item()
    assert not shop.reviews["text"].str.contains("[{}]").any()
    assert not shop.reviews["title"].str.contains("[{}]").any()


def test_invariants_hold(shop: Shop) -> None:
    _check_invariants(shop)


@given(
    seed=st.integers(0, 2**31),
    effect=st.floats(0, 4),
    share=st.floats(0, 1),
    num_users=st.integers(30, 100),
    days=st.integers(180, 500),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_invariants_hold_anywhere(
    seed: int, effect: float, share: float, num_users: int, days: int
) -> None:
    _check_invariants(
        generate_shop(
            ShopConfig(
                seed=seed,
                num_items=120,
                num_users=num_users,
                num_reviews=200,
                num_events=1800,
                sentiment_effect=effect,
                chinese_share=share,
                days=days,
            )
        )
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_items": 10}, "num_items is 10, wanted at least 100"),
        ({"num_reviews": 100}, "num_reviews is 100, wanted at least 160"),
        ({"num_events": 1000}, "num_events is 1000, wanted at least 1920"),
        ({"num_reviews": 600, "num_events": 9000}, "raise num_users or num_items"),
        ({"sentiment_effect": -0.1}, "sentiment_effect is -0.1"),
        ({"chinese_share": 1.5}, "chinese_share is 1.5"),
        ({"start": "1 May"}, "start is '1 May'"),
        ({"days": 10}, "days is 10"),
    ],
)
def test_config_names_what_is_wrong(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShopConfig(**{**SMALL, **changes})  # pyright: ignore[reportArgumentType]


_DIGEST = """
import hashlib, sys, tempfile, pathlib
from jobs.sample_shop import ShopConfig, generate_shop, write_shop
folder = pathlib.Path(sys.argv[1])
write_shop(generate_shop(ShopConfig(
    num_items=100, num_users=80, num_reviews=240, num_events=2400)), folder)
"""


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    write_shop(_shop(), tmp_path / "here")

    subprocess.run(
        [sys.executable, "-c", _DIGEST, str(tmp_path / "there")],
        check=True,
        env={"PYTHONHASHSEED": "123", "PYTHONPATH": ":".join(p for p in sys.path if p)},
        cwd=Path(__file__).parents[2],
    )

    assert _digests(tmp_path / "here") == _digests(tmp_path / "there")


def test_written_tables_read_back(tmp_path: Path) -> None:
    shop = _shop()

    write_shop(shop, tmp_path)

    lines = gzip.decompress((tmp_path / "events.jsonl.gz").read_bytes()).splitlines()
    assert len(lines) == shop.events.height
    row = json.loads(lines[0])
    assert row["event_id"] == shop.events["event_id"][0]
    assert dt.datetime.fromisoformat(row["event_time"]) == shop.events["event_time"][0]
    assert json.loads((tmp_path / "items.jsonl").read_text().splitlines()[0])["categories"]
    for name, frame in shop.truth.frames().items():
        assert pl.read_parquet(tmp_path / "truth" / f"{name}.parquet").equals(frame)


def test_effect_leaves_the_rest_of_the_world_alone() -> None:
    without, with_effect = _shop(sentiment_effect=0.0), _shop(sentiment_effect=1.0)

    assert without.items.equals(with_effect.items)
    assert without.users.equals(with_effect.users)
    assert without.truth.item_quality.equals(with_effect.truth.item_quality)
    assert without.truth.user_preferences.equals(with_effect.truth.user_preferences)


def test_nothing_is_real() -> None:
    users = _shop().users

    assert users["email"].str.ends_with("@example.com").all()
    assert users["phone"].drop_nulls().str.contains(r"^\+155555501\d\d$").all()


def test_expected_satisfaction_agrees_with_the_purchases() -> None:
    shop = _shop()
    expected = expected_satisfaction(shop.truth)
    user = {u: row for row, u in enumerate(expected["user_id"])}
    bought = shop.truth.purchases

    looked_up = [expected[i][user[u]] for u, i in bought.select("user_id", "item_id").iter_rows()]

    np.testing.assert_allclose(looked_up, bought["expected"].to_numpy(), rtol=1e-9)
