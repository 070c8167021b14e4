from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import day, events, items, reviews, signals

from features.histories import browse_history, browse_log, purchase_history
from features.profiles import (
    item_profiles,
    user_affinities,
    user_profiles,
    visible_state,
)
from features.text_vectors import item_text_vectors
from features.visibility import Visible, before, everything, first_purchases, hold_out

ITEMS = items(
    *(
        {"item_id": f"i{n}", "categories": ["c", f"c{n % 2}"], "price_cents": 5 * n, "brand": "B"}
        for n in range(4)
    )
)
AS_OF = day(10)
LATER_ITEMS = pl.concat(
    [
        ITEMS,
        items(
            *(
                {"item_id": f"new{n}", "categories": ["c", f"c{n}"], "price_cents": 7 + n}
                | {"created_at": AS_OF, "brand": "B"}
                for n in range(2)
            )
        ),
    ]
)
USERS = st.sampled_from(["u0", "u1", "u2", "new"])
ITEM_IDS = st.sampled_from(["i0", "i1", "i2", "i3"])
TYPES = st.sampled_from(["purchase", "view", "cart", "return", "click", "wishlist"])
EVENT = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": ITEM_IDS,
        "event_type": TYPES,
        "day": st.integers(0, 9),
        "seq": st.integers(0, 5),
        "session_id": st.sampled_from([None, "s0", "s1"]),
    }
)
REVIEW = st.fixed_dictionaries(
    {
        "user_id": USERS,
        "item_id": st.one_of(st.none(), ITEM_IDS),
        "rating": st.sampled_from([None, 1.0, 3.0, 5.0]),
        "day": st.integers(0, 9),
        "seq": st.integers(0, 5),
    }
)
# Pairs of list draws are independent: what is before the cut, and what is added after it.
EVENTS, REVIEWS = st.lists(EVENT, max_size=12), st.lists(REVIEW, max_size=6)


def all_features(
    visible: Visible, polarity: dict[str, float], catalogue: pl.DataFrame = ITEMS
) -> dict[str, pl.DataFrame]:
    """Everything that is computed from visible tables, as frames; of items only the first."""
    felt = signals(polarity).lazy()
    text = item_text_vectors(ITEMS["item_id"].to_list(), visible, felt, None)
    known = pl.col("item_id").is_in(ITEMS["item_id"].to_list())
    state = visible_state(catalogue.lazy(), visible, felt)
    return {
        "item_profiles": item_profiles(catalogue.lazy(), state, visible.as_of).filter(known),
        "user_profiles": user_profiles(
            state, visible.as_of, user_affinities(catalogue.lazy(), state, visible.as_of)
        ),
        "purchases": purchase_history(visible, felt),
        "browsing": browse_history(browse_log(visible)),
        "text": pl.DataFrame(text),
    }


def assert_same_features(left: dict[str, pl.DataFrame], right: dict[str, pl.DataFrame]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert_frame_equal(left[name], right[name], abs_tol=1e-9)


def polarity_of(*frames: pl.DataFrame) -> dict[str, float]:
    ids = sorted({row for frame in frames for row in frame["review_id"]})
    return {review_id: 0.9 - 0.25 * (place % 8) for place, review_id in enumerate(ids)}


@settings(max_examples=25)
@given(seen=EVENTS, felt=REVIEWS, later=EVENTS, later_felt=REVIEWS)
def test_strict_rows_at_or_after_the_cut_change_no_feature(
    seen: list[dict], felt: list[dict], later: list[dict], later_felt: list[dict]
) -> None:
    moved = [row | {"day": row["day"] + 10} for row in later]
    moved_felt = [row | {"day": row["day"] + 10} for row in later_felt]
    earlier = events(*seen, {"user_id": "u0", "item_id": "i0", "day": 1}), reviews(*felt)
    more_events = (
        events(*seen, {"user_id": "u0", "item_id": "i0", "day": 1}, *moved),
        reviews(*felt, *moved_felt),
    )
    polarity = polarity_of(more_events[1])

    for cut in (before, everything):
        plain = all_features(cut(*earlier, as_of=AS_OF), polarity)
        extended = all_features(cut(*more_events, as_of=AS_OF), polarity, LATER_ITEMS)
        assert_same_features(plain, extended)


@settings(max_examples=25)
@given(data=st.data(), table=EVENTS, felt=REVIEWS, offset=st.integers(1, 2))
def test_positional_what_is_held_out_changes_no_feature(
    data: st.DataObject, table: list[dict], felt: list[dict], offset: int
) -> None:
    # A user with three items, in sessions of their own, and whatever else happens around.
    own = [
        {"user_id": "asked", "item_id": f"i{n}", "day": 2 * n, "seq": 3, "session_id": f"t{n}"}
        for n in range(3)
    ]
    base = events(*own, *table)
    felt_base = reviews(*felt)
    cut_day = 2 * (3 - offset)
    hidden = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "event_type": st.sampled_from(["view", "cart", "return", "click"]),
                    "item_id": ITEM_IDS,
                    "day": st.integers(cut_day, 20),
                    "seq": st.integers(0, 9),
                }
            ),
            max_size=4,
        )
    )
    # At the very time of the cut, only the cut's own session is certain to lie behind it.
    extra = [
        row
        | {"user_id": "asked", "event_id": f"x{place}"}
        | {"session_id": f"t{3 - offset}" if row["day"] == cut_day else None}
        for place, row in enumerate(hidden)
    ]
    repeat = {"user_id": "asked", "item_id": "i0", "day": 30, "event_id": "again"}
    late_reviews = [
        {
            "user_id": "asked",
            "item_id": f"i{n}",
            "day": cut_day,
            "rating": 1.0,
            "review_id": f"x{n}",
        }
        for n in range(3 - offset, 3)
    ]
    changed = events(*own, *table, *extra, repeat)
    felt_changed = reviews(*felt, *late_reviews)
    polarity = polarity_of(felt_changed)

    plain = hold_out(base, felt_base, offset=offset)
    extended = hold_out(changed, felt_changed, offset=offset)

    assert_frame_equal(plain.targets, extended.targets)
    assert_same_features(all_features(plain, polarity), all_features(extended, polarity))


@settings(max_examples=60)
@given(table=st.lists(EVENT, min_size=1, max_size=25), offset=st.integers(1, 3))
def test_hold_out_against_a_loop_over_users(table: list[dict], offset: int) -> None:
    frame = events(*(row | {"session_id": None} for row in table))

    visible = hold_out(frame, reviews(), offset=offset)

    kept, targets = set(), []
    for user in sorted(set(frame["user_id"])):
        rows = frame.filter(pl.col("user_id") == user).sort("event_time", "seq").to_dicts()
        firsts = []
        for row in rows:
            new = row["item_id"] not in [first["item_id"] for first in firsts]
            if row["event_type"] == "purchase" and new:
                firsts.append(row)
        cut = firsts[max(0, len(firsts) - offset)] if firsts else None
        place = None if cut is None else (cut["event_time"], cut["seq"])
        mine = [row for row in rows if place is None or (row["event_time"], row["seq"]) < place]
        kept |= {row["event_id"] for row in mine}
        if cut is not None and len(firsts) > offset:
            targets.append((user, cut["item_id"]))
    # Rows of one user that share time and seq have no order: leave those draws out.
    if frame.select("user_id", "event_time", "seq").is_duplicated().any():
        return
    assert set(visible.events["event_id"]) == kept
    assert sorted(visible.targets.select("user_id", "item_id").rows()) == targets


@settings(max_examples=60)
@given(table=st.lists(EVENT, min_size=1, max_size=25), offset=st.integers(1, 3))
def test_a_target_is_never_in_its_users_visible_purchases(table: list[dict], offset: int) -> None:
    visible = hold_out(events(*table), reviews(), offset=offset)
    bought = first_purchases(visible.events)
    assert visible.targets.join(bought, on=["user_id", "item_id"], how="semi").is_empty()
    assert visible.targets["user_id"].is_unique().all()
    assert set(visible.targets["user_id"]) <= set(visible.events["user_id"])


def test_a_tie_in_time_is_ordered_by_seq() -> None:
    table = events(
        {"user_id": "u", "item_id": "b", "day": 1, "seq": 7},
        {"user_id": "u", "item_id": "c", "day": 1, "seq": 9},
        {"user_id": "u", "item_id": "a", "day": 1, "seq": 8},
    )
    visible = hold_out(table, reviews(), offset=1)
    assert visible.targets["item_id"].to_list() == ["c"]
    assert visible.events["item_id"].to_list() == ["b", "a"]
    assert visible.as_of == day(1)


def test_a_repeat_purchase_is_neither_target_nor_seen_after_the_cut() -> None:
    table = events(
        *({"user_id": "u", "item_id": item, "day": place} for place, item in enumerate("abcab"))
    )
    visible = hold_out(table, reviews(), offset=1)
    assert visible.targets["item_id"].to_list() == ["c"]
    assert visible.events["item_id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("num_items", "offset", "asked"), [(1, 1, False), (2, 1, True), (2, 2, False), (3, 2, True)]
)
def test_a_user_is_asked_only_with_something_left_to_see(
    num_items: int, offset: int, asked: bool
) -> None:
    rows = [{"user_id": "u", "item_id": f"i{n}", "day": n} for n in range(num_items)]
    other = [{"user_id": "v", "item_id": "z", "event_type": "view", "day": 0}]
    visible = hold_out(events(*rows, *other), reviews(), offset=offset)
    assert visible.targets["user_id"].to_list() == (["u"] if asked else [])


def test_the_session_of_the_held_out_purchase_is_hidden_from_its_start() -> None:
    table = events(
        {"user_id": "u", "item_id": "a", "day": 1, "session_id": "s"},
        {"user_id": "u", "item_id": "b", "event_type": "view", "day": 2, "session_id": "s2"},
        {"user_id": "u", "item_id": "x", "event_type": "view", "day": 3, "session_id": "other"},
        {"user_id": "u", "item_id": "b", "day": 4, "session_id": "s2"},
        {"user_id": "v", "item_id": "b", "event_type": "view", "day": 9, "session_id": "s2"},
    )
    visible = hold_out(table, reviews(), offset=1)
    assert visible.targets["item_id"].to_list() == ["b"]
    assert visible.events["event_id"].to_list() == ["e0", "e4"]


def test_a_session_within_one_timestamp_is_hidden_too() -> None:
    table = events(
        {"user_id": "u", "item_id": "a", "day": 1, "session_id": "s1"},
        {"user_id": "u", "item_id": "c", "event_type": "view", "day": 4, "session_id": "s1"},
        {"user_id": "u", "item_id": "b", "event_type": "view", "day": 4, "session_id": "s2"},
        {"user_id": "u", "item_id": "b", "day": 4, "session_id": "s2"},
    )
    visible = hold_out(table, reviews(), offset=1)
    assert visible.events["event_id"].to_list() == ["e0", "e1"]


def test_a_basket_of_one_session_leaves_nothing_to_ask_with() -> None:
    table = events(
        {"user_id": "u", "item_id": "a", "day": 1, "session_id": "s"},
        {"user_id": "u", "item_id": "b", "day": 1, "session_id": "s"},
        {"user_id": "v", "item_id": "a", "event_type": "view", "day": 0},
    )
    visible = hold_out(table, reviews(), offset=1)
    assert visible.targets.is_empty()
    assert visible.events["user_id"].to_list() == ["v"]


def test_reviews_follow_their_purchases() -> None:
    table = events(
        {"user_id": "u", "item_id": "a", "day": 1},
        {"user_id": "u", "item_id": "b", "day": 2},
        {"user_id": "u", "item_id": "c", "day": 2},
        {"user_id": "v", "item_id": "c", "day": 9},
        {"user_id": "v", "item_id": "d", "day": 10},
    )
    texts = reviews(
        {"review_id": "seen", "user_id": "u", "item_id": "a", "day": 1},
        {"review_id": "same day, bought", "user_id": "u", "item_id": "b", "day": 2},
        {"review_id": "target's", "user_id": "u", "item_id": "c", "day": 2},
        {"review_id": "target's, before it", "user_id": "u", "item_id": "c", "day": 0},
        {"review_id": "too late", "user_id": "u", "item_id": "a", "day": 3},
        {"review_id": "of nothing, same day", "user_id": "u", "item_id": None, "day": 2},
        {"review_id": "another user's", "user_id": "v", "item_id": "c", "day": 9},
        {"review_id": "no purchases", "user_id": "w", "item_id": "c", "day": 99},
    )
    visible = hold_out(table, texts, offset=1)
    wanted = {"seen", "same day, bought", "another user's", "no purchases"}
    assert set(visible.reviews["review_id"]) == wanted


def test_the_review_of_a_hidden_basket_item_is_hidden() -> None:
    table = events(
        {"user_id": "u", "item_id": "x", "day": 0, "session_id": "s0"},
        {"user_id": "u", "item_id": "a", "day": 1, "session_id": "s"},
        {"user_id": "u", "item_id": "b", "day": 1, "session_id": "s"},
    )
    texts = reviews({"user_id": "u", "item_id": "a", "day": 1})
    visible = hold_out(table, texts, offset=1)
    assert visible.events["item_id"].to_list() == ["x"]
    assert visible.reviews.is_empty()


def test_before_asks_warm_users_for_all_their_later_first_purchases() -> None:
    table = events(
        {"user_id": "warm", "item_id": "a", "day": 1},
        {"user_id": "warm", "item_id": "b", "day": 10},
        {"user_id": "warm", "item_id": "a", "day": 11},
        {"user_id": "warm", "item_id": "c", "day": 12},
        {"user_id": "cold", "item_id": "a", "day": 11},
        {"user_id": "browser", "item_id": "a", "event_type": "view", "day": 1},
        {"user_id": "browser", "item_id": "a", "day": 10},
    )
    visible = before(table, reviews(), as_of=AS_OF)
    assert visible.targets.select("user_id", "item_id").rows() == [("warm", "b"), ("warm", "c")]
    assert visible.events["event_id"].to_list() == ["e0", "e5"]
    assert visible.as_of == AS_OF


def test_targets_may_be_asked_for_until_a_time() -> None:
    table = events(
        {"user_id": "u", "item_id": "a", "day": 1},
        {"user_id": "u", "item_id": "b", "day": 10},
        {"user_id": "u", "item_id": "c", "day": 11},
        {"user_id": "u", "item_id": "d", "day": 12},
    )
    visible = before(table, reviews(), as_of=day(10), until=day(12))
    assert visible.targets["item_id"].to_list() == ["b", "c"]
    assert visible.events["item_id"].to_list() == ["a"]


def test_the_cut_itself_is_not_before_the_cut() -> None:
    table = events({"user_id": "u", "item_id": "a", "day": 10})
    assert before(table, reviews(), as_of=day(10)).events.is_empty()
    later = day(10) + timedelta(microseconds=1)
    assert len(everything(table, reviews(), as_of=later).events) == 1


def test_an_offset_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="offset counts from 1"):
        hold_out(events({"user_id": "u", "item_id": "a", "day": 1}), reviews(), offset=0)


def test_a_held_out_world_is_as_of_its_last_row_review_or_event() -> None:
    table = events(*({"user_id": "u", "item_id": f"i{n}", "day": n} for n in range(3)))
    visible = hold_out(table, reviews({"user_id": "r", "item_id": "i0", "day": 30}), offset=1)
    assert visible.as_of == day(30)
    state = visible_state(ITEMS.lazy(), visible, signals({}).lazy())
    profile = item_profiles(ITEMS.lazy(), state, visible.as_of).row(0, named=True)
    assert profile["days_since_review"] == 0.0
