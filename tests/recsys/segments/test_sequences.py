"""Sequences: any choice of events that fits, and windows that are not over say nothing yet."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_shop import DAY, NOW, Event, events_of, selected, tables_of, truths

from recsys.errors import SegmentError

VIEWED = {"events": "view", "count": 2}
NOT_BOUGHT = {"events": "purchase", "within_days": 7, "never": True}


def _holds(steps: list[dict[str, Any]], rows: list[tuple[str, float]], **more: Any) -> bool | None:
    events: list[Event] = [("a", kind, "lamp", days) for kind, days in rows]
    events.append(("a", "search", None, 1))
    return truths({"sequence": steps, **more}, tables_of(events=events_of(events)))["a"]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([("view", 20), ("view", 19)], True),
        ([("view", 20), ("view", 19), ("purchase", 15)], False),
        ([("view", 20), ("view", 19), ("purchase", 11)], True),
        ([("view", 20), ("purchase", 19.5), ("view", 19)], True),
        # Exactly seven days later is within seven days.
        ([("view", 20), ("view", 19), ("purchase", 12)], False),
        ([("view", 19)], False),
        # The seven days are not over: nobody knows yet.
        ([("view", 20), ("view", 5)], None),
        ([("view", 20), ("view", 7)], None),
        ([("view", 20), ("view", 7.1)], True),
        ([("view", 20), ("view", 5), ("purchase", 1)], False),
        # One choice of events fits, whatever came later.
        ([("view", 40), ("view", 39), ("view", 20), ("purchase", 19)], True),
    ],
)
def test_viewed_twice_then_did_not_buy(rows: list[tuple[str, float]], wanted: bool | None) -> None:
    assert _holds([VIEWED, NOT_BOUGHT], rows) is wanted


def test_of_what_is_not_over_neither_side_is_in() -> None:
    events: list[Event] = [("a", "view", "lamp", 9), ("a", "view", "lamp", 5)]
    tables = tables_of(events=events_of([*events, ("b", "view", "lamp", 9)]))
    where = {"sequence": [VIEWED, NOT_BOUGHT]}

    assert selected(where, tables) == []
    assert selected({"not": where}, tables) == ["b"]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([("view", 20), ("cart", 19), ("purchase", 18)], True),
        ([("view", 20), ("purchase", 19), ("cart", 18)], False),
        ([("view", 20), ("cart", 15), ("purchase", 13)], False),
        ([("cart", 21), ("view", 20), ("cart", 19), ("purchase", 10)], False),
        # The cart may still be bought today.
        ([("view", 2), ("cart", 1)], None),
        ([("view", 1)], None),
    ],
)
def test_steps_within_days_of_each_other(
    rows: list[tuple[str, float]], wanted: bool | None
) -> None:
    steps = [
        {"events": "view"},
        {"events": "cart", "within_days": 2},
        {"events": "purchase", "within_days": 3},
    ]

    assert _holds(steps, rows) is wanted


def test_all_steps_about_one_item() -> None:
    steps = [{"events": "view"}, {"events": "purchase"}]
    rows: list[Event] = [("a", "view", "lamp", 9), ("a", "purchase", "tuner", 5)]
    tables = tables_of(
        events=events_of([*rows, ("b", "view", "lamp", 9), ("b", "purchase", "lamp", 2)])
    )

    assert selected({"sequence": steps}, tables) == ["a", "b"]
    assert selected({"sequence": steps, "same_item": True}, tables) == ["b"]


def test_of_events_at_one_time_the_first_written_comes_first() -> None:
    steps = [{"events": "view"}, {"events": "purchase"}]

    assert _holds(steps, [("view", 5), ("purchase", 5)]) is True
    assert _holds(steps, [("purchase", 5), ("view", 5)]) is False


def test_only_events_of_the_last_days_count() -> None:
    steps = [{"events": "view"}, {"events": "purchase"}]

    assert _holds(steps, [("view", 31), ("purchase", 5)], last_days=30) is False


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([NOT_BOUGHT, VIEWED], "step 1: never = true is for the last step"),
        ([VIEWED, {"events": "purchase", "never": True}], "needs within_days"),
        ([VIEWED], "at least 2 items"),
        ([VIEWED, {"events": "purchas"}], r"sequence\[1\]: .* did you mean purchase\?"),
        ([VIEWED, {"events": "purchase", "item": "lmp"}], r"sequence\[1\]: no item .* mean lamp"),
        ([VIEWED, {"event": "purchase"}], r"unknown key event; allowed: .* did you mean events\?"),
    ],
)
def test_steps_that_cannot_be_asked(steps: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(SegmentError, match=told):
        _holds(steps, [("view", 1)])


_KINDS = st.sampled_from(["view", "cart", "purchase"])
_STEPS = st.fixed_dictionaries(
    {"events": _KINDS, "count": st.integers(1, 2)},
    optional={"within_days": st.sampled_from([1.0, 3.0])},
)


def _brute(steps: list[dict[str, Any]], rows: list[tuple[str, float]]) -> bool | None:
    """Try every choice of events."""
    times = [NOW - days * DAY for _, days in rows]
    order = sorted(range(len(rows)), key=lambda n: (times[n], n))
    is_open = False

    def within(step: dict[str, Any], since: datetime, at: datetime) -> bool:
        return "within_days" not in step or at - since <= step["within_days"] * DAY

    def fits(number: int, place: int, since: datetime | None) -> bool:
        nonlocal is_open
        if number == len(steps):
            return True
        step = steps[number]
        after = order[place:]
        of = [at for at, n in enumerate(after) if rows[n][0] == step["events"]]
        is_over = since is None or "within_days" not in step
        is_over = is_over or since + step["within_days"] * DAY < NOW
        if step.get("never"):
            assert since is not None
            if any(within(step, since, times[after[at]]) for at in of):
                return False
        is_open |= not is_over
        if step.get("never"):
            return is_over
        found = False
        for start in range(len(of) - step.get("count", 1) + 1):
            last = of[start + step.get("count", 1) - 1]
            at = times[after[last]]
            begin = times[after[of[start]]] if since is None else since
            if within(step, begin, at):
                found |= fits(number + 1, place + last + 1, at)
        return found

    return True if fits(0, 0, None) else (None if is_open else False)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.builds(
        lambda first, last: [*first, *last],
        st.lists(_STEPS, min_size=2, max_size=3),
        st.just([]) | st.just([{"events": "cart", "within_days": 2.0, "never": True}]),
    ),
    rows=st.lists(st.tuples(_KINDS, st.integers(1, 16).map(lambda n: n / 2)), max_size=9),
)
def test_every_choice_of_events_is_found(
    steps: list[dict[str, Any]], rows: list[tuple[str, float]]
) -> None:
    assert _holds(steps, rows) is _brute(steps, rows)
