"""The index by hand, its groups, and that nothing later moves it."""

import numpy as np
import polars as pl
import pytest
from rows import day, events, items, reviews, signals

from features.satisfaction_index import SatisfactionConfig, satisfaction_index
from features.schema import Users
from features.visibility import everything

ITEMS = items(
    {"item_id": "a", "brand": "B", "categories": ["x", "y"]},
    {"item_id": "b", "brand": "B", "categories": ["x"]},
    {"item_id": "c", "brand": None, "categories": []},
)
EVENTS = events(
    {"user_id": "u", "item_id": "a", "day": 1},
    {"user_id": "u", "item_id": "a", "event_type": "return", "day": 9},
    {"user_id": "v", "item_id": "a", "day": 2},
    {"user_id": "v", "item_id": "a", "day": 3},
    {"user_id": "v", "item_id": "b", "day": 40},
    {"user_id": "w", "item_id": "c", "day": 41},
    {"user_id": "w", "item_id": "b", "day": 41},
)
REVIEWS = reviews(
    {"user_id": "u", "item_id": "a", "rating": 1.0, "day": 8},
    {"user_id": "v", "item_id": "a", "rating": 3.0, "day": 10},
    {"user_id": "v", "item_id": "b", "rating": 5.0, "day": 50},
    {"user_id": "w", "item_id": "b", "rating": None, "text": "fine", "day": 51},
    {"user_id": "w", "item_id": "b", "rating": 1.0, "source": "support", "day": 52},
    {"user_id": "w", "item_id": "c", "rating": 4.0, "day": 52},
)
POLARITY = {"r0": -1.0, "r2": 0.6, "r3": 0.8, "r4": -0.9}
SIGNALS = signals(POLARITY)
USERS = pl.DataFrame(
    {
        "user_id": ["u", "v", "w"],
        "country": ["DE", "DE", None],
        "language": ["de", "de", "en"],
        "consents": [[], [], []],
    },
    schema_overrides={"consents": pl.List(pl.String)},
)


def index(*by: str, until: float = 100, **options) -> list[dict]:
    visible = everything(EVENTS, REVIEWS, as_of=day(until))
    config = SatisfactionConfig(**options)
    return satisfaction_index(
        ITEMS.lazy(), visible, SIGNALS.lazy(), by=by, users=USERS.lazy(), config=config
    ).to_dicts()


def test_what_was_observed_stands_as_it_was() -> None:
    of_item = {row["item_id"]: row for row in index("item_id")}
    assert (
        of_item["a"]
        | {
            "num_opinions": 2,
            "num_purchases": 2,
            "num_returned": 1,
            "stars_mean": 2.0,
            "polarity_mean": -1.0,
            "return_rate": 0.5,
        }
        == of_item["a"]
    )
    # The support message is no judgement, and words without stars count as well.
    assert (of_item["b"]["num_opinions"], of_item["b"]["stars_mean"]) == (2, 5.0)
    assert of_item["b"]["polarity_mean"] == pytest.approx(0.7)
    assert of_item["a"]["satisfaction"] < of_item["c"]["satisfaction"]
    assert all(
        0 <= row["satisfaction_low"] <= row["satisfaction"] <= row["satisfaction_high"] <= 100
        for row in of_item.values()
    )
    assert all(row["is_small"] for row in of_item.values())


def test_without_shrinkage_and_returns_it_is_the_mean_of_what_was_said() -> None:
    # One group is its own prior: (0 + 0.5 + (1 + 0.8) / 2 + 0.9) / 4 of the brand.
    [brand] = index("brand", kept_weight=0.0)
    assert brand["brand"] == "B"
    assert brand["satisfaction"] == pytest.approx(100 * (0.0 + 0.5 + 0.9 + 0.9) / 4)
    # Alone it cannot be shrunk; its interval is that of a mean of four.
    reach = 100 * 1.959964 * np.std([0.0, 0.5, 0.9, 0.9], ddof=1) / 2
    assert brand["own_share"] == 0.0
    assert brand["satisfaction_low"] == pytest.approx(brand["satisfaction"] - reach)
    [with_returns] = index("brand")
    assert with_returns["satisfaction"] == pytest.approx(0.75 * 57.5 + 0.25 * 75.0)
    [stars_alone] = index("brand", kept_weight=0.0, polarity_weight=0.0)
    assert stars_alone["satisfaction"] == pytest.approx(100 * (0.0 + 0.5 + 1.0) / 3)


def test_an_item_counts_in_each_of_its_categories_and_one_without_in_none() -> None:
    found = {row["category"]: row["num_opinions"] for row in index("category")}
    assert found == {"x": 4, "y": 2}


def test_periods_begin_where_they_are_cut() -> None:
    found = index("brand", "period")
    assert [(row["period"], row["num_opinions"], row["num_purchases"]) for row in found] == [
        (day(0), 2, 2),
        (day(31), 2, 2),
    ]
    assert [row["period"] for row in index("brand", "period", period="year")] == [day(0)]


def test_groups_of_users_leave_out_those_of_whom_the_key_is_unknown() -> None:
    assert [(row["country"], row["num_purchases"]) for row in index("country")] == [("DE", 3)]
    assert [row["language"] for row in index("language")] == ["de", "en"]


def test_aspects_are_judged_by_what_is_said_of_them() -> None:
    def mention(aspect: str, polarity: float) -> dict:
        return {"aspect": aspect, "polarity": polarity, "confidence": 0.9, "start": 0, "end": 4}

    said = [[mention("sound", 1.0), mention("price", 0.0)], [mention("sound", -0.5)] * 2, [], []]
    heard = SIGNALS.with_columns(pl.Series("aspects", said, dtype=SIGNALS.schema["aspects"]))
    visible = everything(EVENTS, REVIEWS, as_of=day(100))
    found = satisfaction_index(ITEMS.lazy(), visible, heard.lazy(), by=["aspect"])
    assert found.select("aspect", "num_opinions", "polarity_mean", "num_purchases").rows() == [
        ("price", 1, 0.0, 0),
        ("sound", 2, 0.25, 0),
    ]
    assert found["return_rate"].to_list() == [None, None]


def test_nothing_later_moves_it() -> None:
    early = index("item_id", until=30)
    assert [row["item_id"] for row in early] == ["a"]
    cut = everything(
        EVENTS.filter(pl.col("event_time") < day(30)),
        REVIEWS.filter(pl.col("event_time") < day(30)),
        as_of=day(30),
    )
    alone = satisfaction_index(ITEMS.lazy(), cut, SIGNALS.lazy(), by=["item_id"])
    assert alone.to_dicts() == early


def test_an_empty_shop_has_no_groups() -> None:
    empty = everything(EVENTS.clear(), REVIEWS.clear(), as_of=day(1))
    found = satisfaction_index(ITEMS.lazy(), empty, SIGNALS.lazy(), by=["brand"])
    assert found.is_empty()
    assert found.columns[:2] == ["brand", "num_opinions"]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (["shop"], "group by some of item_id, .*, not shop"),
        ([], "not none"),
        (["country"], "need the table users"),
    ],
)
def test_wrong_groups_are_named(by: list[str], message: str) -> None:
    visible = everything(EVENTS, REVIEWS, as_of=day(100))
    with pytest.raises(ValueError, match=message):
        satisfaction_index(ITEMS.lazy(), visible, SIGNALS.lazy(), by=by)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kept_weight": 1.0}, r"within \[0, 1\), not 1.0"),
        ({"stars_weight": 0.0, "polarity_weight": 0.0}, "one above it"),
        ({"polarity_weight": -1.0}, "at least 0"),
        ({"period": "day"}, "one of week, month, quarter, year, not 'day'"),
    ],
)
def test_a_wrong_config_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SatisfactionConfig(**options)


def test_the_users_of_these_tests_are_those_of_the_contract() -> None:
    assert set(USERS.columns) <= set(Users.create_empty().columns)
