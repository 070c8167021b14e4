"""Ranks: exact numbers, ties decided by id, unknown values nowhere."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_shop import events_of, profiles_of, selected, tables_of, truths

USERS = [f"u{n}" for n in range(10)]


@settings(max_examples=80, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from(USERS), st.none() | st.integers(0, 3), max_size=10),
    limit=st.sampled_from(
        [{"top": 3}, {"bottom": 2}, {"top_percent": 34}, {"bottom_percent": 100}, {"top": 50}]
    ),
)
def test_ranks_are_those_of_a_sorted_list(
    values: dict[str, int | None], limit: dict[str, int]
) -> None:
    tables = tables_of(
        user_profiles=profiles_of({u: {"x": v} for u, v in values.items()}, x=pl.Float64)
    )
    (name, number), *_ = limit.items()
    sign = -1 if name.startswith("top") else 1
    known = sorted((sign * v, u) for u, v in values.items() if v is not None)
    size = len(known) * number // 100 if name.endswith("percent") else number

    where = {"rank": {"profile": "x"}, **limit}

    assert selected(where, tables) == sorted(user for _, user in known[:size])
    # Who is not ranked is unknown: not among the others either.
    others = selected({"not": where}, tables)
    assert others == sorted(user for _, user in known[size:])


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        ({"top": 1}, ["c"]),
        ({"top": 2}, ["b", "c"]),
        ({"bottom": 2}, ["a", "d"]),
        ({"top": 4}, None),
    ],
)
def test_users_without_an_event_have_none_and_are_ranked(
    limit: dict[str, int], wanted: list[str] | None
) -> None:
    """A count of none is 0: known, though no row says so."""
    profiles = profiles_of({user: {"x": 1.0} for user in "abcd"})
    rows = [("c", "view", "lamp", 1.0), ("c", "view", "lamp", 2.0), ("b", "view", "lamp", 1.0)]
    tables = tables_of(user_profiles=profiles, events=events_of(rows))

    assert selected({"rank": {"events": "view"}, **limit}, tables) == (wanted or list("abcd"))


def test_a_rank_among_some() -> None:
    profiles = profiles_of({"a": {"x": 3.0, "y": 0.0}, "b": {"x": 2.0, "y": 1.0}, "c": {"x": 5.0}})
    where: dict[str, Any] = {"rank": {"profile": "x"}, "top": 1}
    where["among"] = {"profile": "y", "above": 0}

    tables = tables_of(user_profiles=profiles)

    # Who is not ranked is unknown, for whatever reason: not among the others either.
    assert truths(where, tables) == {"a": None, "b": True, "c": None}
    assert selected({"not": where}, tables) == []


def test_a_rank_joined_with_what_others_say() -> None:
    profiles = profiles_of({user: {"x": float(n)} for n, user in enumerate("abc")})
    where = {"all": [{"rank": {"profile": "x"}, "top": 2}, {"profile": "x", "below": 2}]}

    assert selected(where, tables_of(user_profiles=profiles)) == ["b"]


def test_texts_have_no_rank() -> None:
    from recsys.errors import SegmentError

    profiles = profiles_of({"a": {"x": "low"}}, x=pl.String)
    with pytest.raises(SegmentError, match="no rank"):
        selected({"rank": {"profile": "x"}, "top": 1}, tables_of(user_profiles=profiles))
