"""A state put together from batches, in any order, is that of all rows: profiles are the same."""

import random as random_module

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import day, events, items, reviews, signals

from features.profile_state import PARTS, ProfileState, joined_states, merged_state, profile_state
from features.profiles import item_profiles, user_affinities, user_profiles

AS_OF = day(300)
CATALOGUE = items(
    *(
        {
            "item_id": name,
            "categories": ["all", f"c{place % 2}"],
            "brand": f"B{place % 2}",
            "price_cents": 100 * place,
        }
        for place, name in enumerate("abcd")
    )
)
USERS, ITEMS = st.sampled_from(["u", "v", "w"]), st.sampled_from(list("abcd"))
DAYS = st.integers(0, 29_900).map(lambda hundredths: hundredths / 100)
EVENT = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": ITEMS,
        "event_type": st.sampled_from(["view", "cart", "purchase", "return"]),
        "day": DAYS,
        "price_cents": st.sampled_from([None, 70, 700]),
    }
)
REVIEW = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": st.one_of(st.none(), ITEMS),
        "rating": st.sampled_from([None, 1.0, 4.0, 5.0]),
        "source": st.sampled_from(["review", "support"]),
        "day": DAYS,
    }
)
EVENTS, REVIEWS = st.lists(EVENT, min_size=1, max_size=30), st.lists(REVIEW, max_size=15)


def state_of(table: pl.DataFrame, said: pl.DataFrame, felt: pl.DataFrame) -> ProfileState:
    return profile_state(CATALOGUE.lazy(), table.lazy(), said.lazy(), felt.lazy())


def read(state: ProfileState) -> list[pl.DataFrame]:
    return [
        item_profiles(CATALOGUE.lazy(), state, AS_OF),
        user_profiles(state, AS_OF, user_affinities(CATALOGUE.lazy(), state, AS_OF)),
        user_affinities(CATALOGUE.lazy(), state, AS_OF).sort("user_id", "kind", "value"),
    ]


@settings(max_examples=25)
@given(EVENTS, REVIEWS, st.integers(2, 4), st.randoms(use_true_random=False))
def test_batches_in_any_order_give_the_profiles_of_all_rows(
    done: list[dict], written: list[dict], num_batches: int, random: random_module.Random
) -> None:
    table, said = events(*done), reviews(*written)
    felt = signals({row: 0.9 - 0.3 * (n % 6) for n, row in enumerate(said["review_id"])})
    of_events = pl.Series([random.randrange(num_batches) for _ in done], dtype=pl.Int64)
    of_reviews = pl.Series([random.randrange(num_batches) for _ in written], dtype=pl.Int64)
    batches = [
        state_of(table.filter(of_events == number), said.filter(of_reviews == number), felt)
        for number in range(num_batches)
    ]
    random.shuffle(batches)
    together = batches[0]
    for batch in batches[1:]:
        together = joined_states([batch, together])
    wanted = read(state_of(table, said, felt))
    for state in (together, merged_state(together)):
        for found, expected in zip(read(state), wanted, strict=True):
            assert_frame_equal(found, expected, abs_tol=1e-6)


def test_a_state_of_nothing_adds_nothing() -> None:
    table = events({"user_id": "u", "item_id": "a", "day": 1})
    said = reviews({"user_id": "u", "item_id": "a", "rating": 4.0, "day": 2})
    felt = signals({"r0": 0.5})
    nothing = state_of(table.clear(), said.clear(), felt.clear())
    whole = state_of(table, said, felt)
    for found, wanted in zip(read(joined_states([nothing, whole])), read(whole), strict=True):
        assert_frame_equal(found, wanted)
    assert set(whole.parts()) == set(PARTS)
