"""What is said, against a count by hand; batches in any order; levels and whom they borrow from."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import day, items, reviews, signals

from features.day_state import day_state, merged
from features.levels import with_levels
from features.opinion import ITEM_OPINION, MEASURES, STARS_LEVEL, USER_OPINION
from features.profile_state import felt_reviews
from features.profiles import item_profiles, user_profiles, visible_state
from features.schema import Events
from features.visibility import everything
from sentiment.emotions import SHOP_EMOTIONS

AS_OF = day(400)
EVENTS_SCHEMA = Events.create_empty().schema
REVIEW = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u", "v"]),
        "item_id": st.sampled_from(["a", "b", "c"]),
        "rating": st.sampled_from([None, 1.0, 2.0, 4.0, 5.0]),
        "day": st.integers(0, 399),
        "polarity": st.sampled_from([None, -0.9, -0.1, 0.3, 0.8]),
        "joy": st.sampled_from([None, 0.1, 0.9]),
    }
)
REVIEWS = st.lists(REVIEW, min_size=1, max_size=30)
CATALOGUE = items(*({"item_id": name} for name in "abc"))


def said(rows: Sequence[dict]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reviews and signals; a row without polarity has no words."""
    table = reviews(*rows)
    felt = {f"r{place}": row.get("polarity") for place, row in enumerate(rows)}
    made = signals({name: value for name, value in felt.items() if value is not None})
    joy = {f"r{place}": row.get("joy") for place, row in enumerate(rows)}
    # Built row by row: a struct whose fields are all null is a struct still.
    emotions = [
        {name: joy[review] if name == "joy" else None for name in SHOP_EMOTIONS}
        for review in made["review_id"]
    ]
    return table, made.with_columns(pl.Series("emotions", emotions, dtype=made.schema["emotions"]))


def profiles(rows: Sequence[dict], kind: str = "item") -> dict[str, dict]:
    table, made = said(rows)
    visible = everything(pl.DataFrame(schema=EVENTS_SCHEMA), table, as_of=AS_OF)
    state = visible_state(CATALOGUE.lazy(), visible, made.lazy())
    if kind == "item":
        frame = item_profiles(CATALOGUE.lazy(), state, AS_OF)
    else:
        frame = user_profiles(state, AS_OF)
    return {row[f"{kind}_id"]: row for row in frame.to_dicts()}


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


@given(REVIEWS)
@pytest.mark.parametrize("kind", ["item", "user"])
def test_features_are_what_counting_by_hand_gives(kind: str, rows: list[dict]) -> None:
    days = 90 if kind == "item" else 365
    for key, profile in profiles(rows, kind).items():
        own = [row for row in rows if row[f"{kind}_id"] == key]
        stars = [row["rating"] for row in own if row["rating"] is not None]
        felt = [row for row in own if row["polarity"] is not None]
        polarity = [row["polarity"] for row in felt]
        late = mean([row["polarity"] for row in felt if row["day"] >= 400 - days])
        before = mean([row["polarity"] for row in felt if row["day"] < 400 - days])
        joys = [row["joy"] for row in felt if row["joy"] is not None]
        wanted = {
            "num_reviews": len(own),
            "stars_mean": mean(stars),
            "polarity_mean": mean(polarity),
            "days_since_review": 400 - max(row["day"] for row in own) if own else None,
            "polarity_trend": None if late is None or before is None else late - before,
            "joy_share": mean([value >= 0.5 for value in joys]),
            "anger_share": None,
        }
        if kind == "user":
            wanted["negative_share"] = mean([value < -0.2 for value in polarity])
        for name, value in wanted.items():
            assert profile[name] == pytest.approx(value, abs=1e-6), (key, name)


@given(REVIEWS, st.integers(1, 4), st.randoms(use_true_random=False))
@pytest.mark.parametrize("key", ["user_id", "item_id"])
def test_batches_in_any_order_merge_to_the_state_of_all(
    key: str, rows: list[dict], num_batches: int, random
) -> None:
    table, made = said(rows)
    felt = felt_reviews(table.lazy(), made.lazy()).collect()
    part = pl.Series([random.randrange(num_batches) for _ in rows])
    states = [
        day_state(felt.filter(part == number).lazy(), key, MEASURES)
        for number in range(num_batches)
    ]
    random.shuffle(states)
    together = merged(pl.concat(states), key, MEASURES).sort(key, "day").collect()
    whole = day_state(felt.lazy(), key, MEASURES).sort(key, "day").collect()
    for left, right in zip(together.select(whole.columns), whole, strict=True):
        if right.dtype.is_float():
            assert left.to_list() == pytest.approx(right.to_list(), abs=1e-9)
        else:
            assert left.to_list() == right.to_list()


@given(REVIEWS)
def test_levels_lie_within_their_scale_and_their_interval(rows: list[dict]) -> None:
    for profile in profiles(rows).values():
        for name, low, high in (("polarity_smoothed", -1, 1), ("stars_smoothed", 1, 5)):
            if profile[name] is not None and profile[f"{name}_low"] is not None:
                ends = [low, profile[f"{name}_low"], profile[name], profile[f"{name}_high"], high]
                assert ends == sorted(ends), name


def test_a_change_for_the_worse_stands_out_from_noise() -> None:
    steady = [
        {"user_id": "u", "item_id": "a", "day": at, "polarity": 0.5 + 0.1 * (at % 3)}
        for at in range(0, 400, 10)
    ]
    worse = [
        row | {"item_id": "b", "polarity": row["polarity"] - (1.2 if row["day"] >= 310 else 0)}
        for row in steady
    ]
    found = profiles([*steady, *worse])
    assert abs(found["a"]["polarity_drift"]) < 2
    assert found["b"]["polarity_drift"] < -5


def test_a_new_item_borrows_from_its_brand_and_says_so() -> None:
    catalogue = items(
        *({"item_id": f"good{n}", "brand": "Fine", "categories": ["x"]} for n in range(6)),
        *({"item_id": f"poor{n}", "brand": "Shoddy", "categories": ["x"]} for n in range(6)),
        {"item_id": "new", "brand": "Shoddy", "categories": ["x"]},
        {"item_id": "other", "brand": "Nobody", "categories": ["x"]},
        {"item_id": "stray"},
    )
    rows = [
        {"user_id": f"u{k}", "item_id": f"{kind}{n}", "rating": stars + k % 2, "day": 1}
        for kind, stars in (("good", 4.0), ("poor", 1.0))
        for n in range(6)
        for k in range(4)
    ]
    table, made = said(rows)
    visible = everything(pl.DataFrame(schema=EVENTS_SCHEMA), table, as_of=AS_OF)
    state = visible_state(catalogue.lazy(), visible, made.lazy())
    frame = item_profiles(catalogue.lazy(), state, AS_OF)
    found = {row["item_id"]: row for row in frame.to_dicts()}
    borrowed = {name: found[name]["stars_borrowed_from"] for name in ("new", "other", "stray")}
    assert borrowed == {"new": "brand", "other": "shop", "stray": "shop"}
    assert found["new"]["stars_smoothed"] < 2.0
    assert found["other"]["stars_smoothed"] == pytest.approx(3.0, abs=0.2)
    assert found["good0"]["stars_borrowed_from"] is None
    assert found["new"]["stars_own_share"] == 0.0


@pytest.mark.parametrize("features", [USER_OPINION, ITEM_OPINION])
def test_declarations_are_whole(features: tuple) -> None:
    names = [feature.name for feature in features]
    assert len(set(names)) == len(names)
    for feature in features:
        assert feature.default is not None or "null" in feature.meaning, feature.name


def levels_of(*groups: tuple[str | None, list[float]]) -> list[dict]:
    """Levels of items given as a brand and ratings."""
    own = STARS_LEVEL.moments
    frame = pl.DataFrame(
        [
            {
                "item_id": f"i{place}",
                "brand": brand,
                own.count: len(stars),
                own.total: float(sum(stars)),
                own.squares: float(sum(star**2 for star in stars)),
            }
            for place, (brand, stars) in enumerate(groups)
        ],
        schema={"item_id": pl.String, "brand": pl.String}
        | dict.fromkeys((own.count, own.total, own.squares), pl.Float64),
    )
    found = with_levels(frame, [STARS_LEVEL], "item_id", ["brand"])
    return found.rename(lambda name: name.removeprefix("stars~")).to_dicts()


def many_items(seed: int = 0, brands: int = 0) -> list[tuple[str | None, list[float]]]:
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, 0.5, max(1, brands))
    return [
        (
            f"b{n % brands}" if brands else None,
            np.clip(rng.normal(3.5 + shift[n % max(1, brands)], 0.4) + rng.normal(0, 1, 20), 1, 5)
            .round(2)
            .tolist(),
        )
        for n in range(120)
    ]


def test_one_angry_review_of_a_lone_brand_sinks_nothing() -> None:
    *_, branded, unseen, plain = levels_of(*many_items(), ("B", [1.0]), ("B", []), (None, [1.0]))
    assert branded["level"] == pytest.approx(plain["level"], abs=0.01)
    assert unseen["level"] > 3.2
    assert unseen["borrowed_from"] == "shop"


def test_a_brand_moves_by_how_well_it_is_known() -> None:
    *_, once, often, plain = levels_of(
        *many_items(brands=20),
        ("one", [1.0]), ("many", [1.0] * 500),
        ("one", []), ("many", []), (None, []),
    )  # fmt: skip
    assert often["level"] < once["level"] - 0.2
    assert once["level"] < plain["level"]


def test_where_nothing_differs_intervals_are_those_of_the_mean() -> None:
    [row] = levels_of((None, [4.0, 5.0, 3.0]))
    assert row["level"] == pytest.approx(4.0)
    assert row["low"] == pytest.approx(4.0 - 1.96 / 3**0.5, abs=0.01)


def test_a_message_to_support_is_no_verdict_on_the_item() -> None:
    rows = [
        {"user_id": "u", "item_id": "a", "rating": 5.0, "day": 1, "polarity": 0.8},
        {"user_id": "u", "item_id": "a", "day": 2, "polarity": -0.9, "source": "support"},
    ]
    of_item, of_user = profiles(rows)["a"], profiles(rows, "user")["u"]
    assert of_item["polarity_mean"] == pytest.approx(0.8, abs=1e-6)
    assert of_item["num_reviews"] == 2
    assert of_user["polarity_mean"] == pytest.approx(-0.05, abs=1e-6)
