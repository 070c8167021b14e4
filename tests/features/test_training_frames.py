"""A row of a training frame says what a build of the world cut at its time alone would say."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import day, events, items, reviews, signals

from features import behaviour, opinion
from features.profile_state import profile_state
from features.profiles import item_profiles, user_features
from features.training_frames import features_at

CATALOGUE = items(
    {"item_id": "a", "categories": ["x"], "brand": "B", "price_cents": 700},
    {"item_id": "b", "categories": ["x"], "brand": "B"},
    {"item_id": "c", "categories": ["y"], "price_cents": 90},
)
USERS, ITEMS = st.sampled_from(["u", "v"]), st.sampled_from(["a", "b", "c"])
# Whole hours, so that many things happen at one moment.
HOURS = st.integers(0, 24 * 120).map(lambda hours: hours / 24)
EVENT = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": ITEMS,
        "event_type": st.sampled_from(["view", "cart", "purchase", "return"]),
        "day": HOURS,
        "price_cents": st.sampled_from([None, 30]),
    }
)
REVIEW = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": st.one_of(st.none(), ITEMS),
        "rating": st.sampled_from([None, 2.0, 5.0]),
        "source": st.sampled_from(["review", "support"]),
        "day": HOURS,
    }
)
LABEL = st.tuples(USERS, ITEMS, HOURS | st.integers(0, 120).map(float))
EVENTS, REVIEWS = st.lists(EVENT, min_size=1, max_size=15), st.lists(REVIEW, max_size=10)
OF_LEVELS = {
    f"{feature.scope}:{feature.name}"
    for feature in (*opinion.USER_OPINION, *opinion.ITEM_OPINION)
    if feature.levels
}
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def tables_of(done: list[dict], said: list[dict]) -> Tables:
    written = reviews(*said)
    felt = signals({row: 0.8 - 0.4 * (n % 5) for n, row in enumerate(written["review_id"])})
    return events(*done), written, felt


def labels_of(*rows: tuple[str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [(user, item, day(when)) for user, item, when in rows],
        schema={"user_id": pl.String, "item_id": pl.String, "label_time": pl.Datetime("us", "UTC")},
        orient="row",
    )


def frame_of(labels: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    done, written, felt = (table.lazy() for table in tables)
    return features_at(labels, CATALOGUE.lazy(), done, written, felt)


def built_alone(label: dict, tables: Tables, at: datetime) -> dict[str, object]:
    """Read the features of a label from profiles of the world cut at a time."""
    done, written, felt = tables
    seen = pl.col("event_time") < at
    state = profile_state(
        CATALOGUE.lazy(), done.filter(seen).lazy(), written.filter(seen).lazy(), felt.lazy()
    )
    of_users = user_features(state, at).collect().filter(user_id=label["user_id"])
    of_items = item_profiles(CATALOGUE.lazy(), state, at).filter(item_id=label["item_id"])
    found: dict[str, object] = {}
    for frame, features in (
        (of_users, (*behaviour.USER_BEHAVIOUR, *opinion.USER_OPINION)),
        (of_items, (*behaviour.ITEM_BEHAVIOUR, *opinion.ITEM_OPINION)),
    ):
        for feature in features:
            value = frame[feature.name][0] if len(frame) else feature.default
            found[f"{feature.scope}:{feature.name}"] = value
    return found


@settings(max_examples=25)
@given(EVENTS, REVIEWS, st.lists(LABEL, min_size=1, max_size=4))
def test_a_row_says_what_its_world_alone_would_say(
    done: list[dict], said: list[dict], asked: list[tuple[str, str, float]]
) -> None:
    tables, labels = tables_of(done, said), labels_of(*asked)
    found = frame_of(labels, tables)
    assert_frame_equal(found.select(labels.columns), labels)
    for row in found.to_dicts():
        at = row["label_time"]
        alone = built_alone(row, tables, at)
        assert set(found.columns) == {*labels.columns, *alone}
        # At midnight everything is as of the label, what is borrowed too.
        for name in set(alone) - (OF_LEVELS if at.hour else set()):
            assert row[name] == pytest.approx(alone[name], abs=1e-6), name


@settings(max_examples=25)
@given(EVENTS, REVIEWS, EVENTS, REVIEWS, LABEL)
def test_what_comes_later_changes_no_row(
    done: list[dict],
    said: list[dict],
    later: list[dict],
    later_said: list[dict],
    asked: tuple[str, str, float],
) -> None:
    labels = labels_of(asked)
    before = frame_of(labels, tables_of(done, said))
    ahead = [row | {"day": asked[2] + row["day"]} for row in later]
    ahead_said = [row | {"day": asked[2] + row["day"]} for row in later_said]
    assert_frame_equal(frame_of(labels, tables_of(done + ahead, said + ahead_said)), before)


def test_the_moment_itself_is_not_seen_and_windows_begin_at_midnight() -> None:
    views = [
        {"user_id": "u", "item_id": "a", "event_type": "view", "day": when}
        for when in (0.5, 3.0, 8.0, 10.25, 10.5)
    ]
    labels = labels_of(("u", "a", 10.5), ("u", "a", 15.5), ("u", "a", 0.5))
    found = frame_of(labels, tables_of(views, []))
    assert found["user:num_views"].to_list() == [4, 5, 0]
    assert found["user:num_views_7d"].to_list() == [3, 3, 0]
    assert found["user:num_views_1d"].to_list() == [1, 0, 0]
    assert found["item:num_views"].to_list() == [4, 5, 0]


def test_strangers_have_defaults_and_other_columns_are_kept() -> None:
    labels = pl.DataFrame(
        {
            "user_id": ["nobody", None, "u"],
            "label_time": [day(5)] * 3,
            "label": [1, 0, 1],
        }
    )
    tables = tables_of([{"user_id": "u", "item_id": "a", "event_type": "view", "day": 1}], [])
    found = frame_of(labels, tables)
    assert found["label"].to_list() == [1, 0, 1]
    assert found["user:num_views"].to_list() == [0, None, 1]
    assert not any(name.startswith("item:") for name in found.columns)


def test_own_reviews_of_the_day_count_and_what_others_said_that_day_does_not() -> None:
    said = [
        {"user_id": user, "item_id": item, "rating": stars + 0.5 * (user == "v"), "day": 3.1}
        for item, stars in (("a", 1.0), ("b", 4.5))
        for user in "uvw"
    ]
    said += [{"user_id": "u", "item_id": "b", "rating": 1.0, "day": 5.4}]
    said += [{"user_id": "w", "item_id": "a", "rating": 5.0, "day": 5.4}]
    tables = tables_of([], said)
    morning, evening = (
        frame_of(labels_of(("u", "b", when)), tables).row(0, named=True) for when in (5.3, 5.9)
    )
    assert (morning["item:num_reviews"], evening["item:num_reviews"]) == (3, 4)
    assert evening["item:stars_smoothed"] < morning["item:stars_smoothed"]
    assert evening["item:stars_own_share"] > morning["item:stars_own_share"]
    without_others = tables_of([], said[:-1])
    alone = frame_of(labels_of(("u", "b", 5.9)), without_others).row(0, named=True)
    assert alone["item:stars_smoothed"] == evening["item:stars_smoothed"]


def test_the_day_is_that_of_utc() -> None:
    said = [{"user_id": "u", "item_id": "a", "rating": 5.0, "day": when} for when in (3.2, 4.1)]
    labels = labels_of(("u", "a", 4.0), ("u", "a", 4.5)).with_columns(
        pl.col("label_time").dt.convert_time_zone("Asia/Shanghai")
    )
    found = frame_of(labels, tables_of([], said))
    assert found["user:num_reviews"].to_list() == [1, 2]
    assert found["label_time"].to_list() == [day(4), day(4) + timedelta(hours=12)]


@pytest.mark.parametrize(
    "labels",
    [labels_of().clear(), labels_of(("u", "a", 3)).with_columns(item_id=pl.lit(None, pl.String))],
)
def test_nobody_to_ask_about_is_no_error(labels: pl.DataFrame) -> None:
    tables = tables_of([], [{"user_id": "u", "item_id": "a", "rating": 5.0, "day": 1}])
    found = frame_of(labels, tables)
    assert len(found) == len(labels)
    assert found["item:num_reviews"].null_count() == len(labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pl.DataFrame({"user_id": ["u"]}), "labels need label_time"),
        (pl.DataFrame({"label_time": [day(1)]}), "labels need label_time, and user_id or item_id"),
        (pl.DataFrame({"user_id": ["u"], "label_time": [day(1)], "_row": [1]}), "named _row"),
        (
            pl.DataFrame({"user_id": ["u"], "label_time": [day(1)], "user:num_views": [1]}),
            "columns of their own named user:num_views",
        ),
    ],
)
def test_labels_that_cannot_be_answered_are_refused(labels: pl.DataFrame, message: str) -> None:
    tables = tables_of([{"user_id": "u", "item_id": "a", "day": 1}], [])
    with pytest.raises(ValueError, match=message):
        frame_of(labels, tables)
