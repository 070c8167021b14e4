"""Who is in: the plan that joins little, the one that joins everything, and plain Python agree."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_shop import (
    DAY,
    ITEMS,
    NOW,
    Event,
    contacts_of,
    events_of,
    profiles_of,
    reviews_of,
    selected,
    tables_of,
    truths,
)

from recsys.errors import SegmentError
from recsys.segments.compiling import compile_condition
from recsys.segments.definition import Definitions
from recsys.segments.definition_files import library
from recsys.segments.selecting import members
from recsys.segments.tables import SegmentTables

USERS = [f"u{n}" for n in range(6)]
_Contact = tuple[str, str, float]
_Profile = dict[str, float | None]


def test_the_example_of_a_marketer() -> None:
    where = {
        "all": [
            {"events": "purchase", "category": "Guitars", "last_days": 90},
            {"reviews": "polarity", "aspect": "tuners", "below": -0.3},
            {"outcome": "churn", "above": 0.6},
            {"contacts": "count", "last_days": 14, "equals": 0},
        ]
    }
    users = ["in", "bought lamps", "bought long ago", "content", "staying", "contacted", "silent"]
    bought = {"bought lamps": ("lamp", 5.0), "bought long ago": ("guitar", 91.0)}
    rows = [(u, "purchase", *bought.get(u, ("guitar", 5.0))) for u in users]
    said = {"content": 0.9}
    churn = profiles_of({u: {"churn_probability": 0.5 if u == "staying" else 0.7} for u in users})
    tables = tables_of(
        events=events_of(rows),
        user_outcomes=churn,
        contacts=contacts_of([("contacted", "sms", 13.0), ("in", "sms", 15.0)]),
        **reviews_of([(u, "guitar", 1.0, said.get(u, -0.5)) for u in users if u != "silent"]),
    )

    assert selected(where, tables) == ["in"]
    assert truths(where, tables)["silent"] is None


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"events": "purchase"}, ["a", "b"]),
        ({"events": "purchase", "brand": "Glow"}, ["b"]),
        ({"events": ["view", "purchase"], "item": "lamp", "at_least": 2}, ["b"]),
        ({"events": "purchase", "equals": 0}, ["c"]),
        ({"not": {"events": "purchase"}}, ["c"]),
        ({"events": "purchase", "measure": "cents", "above": 40_000}, ["a"]),
        ({"events": "purchase", "measure": "items", "equals": 1}, ["a", "b"]),
        ({"events": "purchase", "measure": "days_since_last", "below": 6}, ["b"]),
        # Who never bought has no last purchase: neither recent nor not recent.
        ({"not": {"events": "purchase", "measure": "days_since_last", "below": 6}}, ["a"]),
        ({"events": "purchase", "measure": "days_since_last", "is_null": True}, ["c"]),
        ({"events": "view", "since": NOW - 4 * DAY, "until": NOW - 2 * DAY}, ["b"]),
        ({"events": "view", "last_days": 2}, ["c"]),
    ],
)
def test_events(where: dict[str, Any], wanted: list[str]) -> None:
    rows: list[Event] = [
        ("a", "purchase", "guitar", 10),
        ("b", "purchase", "lamp", 5),
        ("b", "view", "lamp", 3),
        ("c", "view", "tuner", 1),
    ]

    assert selected(where, tables_of(events=events_of(rows))) == wanted


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"reviews": "count", "at_least": 2}, ["a"]),
        ({"reviews": "polarity", "below": 0}, ["b"]),
        ({"reviews": "polarity", "how": "min", "below": 0}, ["a", "b"]),
        ({"reviews": "polarity", "how": "last", "above": 0}, ["a"]),
        ({"reviews": "emotion", "emotion": "anger", "how": "max", "above": 0.5}, ["a", "b"]),
        ({"reviews": "needs", "need": "improvement"}, None),
        ({"reviews": "needs", "need": "improvement", "at_least": 1}, ["a", "b"]),
        ({"reviews": "needs", "need": "question", "at_least": 1}, []),
        ({"reviews": "stars", "equals": 3}, ["a", "b"]),
        ({"reviews": "days_since_last", "below": 2}, ["b"]),
        ({"reviews": "count", "category": "Lamps"}, ["b"]),
    ],
)
def test_reviews(where: dict[str, Any], wanted: list[str] | None) -> None:
    rows = [("a", "guitar", 9.0, -0.4), ("a", "guitar", 3.0, 0.8), ("b", "lamp", 1.0, -0.6)]
    tables = tables_of(**reviews_of(rows))

    if wanted is None:
        with pytest.raises(SegmentError, match="no comparison"):
            selected(where, tables)
    else:
        assert selected(where, tables) == wanted


def test_who_bought_again_after_a_disappointment_is_not_won_back() -> None:
    users = ["in", "bought since", "bought before", "content again", "silent"]
    rows: list[Event] = [(user, "purchase", "lamp", 250.0) for user in users]
    rows += [("bought since", "purchase", "tuner", 50.0), ("bought before", "view", "tuner", 40.0)]
    said = [(user, "lamp", 200.0, -0.9) for user in users if user != "silent"]
    said += [("content again", "lamp", 100.0, 0.9)]
    profiles = profiles_of(
        {
            user: {
                "num_purchases": 1.0,
                "days_since_purchase": 50.0 if user == "bought since" else 250.0,
            }
            for user in users
        }
    )
    tables = tables_of(events=events_of(rows), user_profiles=profiles, **reviews_of(said))
    condition = Definitions(library()).definition("win-back-after-disappointment").condition

    asked = compile_condition(condition, tables, where="library")
    found = members(asked, tables).collect()["user_id"]

    assert sorted(found) == ["bought before", "in"]
    since = {"events": "purchase", "since_review": True, "equals": 0}
    assert selected(since, tables) == sorted(set(users) - {"bought since", "silent"})


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"profile": "spend", "above": 10}, ["rich"]),
        ({"profile": "spend", "between": [5, 10]}, ["poor"]),
        ({"profile": "spend", "at_least": 5, "below": 20}, ["poor"]),
        ({"not": {"profile": "spend", "above": 10}}, ["poor"]),
        ({"profile": "spend", "is_null": True}, ["not a number", "unknown"]),
        ({"not": {"profile": "spend", "is_null": True}}, ["poor", "rich"]),
        ({"profile": "band", "in": ["low", "lowest"]}, ["poor"]),
        ({"profile": "favourites", "contains": "Guitars"}, ["rich"]),
        ({"any": [{"profile": "spend", "above": 10}, {"profile": "band", "equals": "low"}]}, None),
    ],
)
def test_profiles(where: dict[str, Any], wanted: list[str] | None) -> None:
    profiles = profiles_of(
        {
            "rich": {"spend": 30.0, "band": "high", "favourites": ["Guitars"]},
            "poor": {"spend": 7.0, "band": "low", "favourites": []},
            "not a number": {"spend": float("nan"), "band": None, "favourites": None},
            "unknown": {"spend": None, "band": None, "favourites": None},
        },
        spend=pl.Float64,
        band=pl.String,
        favourites=pl.List(pl.String),
    )

    assert selected(where, tables_of(user_profiles=profiles)) == (wanted or ["poor", "rich"])


def _rows(low: float) -> dict[str, st.SearchStrategy[Any]]:
    days = st.floats(low, 20).map(lambda value: round(value, 1))
    value = st.none() | st.integers(0, 3).map(float)
    return {
        "events": st.lists(
            st.tuples(
                st.sampled_from(USERS[:4]),
                st.sampled_from(["view", "purchase"]),
                st.sampled_from(sorted(ITEMS)),
                days,
            ),
            max_size=14,
        ),
        "contacts": st.lists(
            st.tuples(st.sampled_from(USERS[2:5]), st.sampled_from(["sms", "email"]), days),
            max_size=5,
        ),
        "profiles": st.dictionaries(
            st.sampled_from(USERS), st.fixed_dictionaries({"x": value, "y": value}), max_size=6
        ),
    }


_ASKED = st.sampled_from(
    [
        {"profile": "x", "above": 1},
        {"profile": "x", "is_null": True},
        {"profile": "y", "at_most": 2},
        {"events": "purchase", "last_days": 10},
        {"events": "view", "category": "Music", "at_most": 1},
        {"events": "view", "measure": "days_since_last", "below": 5},
        {"contacts": "count", "equals": 0},
        {"contacts": "days_since_last", "channel": "sms", "above": 3},
    ]
)
_CONDITIONS = st.recursive(
    _ASKED,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=8,
)


class PlainShop:
    """The same rows asked row by row, without Polars."""

    def __init__(
        self, events: list[Event], contacts: list[_Contact], profiles: dict[str, _Profile]
    ) -> None:
        self.events, self.contacts, self.profiles = events, contacts, profiles
        self.users = {row[0] for row in (*events, *contacts)} | set(profiles)

    def holds(self, where: dict[str, Any], user: str) -> bool | None:
        if "all" in where or "any" in where:
            (kind, parts), *_ = where.items()
            found = [self.holds(part, user) for part in parts]
            decisive = kind == "any"
            if decisive in found:
                return decisive
            return None if None in found else not decisive
        if "not" in where:
            inner = self.holds(where["not"], user)
            return None if inner is None else not inner
        value = self.value(where, user)
        if "is_null" in where:
            return value is None
        if value is None:
            return None
        compare = {
            "above": value.__gt__,
            "at_most": value.__le__,
            "below": value.__lt__,
            "equals": value.__eq__,
            "at_least": value.__ge__,
        }
        name = next((key for key in compare if key in where), "at_least")
        return bool(compare[name](float(where.get(name, 1))))

    def value(self, where: dict[str, Any], user: str) -> float | None:
        if "profile" in where:
            return self.profiles.get(user, {}).get(where["profile"])
        if "events" in where:
            ages = [
                days
                for who, kind, item, days in self.events
                if who == user
                and kind == where["events"]
                and 0 < days <= where.get("last_days", 1e9)
                and where.get("category", "Music")
                in (ITEMS[str(item)][0] if "category" in where else "Music")
            ]
        else:
            ages = [
                days
                for who, channel, days in self.contacts
                if who == user and days > 0 and where.get("channel", channel) == channel
            ]
        if where.get("measure") or where.get("contacts") == "days_since_last":
            return min(ages) if ages else None
        return float(len(ages))


def _tables(
    events: list[Event], contacts: list[_Contact], profiles: dict[str, _Profile]
) -> SegmentTables:
    return tables_of(
        events=events_of(events),
        contacts=contacts_of(contacts),
        user_profiles=profiles_of(profiles, x=pl.Float64, y=pl.Float64),
    )


@settings(max_examples=120, deadline=None)
@given(where=_CONDITIONS, rows=st.fixed_dictionaries(_rows(0.1)))
def test_both_plans_say_what_plain_python_says(where: dict[str, Any], rows: Any) -> None:
    tables, plain = _tables(**rows), PlainShop(**rows)

    wanted = {user: plain.holds(where, user) for user in plain.users}

    assert truths(where, tables) == wanted
    assert selected(where, tables) == sorted(user for user, holds in wanted.items() if holds)


@settings(max_examples=40, deadline=None)
@given(
    where=_CONDITIONS,
    rows=st.fixed_dictionaries(_rows(0.1)),
    later=st.fixed_dictionaries(_rows(-5.0)),
)
def test_rows_at_or_after_the_moment_change_nothing(
    where: dict[str, Any], rows: Any, later: Any
) -> None:
    before = _tables(**rows)
    future = {name: [row for row in later[name] if row[-1] <= 0] for name in ("events", "contacts")}
    after = _tables(
        events=rows["events"] + future["events"],
        contacts=rows["contacts"] + future["contacts"],
        profiles=rows["profiles"],
    )

    assert selected(where, after) == selected(where, before)


def test_tables_made_later_than_the_moment_are_refused() -> None:
    tables = tables_of(user_profiles=profiles_of({"a": {"x": 1.0}}, as_of=NOW + DAY))

    with pytest.raises(SegmentError, match=r"after the moment .* run `sentirec profiles --as-of"):
        selected({"profile": "x", "above": 0}, tables)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"outcome": "churn", "above": 0.5}, "where needs the table user_outcomes: run `sentirec"),
        ({"profile": "y", "above": 0}, r"no column y; it has: x"),
        ({"profile": "x", "equals": "high"}, "the column holds numbers, not texts"),
        ({"profile": "x", "contains": "a"}, "lists, and only they"),
        ({"events": "view", "category": "Guitar"}, "category 'Guitar'; did you mean Guitars?"),
        ({"all": [{"events": "view", "item": "lam"}]}, r"where.all\[0\]: no item .* mean lamp"),
        ({"rank": {"profile": "x"}, "top": 1, "among": {"profile": "z", "above": 0}}, "column z"),
        ({"lookalike": ["a"], "top": 3}, "needs a live bundle"),
    ],
)
def test_what_is_not_there_is_named(where: dict[str, Any], told: str) -> None:
    tables = tables_of(
        user_profiles=profiles_of({"a": {"x": 1.0}}), events=events_of([("a", "view", "lamp", 1)])
    )

    with pytest.raises(SegmentError, match=told):
        selected(where, tables)
