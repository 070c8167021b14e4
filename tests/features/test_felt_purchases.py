"""Which purchases became known to have pleased or not, and when."""

import polars as pl
from rows import day, events, items, reviews, signals

from features.felt_purchases import felt_purchases

CATALOGUE = items({"item_id": "a", "categories": ["all", "x"]}, {"item_id": "b"})


def felt(done: list[dict], said: list[dict], polarity: dict[str, float]) -> dict[str, tuple]:
    found = felt_purchases(
        events(*done).lazy(), reviews(*said).lazy(), CATALOGUE.lazy(), signals(polarity).lazy()
    )
    assert found["bought_at"].is_sorted()
    return {
        f"{row['user_id']}{row['item_id']}": (row["category"], row["told_at"], row["satisfied"])
        for row in found.to_dicts()
    }


def test_stars_come_before_words_and_a_return_before_both() -> None:
    done = [
        {"user_id": user, "item_id": item, "day": 1}
        for user, item in ("ua", "va", "wa", "xa", "ya", "ub")
    ]
    done += [{"user_id": "x", "item_id": "a", "day": 9, "event_type": "return"}]
    said = [
        {"user_id": "u", "item_id": "a", "rating": 4.0, "day": 2},
        {"user_id": "v", "item_id": "a", "rating": 3.5, "day": 3},
        {"user_id": "w", "item_id": "a", "day": 4},
        {"user_id": "x", "item_id": "a", "rating": 5.0, "day": 5},
        {"user_id": "u", "item_id": "b", "rating": 5.0, "source": "support", "day": 5},
    ]
    assert felt(done, said, {"r0": -1.0, "r1": 1.0, "r2": 0.3}) == {
        "ua": ("x", day(2), 1),
        "va": ("x", day(3), 0),
        "wa": ("x", day(4), 1),
        "xa": ("x", day(9), 0),
    }


def test_the_latest_review_counts_and_words_need_to_be_there() -> None:
    done = [{"user_id": user, "item_id": "b", "day": 3} for user in "uv"]
    said = [
        {"user_id": "u", "item_id": "b", "rating": 5.0, "day": 4},
        {"user_id": "u", "item_id": "b", "rating": 1.0, "day": 6},
        {"user_id": "v", "item_id": "b", "day": 6},
    ]
    assert felt(done, said, {}) == {"ub": ("", day(6), 0)}


def test_what_came_before_the_purchase_tells_nothing_of_it() -> None:
    done = [
        {"user_id": "u", "item_id": "a", "day": 5},
        {"user_id": "u", "item_id": "a", "day": 2, "event_type": "return"},
        {"user_id": "v", "item_id": "a", "day": 5},
    ]
    said = [
        {"user_id": "u", "item_id": "a", "rating": 1.0, "day": 1},
        {"user_id": "v", "item_id": "a", "rating": 1.0, "day": 4},
        {"user_id": "v", "item_id": "a", "rating": 5.0, "day": 5},
    ]
    assert felt(done, said, {}) == {"va": ("x", day(5), 1)}


def test_nothing_felt_is_an_empty_frame() -> None:
    found = felt_purchases(
        events({"user_id": "u", "item_id": "a", "day": 1}).lazy(),
        reviews().lazy(),
        CATALOGUE.lazy(),
        signals({}).lazy(),
    )
    assert found.is_empty()
    assert found.schema["satisfied"] == pl.Int8
