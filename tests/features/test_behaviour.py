"""Behaviour against a count by hand, and the kept state: batches in any order, nothing later."""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import DAY_0, day, events

from features.behaviour import ITEM_BEHAVIOUR, MEASURES, USER_BEHAVIOUR, WINDOWS_DAYS
from features.day_state import day_state, merged, read_features
from features.feature import Feature, Measure, days_since, filled, ratio, total

AS_OF = day(400.6)
KINDS = ("view", "cart", "purchase", "return", "wishlist")
EVENT = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u", "v"]),
        "item_id": st.sampled_from(["a", "b"]),
        "event_type": st.sampled_from(KINDS),
        "day": st.integers(0, 40_000).map(lambda hundredths: hundredths / 100),
        "quantity": st.sampled_from([None, 1, 3]),
        "price_cents": st.sampled_from([None, 0, 250]),
    }
)
EVENTS = st.lists(EVENT, min_size=1, max_size=40)


def priced(rows: Sequence[dict]) -> pl.LazyFrame:
    listed = pl.when(pl.col("item_id") == "a").then(1000).cast(pl.Int64)
    return events(*rows).lazy().with_columns(list_price_cents=listed)


def state_of(rows: Sequence[dict], key: str = "user_id") -> pl.LazyFrame:
    return day_state(priced(rows), key, MEASURES)


def read(state: pl.LazyFrame, key: str = "user_id") -> pl.DataFrame:
    features = USER_BEHAVIOUR if key == "user_id" else ITEM_BEHAVIOUR
    return read_features(state, key, MEASURES, features, as_of=AS_OF).sort(key).collect()


def by_hand(rows: Sequence[dict], user: str) -> dict[str, float | None]:
    """Count one user's features in plain Python."""
    own = [row for row in rows if row["user_id"] == user]
    today = int(400.6)
    found: dict[str, float | None] = {}
    for kind, name in zip(KINDS[:4], ("views", "carts", "purchases", "returns"), strict=True):
        of_kind = [row["day"] for row in own if row["event_type"] == kind]
        found[f"num_{name}"] = len(of_kind)
        for window in WINDOWS_DAYS:
            found[f"num_{name}_{window}d"] = sum(int(d) >= today - window for d in of_kind)
    bought = [row for row in own if row["event_type"] == "purchase"]
    prices = [
        (row["day"], row["price_cents"], row["quantity"] or 1)
        if row["price_cents"] is not None
        else (row["day"], 1000 if row["item_id"] == "a" else None, row["quantity"] or 1)
        for row in bought
    ]
    known = [(d, price, quantity) for d, price, quantity in prices if price is not None]
    found["spend_cents"] = sum(price * quantity for _, price, quantity in known)
    found["spend_cents_30d"] = sum(p * q for d, p, q in known if int(d) >= today - 30)
    found["mean_price_cents"] = sum(p for _, p, _ in known) / len(known) if known else None
    found["days_since_last"] = 400.6 - max(row["day"] for row in own)
    found["days_known"] = 400.6 - min(row["day"] for row in own)
    found["days_since_purchase"] = 400.6 - max(row["day"] for row in bought) if bought else None
    views, returns = found["num_views"], found["num_returns"]
    found["conversion"] = len(bought) / views if views else None
    found["return_rate"] = min(1.0, (returns or 0) / len(bought)) if bought else 0.0
    return found


@given(EVENTS)
def test_features_are_what_counting_by_hand_gives(rows: list[dict]) -> None:
    profiles = read(state_of(rows))
    assert set(profiles["user_id"]) == {row["user_id"] for row in rows}
    for profile in profiles.iter_rows(named=True):
        for name, value in by_hand(rows, profile["user_id"]).items():
            assert profile[name] == pytest.approx(value, abs=1e-6), name


@given(EVENTS, st.integers(1, 5), st.randoms(use_true_random=False))
@pytest.mark.parametrize("key", ["user_id", "item_id"])
def test_batches_in_any_order_merge_to_the_state_of_all(
    key: str, rows: list[dict], num_batches: int, random
) -> None:
    batches: list[list[dict]] = [[] for _ in range(num_batches)]
    for row in rows:
        random.choice(batches).append(row)
    states = [state_of(batch, key) for batch in batches if batch]
    together = states[0]
    for state in states[1:]:
        together = merged(pl.concat([state, together]), key, MEASURES)
    whole = state_of(rows, key).sort(key, "day").collect()
    assert together.select(whole.columns).sort(key, "day").collect().equals(whole)
    assert read(together, key).equals(read(state_of(rows, key), key))


@given(EVENTS, EVENTS)
def test_a_window_ends_with_as_of_and_begins_with_a_day(
    rows: list[dict], older: list[dict]
) -> None:
    """Events of more than a year ago move no window."""
    past = [row | {"day": row["day"] / 500 - 1} for row in older]
    alone, with_past = read(state_of(rows)), read(state_of([*rows, *past]))
    windows = [f.name for f in USER_BEHAVIOUR if f.window_days is not None]
    assert len(windows) == 5 * len(WINDOWS_DAYS)
    seen = with_past.filter(pl.col("user_id").is_in(alone["user_id"].to_list()))
    assert seen.select("user_id", *windows).equals(alone.select("user_id", *windows))


def test_the_day_of_as_of_counts_up_to_it_and_a_window_begins_at_midnight() -> None:
    rows = [
        {"user_id": "u", "item_id": "a", "event_type": "view", "day": at}
        for at in (400.5, 393.0, 392.99)
    ]
    [profile] = read(state_of(rows)).to_dicts()
    assert (profile["num_views"], profile["num_views_7d"]) == (3, 2)


def test_events_without_a_key_are_in_no_profile() -> None:
    searches = events(
        {"user_id": "u", "item_id": None, "event_type": "search", "query": "q", "day": 1}
    )
    state = day_state(
        searches.lazy().with_columns(list_price_cents=pl.lit(None, dtype=pl.Int64)),
        "item_id",
        MEASURES,
    )
    assert read(state, "item_id").is_empty()


def test_a_trend_is_last_month_against_a_month_of_those_before() -> None:
    rows = [{"user_id": "u", "item_id": "a", "day": at} for at in (390, 391, 392, 340, 345)]
    [item] = read(state_of(rows, "item_id"), "item_id").to_dicts()
    assert item["purchase_trend"] == pytest.approx(0.6931, abs=1e-4)  # log((3 + 1) / (2 / 2 + 1))


@pytest.mark.parametrize("features", [USER_BEHAVIOUR, ITEM_BEHAVIOUR])
def test_declarations_are_whole(features: tuple[Feature, ...]) -> None:
    names = [feature.name for feature in features]
    assert len(set(names)) == len(names)
    for feature in features:
        told = feature.described()
        assert told["name"] == feature.name
        assert told["unit"]
        assert len(told["meaning"]) > 5
        assert feature.default is not None or "null" in feature.meaning, feature.name
        if feature.window_days is not None:
            assert feature.name.endswith("trend") or feature.name.endswith(
                f"_{feature.window_days}d"
            )


def test_a_key_without_events_has_the_defaults() -> None:
    features = (*USER_BEHAVIOUR,)
    empty = pl.LazyFrame({"user_id": ["nobody"]}).with_columns(
        pl.lit(None).alias(feature.name) for feature in features
    )
    [row] = filled(empty, features).collect().to_dicts()
    assert (row["num_views"], row["return_rate"], row["conversion"]) == (0, 0.0, None)


def test_what_is_not_kept_cannot_be_read() -> None:
    unkept = Measure(name="clicks", value=pl.lit(1))
    feature = Feature(
        name="num_clicks", scope="user", dtype=pl.Int64, unit="events", value=total(unkept),
        meaning="clicks", default=0,
    )  # fmt: skip
    state = state_of([{"user_id": "u", "item_id": "a", "day": 1}])
    with pytest.raises(ValueError, match="features read clicks; kept are views, carts"):
        read_features(state, "user_id", MEASURES, [feature], as_of=AS_OF)


def test_only_sums_have_windows() -> None:
    last = Measure(name="last", value=pl.col("event_time"), how="max")
    with pytest.raises(ValueError, match="a window needs a sum"):
        total(last, 7)
    with pytest.raises(ValueError, match="at least one day"):
        total(MEASURES[0], 0)


def test_ratios_and_ages_of_nothing_are_unknown() -> None:
    frame = pl.DataFrame(
        {"a": [1, 1], "b": [0, 2], "at": [None, DAY_0], "as_of": [DAY_0 + timedelta(days=3)] * 2}
    )
    found = frame.select(ratio(pl.col("a"), pl.col("b")), age=days_since(pl.col("at")))
    assert found.rows() == [(None, None), (0.5, 3.0)]
