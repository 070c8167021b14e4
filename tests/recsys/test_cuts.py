"""Which worlds a fit is made of: what each may see, and in which order."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from tiny_shop import AS_OF, tiny_shop

from features.visibility import before, first_purchases
from recsys.cuts import periods_before, positional_cuts, time_cuts
from recsys.errors import NotEnoughDataError


def times(frame: pl.DataFrame) -> tuple[datetime, datetime]:
    found = frame["event_time"]
    return found.min(), found.max()  # type: ignore[return-value]


def test_positions_are_held_out_one_after_the_other() -> None:
    tables = tiny_shop()
    cuts = positional_cuts(tables.events, tables.reviews, num_learned=2, as_of=AS_OF)
    assert len(cuts.learned) == 2
    numbers = [len(cut.events) for cut in (*cuts.learned, cuts.test)]
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[-1]
    for cut, later in zip(cuts.learned, [*cuts.learned[1:], cuts.test], strict=True):
        found = cut.targets.join(later.events, on=["user_id", "item_id"], how="semi")
        assert len(found) == len(cut.targets), "what was asked is known one step later"
    assert cuts.final is not None
    assert cuts.final.targets.is_empty()
    assert cuts.newcomers is None


def test_what_is_hidden_with_the_tested_session_is_not_learned_from() -> None:
    tables = tiny_shop()
    firsts = first_purchases(tables.events)
    user = firsts["user_id"].mode().sort()[0]
    last = firsts.filter(pl.col("user_id") == user, pl.col("from_end") <= 2)
    in_basket = pl.col("event_id").is_in(last["event_id"].to_list())
    events = tables.events.with_columns(
        session_id=pl.when(in_basket).then(pl.lit("basket")).otherwise("session_id")
    )
    cuts = positional_cuts(events, tables.reviews, num_learned=2, as_of=None)
    assert user in cuts.test.targets["user_id"].to_list()
    for cut in cuts.learned:
        asked = cut.targets.filter(pl.col("user_id") == user)["item_id"]
        assert last["item_id"][0] not in asked.to_list()


def test_at_least_one_position_is_learned_from() -> None:
    tables = tiny_shop()
    with pytest.raises(ValueError, match="at least one"):
        positional_cuts(tables.events, tables.reviews, num_learned=0, as_of=None)


def test_nothing_is_published_where_only_an_evaluation_is_wanted() -> None:
    tables = tiny_shop()
    cuts = positional_cuts(tables.events, tables.reviews, num_learned=1, as_of=None)
    assert cuts.final is None
    assert len(cuts.learned) == 1


def test_periods_before_a_split_ask_as_the_split_does() -> None:
    tables = tiny_shop()
    split = tables.events["event_time"].quantile(0.9, "higher")
    assert isinstance(split, datetime)
    test = before(tables.events, tables.reviews, as_of=split)
    cuts = periods_before(test, 3)
    assert [cut.as_of for cut in cuts] == sorted(cut.as_of for cut in cuts)
    for cut, until in zip(cuts, [*(cut.as_of for cut in cuts[1:]), split], strict=True):
        assert times(cut.events)[1] < cut.as_of
        first, last = times(cut.targets)
        assert cut.as_of <= first <= last < until


def test_newcomers_are_those_who_have_bought_nothing_yet() -> None:
    tables = tiny_shop()
    split: datetime = tables.events["event_time"].quantile(0.8, "higher")  # type: ignore[assignment]
    late = split + timedelta(days=1)
    last = tables.events.filter(pl.col("event_type") == "purchase").tail(1)
    newcomer = last.with_columns(
        user_id=pl.lit("newcomer"), event_time=pl.lit(late, dtype=last.schema["event_time"])
    )
    events = pl.concat([tables.events, newcomer])
    cuts = time_cuts(events, tables.reviews, split_at=split, num_learned=2)
    assert cuts.newcomers is not None
    assert "newcomer" in cuts.newcomers["user_id"].to_list()
    late_buyers = first_purchases(events).filter(pl.col("event_time") >= split)["user_id"]
    told = [*cuts.newcomers["user_id"].unique(), *cuts.test.targets["user_id"].unique()]
    assert sorted(told) == sorted(late_buyers.unique()), "everybody who bought is in one of them"


def test_a_split_that_nobody_crosses_is_refused() -> None:
    tables = tiny_shop()
    with pytest.raises(NotEnoughDataError, match="on both sides"):
        time_cuts(
            tables.events,
            tables.reviews,
            split_at=datetime(1990, 1, 1, tzinfo=UTC),
            num_learned=1,
        )
