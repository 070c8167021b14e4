from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import day, events

from features.outcome_labels import labelled_users

AS_OF = day(10)
EVENT = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u", "v", "w"]),
        "item_id": st.just("a"),
        "event_type": st.sampled_from(["view", "purchase"]),
        "day": st.integers(0, 80).map(lambda quarters: quarters / 4),
    }
)


def labels(rows: Sequence[dict], outcome: str, horizon_days: float = 5) -> dict[str, int]:
    found = labelled_users(
        events(*rows).lazy(), outcome=outcome, as_of=AS_OF, horizon_days=horizon_days
    )
    return dict(found.iter_rows())


@given(st.lists(EVENT, min_size=1, max_size=20))
def test_labels_are_what_looking_gives(rows: list[dict]) -> None:
    bought = [(row["user_id"], row["day"]) for row in rows if row["event_type"] == "purchase"]
    buys = {user for user, at in bought if 10 <= at < 15}
    known = {row["user_id"] for row in rows if row["day"] < 10}
    customers = {user for user, at in bought if at < 10}
    assert labels(rows, "purchase") == {user: int(user in buys) for user in known}
    assert labels(rows, "churn") == {user: int(user not in buys) for user in customers}


def test_the_moment_itself_is_to_be_told_and_the_end_is_not() -> None:
    rows = [
        {"user_id": "at", "item_id": "a", "day": 1},
        {"user_id": "at", "item_id": "a", "day": 10},
        {"user_id": "after", "item_id": "a", "day": 1},
        {"user_id": "after", "item_id": "a", "day": 15},
        {"user_id": "new", "item_id": "a", "day": 10},
    ]
    assert labels(rows, "purchase") == {"after": 0, "at": 1}


@pytest.mark.parametrize(
    ("outcome", "horizon", "message"),
    [("sale", 1, "must be one of purchase, churn, not 'sale'"), ("churn", 0, "above 0, not 0")],
)
def test_what_cannot_be_asked_is_refused(outcome: str, horizon: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labels([{"user_id": "u", "item_id": "a", "day": 1}], outcome, horizon)
