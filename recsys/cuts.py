"""Which worlds a whole fit is made of, under the two protocols of evaluation.

learned   one or more worlds whose held-out rows the ranker learns from, the earliest first
test      the world that is tested on; nothing before it has seen its held-out rows
final     everything, with nothing held out: what is published
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from features.visibility import Visible, before, everything, first_purchases, hold_out
from recsys.errors import NotEnoughDataError

_PERIOD = timedelta(days=90)


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """What each world of a whole fit may see.

    Attributes:
        learned: Worlds to learn to rank from, at least one, the earliest first.
        test: The world to test on.
        final: The world to publish; None where only an evaluation is asked for.
        newcomers: First purchases after the cut (`user_id, item_id, event_time`) of users who have
            bought nothing visible in `test`; None where positions are cut, as nobody is one then.
    """

    learned: list[Visible]
    test: Visible
    final: Visible | None = None
    newcomers: pl.DataFrame | None = None


def positional_cuts(
    events: pl.DataFrame, reviews: pl.DataFrame, *, num_learned: int, as_of: datetime | None
) -> Cuts:
    """Test on each user's last distinct item, learn from those before it.

    Args:
        events: All events.
        reviews: All reviews.
        num_learned: How many positions before the last are learned from, as far as there are.
        as_of: Publish what was before this time; None publishes nothing.

    Raises:
        NotEnoughDataError: If no user has three distinct items.
        ValueError: If nothing is to be learned from.
    """
    if num_learned < 1:
        raise ValueError(f"at least one position must be learned from, not {num_learned}")
    cuts = [hold_out(events, reviews, offset=offset) for offset in range(1 + num_learned, 0, -1)]
    for cut, offset in zip(cuts[-2:], (2, 1), strict=True):
        if cut.targets.is_empty():
            raise NotEnoughDataError(
                f"no user has more than {offset} distinct items bought: leave-one-out needs a "
                "history and a held-out row; bring more purchases"
            )
    # What the test hides with its session must not be learned from either.
    known = first_purchases(cuts[-1].events).select("user_id", "item_id")
    learned = [
        replace(cut, targets=cut.targets.join(known, on=["user_id", "item_id"], how="semi"))
        for cut in cuts[:-1]
    ]
    learned = [cut for cut in learned if len(cut.targets)]
    if not learned:
        raise NotEnoughDataError(
            "every user's items before the last were bought in one session with it: leave-one-out "
            "has nothing to learn from; bring more purchases"
        )
    return Cuts(
        learned=learned,
        test=cuts[-1],
        final=None if as_of is None else everything(events, reviews, as_of=as_of),
    )


def time_cuts(
    events: pl.DataFrame, reviews: pl.DataFrame, *, split_at: datetime, num_learned: int
) -> Cuts:
    """Test on what is bought from a time on, learn from periods before it, each cut as strictly.

    Args:
        events: All events.
        reviews: All reviews.
        split_at: When the test begins.
        num_learned: How many periods are learned from, as far as there are.

    Raises:
        NotEnoughDataError: If no user has purchases on both sides of the split, or there is no
            period to learn from.
    """
    test = before(events, reviews, as_of=split_at)
    if test.targets.is_empty():
        raise NotEnoughDataError(f"no user has purchases on both sides of {split_at.isoformat()}")
    learned = periods_before(test, num_learned)
    if not learned:
        raise NotEnoughDataError(
            f"nobody who had bought before bought anything new in the time before "
            f"{split_at.isoformat()}: there is nothing to learn from"
        )
    return Cuts(learned=learned, test=test, newcomers=_newcomers(events, test))


def periods_before(test: Visible, num: int) -> list[Visible]:
    """Cut the last periods before a split, the earliest first: questions as the split asks them.

    A period is a twentieth of the time before the split, at least a day and at most `_PERIOD`.
    """
    first = test.events["event_time"].min()
    assert isinstance(first, datetime)
    length = min(_PERIOD, max(timedelta(days=1), (test.as_of - first) / 20))
    ends = [test.as_of - step * length for step in range(num)]
    cuts = [
        before(test.events, test.reviews, as_of=end - length, until=end) for end in reversed(ends)
    ]
    return [cut for cut in cuts if len(cut.targets)]


def _newcomers(events: pl.DataFrame, test: Visible) -> pl.DataFrame:
    firsts = first_purchases(events).filter(pl.col("event_time") >= test.as_of)
    return firsts.join(first_purchases(test.events), on="user_id", how="anti").select(
        "user_id", "item_id", "event_time"
    )
