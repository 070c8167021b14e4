"""Which worlds a fit is made of: what each may see, and in which order."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from tiny_shop import AS_OF, tiny_shop

from features.visibility import before
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
    assert cuts.strangers is None


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


def test_strangers_are_those_of_whom_nothing_is_visible() -> None:
    tables = tiny_shop()
    split: datetime = tables.events["event_time"].quantile(0.8, "higher")  # type: ignore[assignment]
    late = split + timedelta(days=1)
    last = tables.events.filter(pl.col("event_type") == "purchase").tail(1)
    newcomer = last.with_columns(
        user_id=pl.lit("newcomer"), event_time=pl.lit(late, dtype=last.schema["event_time"])
    )
    events = pl.concat([tables.events, newcomer])
    cuts = time_cuts(events, tables.reviews, split_at=split, num_learned=2)
    assert cuts.strangers is not None
    assert "newcomer" in cuts.strangers["user_id"].to_list()
    assert cuts.strangers.join(cuts.test.events, on="user_id", how="semi").is_empty()
    assert not set(cuts.strangers["user_id"]) & set(cuts.test.targets["user_id"])


def test_a_split_that_nobody_crosses_is_refused() -> None:
    tables = tiny_shop()
    with pytest.raises(NotEnoughDataError, match="on both sides"):
        time_cuts(
            tables.events,
            tables.reviews,
            split_at=datetime(1990, 1, 1, tzinfo=UTC),
            num_learned=1,
        )
