"""What is read in memory of one user, kept rows and fresh ones, is what the batch reads of all."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import day, events, items, reviews, signals

from features import behaviour, opinion
from features.levels import with_levels
from features.live import DaySums, LiveReader
from features.profile_state import ProfileState, joined_states, profile_state
from features.profiles import user_features
from features.shrinkage import GroupPrior, group_prior

AS_OF = day(400.6)
CATALOGUE = items({"item_id": "a", "price_cents": 700}, {"item_id": "b"})
USERS = st.sampled_from(["u", "v", "w"])
DAYS = st.integers(0, 40_000).map(lambda hundredths: hundredths / 100)
EVENT = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": st.sampled_from(["a", "b"]),
        "event_type": st.sampled_from(["view", "cart", "purchase", "return"]),
        "day": DAYS,
        "price_cents": st.sampled_from([None, 30]),
    }
)
REVIEW = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": st.sampled_from(["a", "b"]),
        "rating": st.sampled_from([None, 2.0, 5.0]),
        "day": DAYS,
    }
)
EVENTS, REVIEWS = st.lists(EVENT, min_size=1, max_size=12), st.lists(REVIEW, max_size=8)


def state_of(done: list[dict], said: list[dict], first: int = 0) -> ProfileState:
    written = reviews(*({"review_id": f"r{first + n}"} | row for n, row in enumerate(said)))
    felt = signals({row: 0.8 - 0.4 * (n % 5) for n, row in enumerate(written["review_id"])})
    state = profile_state(CATALOGUE.lazy(), events(*done).lazy(), written.lazy(), felt.lazy())
    return ProfileState(**{name: part.collect().lazy() for name, part in state.parts().items()})


def own_rows(part: pl.LazyFrame, user: str) -> pl.DataFrame:
    return part.filter(pl.col("user_id") == user).collect()


def prior_of(state: ProfileState) -> GroupPrior:
    level = opinion.POLARITY_LEVEL
    totals = state.user_said.group_by("user_id").agg(
        pl.col(measure.name).sum().alias(column)
        for measure, column in zip(
            (level.count, level.total, level.squares),
            (level.moments.count, level.moments.total, level.moments.squares),
            strict=True,
        )
    )
    return group_prior(totals.collect(), level.moments)


@settings(max_examples=15)
@given(EVENTS, REVIEWS, EVENTS, REVIEWS)
def test_kept_and_fresh_together_are_what_the_batch_says(
    done: list[dict], said: list[dict], late: list[dict], late_said: list[dict]
) -> None:
    kept, fresh = state_of(done, said), state_of(late, late_said, first=100)
    whole = joined_states([kept, fresh])
    batch = {row["user_id"]: row for row in user_features(whole, AS_OF).collect().to_dicts()}
    readers = [
        ("user_days", behaviour.MEASURES, behaviour.USER_BEHAVIOUR, (), {}),
        (
            "user_said", opinion.MEASURES, opinion.USER_OPINION, (opinion.POLARITY_LEVEL,),
            {"polarity": prior_of(whole)},
        ),
    ]  # fmt: skip
    for part, measures, features, levels, priors in readers:
        reader = LiveReader(
            measures=measures,
            types=dict(kept.parts()[part].collect_schema()),
            features=features,
            levels=levels,
            priors=priors,
        )
        for user, wanted in batch.items():
            sums = [DaySums.of(own_rows(s.parts()[part], user), measures) for s in (kept, fresh)]
            found = reader.read(sums[0].plus(sums[1], measures), AS_OF)
            for name, value in found.items():
                assert value == pytest.approx(wanted[name], abs=1e-6), (user, name)


def test_a_stranger_has_the_defaults() -> None:
    state = state_of([{"user_id": "u", "item_id": "a", "day": 1}], [])
    nobody = DaySums.of(own_rows(state.user_days, "nobody"), behaviour.MEASURES)
    reader = LiveReader(
        measures=behaviour.MEASURES,
        types=dict(state.user_days.collect_schema()),
        features=behaviour.USER_BEHAVIOUR,
    )
    found = reader.read(nobody, AS_OF)
    assert (found["num_views"], found["return_rate"], found["days_known"]) == (0, 0.0, None)


def test_a_level_of_a_known_prior_is_that_of_the_batch() -> None:
    level = opinion.POLARITY_LEVEL
    own = level.moments
    groups = pl.DataFrame(
        {own.count: [2, 3, 0], own.total: [1.0, -1.5, 0.0], own.squares: [0.6, 0.9, 0.0]}
    )
    prior = group_prior(groups, own)
    found = with_levels(groups, [level])
    assert found[level.column("borrowed_from")].to_list() == [None, None, "shop"]
    assert prior.mean is not None
    assert found[level.column("level")][2] == pytest.approx(prior.mean)
