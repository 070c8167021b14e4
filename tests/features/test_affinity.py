"""What users turn to: against a sum by hand, batches in any order, fading."""

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import day, events, items

from features.affinity import (
    AffinityConfig,
    active_hours,
    favourites,
    languages_used,
    read_affinities,
    summed_weights,
    turned_to,
)

AS_OF = day(200)
CONFIG = AffinityConfig(half_life_days=30)
ITEMS = items(
    {"item_id": "a", "categories": ["all", "x"], "brand": "B", "price_cents": 100},
    {"item_id": "b", "categories": ["all", "y"], "brand": "C", "price_cents": 500},
    {"item_id": "c", "categories": ["x"], "price_cents": 900},
    {"item_id": "bare"},
)
Kept = tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]
NOTHING_WRITTEN = pl.LazyFrame(
    schema={"user_id": pl.String, "event_time": pl.Datetime("us", "UTC"), "language": pl.String}
)
EVENT = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u", "v"]),
        "item_id": st.sampled_from(["a", "b", "c", "bare", "unlisted"]),
        "event_type": st.sampled_from(["view", "cart", "purchase", "return", "impression"]),
        "day": st.integers(0, 19_900).map(lambda hundredths: hundredths / 100),
    }
)
EVENTS = st.lists(EVENT, min_size=1, max_size=25)


def state_of(rows: Sequence[dict], written: pl.LazyFrame = NOTHING_WRITTEN) -> Kept:
    done = events(*rows).lazy()
    return turned_to(done, CONFIG), active_hours(done, CONFIG), languages_used(written, CONFIG)


def read(state: Kept) -> dict[tuple[str, str, str], float]:
    found = read_affinities(*state, ITEMS.lazy(), AS_OF, CONFIG)
    return {(user, kind, value): weight for user, kind, value, weight, _ in found.iter_rows()}


@given(EVENTS)
def test_affinities_are_what_summing_by_hand_gives(rows: list[dict]) -> None:
    weights = {"view": 1.0, "cart": 3.0, "purchase": 5.0}
    categories = {"a": ["all", "x"], "b": ["all", "y"], "c": ["x"]}
    wanted: dict[tuple[str, str, str], float] = {}
    for row in rows:
        weight = weights.get(row["event_type"], 0.0) * 0.5 ** ((200 - row["day"]) / 30)
        if not weight:
            continue
        keys = [("category", name) for name in categories.get(row["item_id"], [])]
        keys += [("brand", {"a": "B", "b": "C"}[row["item_id"]])] if row["item_id"] in "ab" else []
        keys.append(("hour", str(int(row["day"] % 1 * 24 + 1e-9))))
        keys.append(("weekday", str(int(row["day"]) % 7 + 1)))  # The first day is a Monday.
        for kind, value in keys:
            key = row["user_id"], kind, value
            wanted[key] = wanted.get(key, 0.0) + weight
    found = {key: value for key, value in read(state_of(rows)).items() if key[1] != "price_band"}
    assert found.keys() == wanted.keys()
    assert found == pytest.approx(wanted, rel=1e-9)


@given(EVENTS, st.integers(2, 4), st.randoms(use_true_random=False))
def test_batches_in_any_order_merge_to_the_state_of_all(
    rows: list[dict], num_batches: int, random
) -> None:
    batches: list[list[dict]] = [[] for _ in range(num_batches)]
    for row in rows:
        random.choice(batches).append(row)
    states = [state_of(batch) for batch in batches if batch]
    turned, active, spoken = (pl.concat(parts) for parts in zip(*states, strict=True))
    added_up = summed_weights(turned), summed_weights(active), summed_weights(spoken)
    for together in ((turned, active, spoken), added_up):
        assert read(together) == pytest.approx(read(state_of(rows)), rel=1e-9)


def test_shares_of_a_kind_add_up_and_favourites_come_strongest_first() -> None:
    rows = [
        {"user_id": "u", "item_id": "a", "event_type": "view", "day": 190},
        {"user_id": "u", "item_id": "b", "event_type": "purchase", "day": 190},
        {"user_id": "u", "item_id": "c", "event_type": "purchase", "day": 10},
    ]
    written = pl.LazyFrame(
        {
            "user_id": ["u", "u", "u", "w"],
            "event_time": [day(1), day(190), day(191), day(3)],
            "language": ["en", "zh", "und", None],
        }
    )
    found = read_affinities(*state_of(rows, written), ITEMS.lazy(), AS_OF, CONFIG)
    shares = found.group_by("user_id", "kind").agg(pl.col("share").sum())
    assert shares["share"].to_list() == pytest.approx([1.0] * len(shares))
    [row] = favourites(found.lazy()).collect().to_dicts()
    assert row["favourite_categories"] == ["all", "y", "x"]
    assert row["favourite_brands"] == ["C", "B"]
    assert (row["language"], row["active_hour"]) == ("zh", 0)
    assert row["price_band"] == "middle"  # b is the only one of its category


def test_of_nothing_there_are_no_favourites() -> None:
    nothing = read_affinities(*state_of([]), ITEMS.lazy(), AS_OF, CONFIG)
    assert favourites(nothing.lazy()).collect().is_empty()


def test_the_ends_of_time_keep_their_shares() -> None:
    for years in (-50, 80):
        days = [years * 365, years * 365 + 30]
        rows = [
            {"user_id": "u", "item_id": name, "event_type": "view", "day": when}
            for name, when in zip("ab", days, strict=True)
        ]
        found = read_affinities(*state_of(rows), ITEMS.lazy(), day(days[1]), CONFIG)
        brands = found.filter(pl.col("kind") == "brand")
        assert brands["weight"].to_list() == pytest.approx([0.5, 1.0])
        assert brands["share"].to_list() == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"half_life_days": 29}, "at least 30, not 29"),
        ({"weights": {"view": -1.0}}, "weights must be"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AffinityConfig(**wrong)
