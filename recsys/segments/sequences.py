"""Sequences of events: who did this, then that, then did not do something else.

A sequence is true of a user where any choice of their events fits it, false where none does, and
unknown where none does yet while the days that a later step has are not over: it could still be
done, or has to be left undone until then. Order is (event_time, seq): of two events at one time
the one that was written first comes first.

Step by step, the end of a step is an event that can be its last. For an event to be the end of a
step of `count` events after an end of the step before, that end has to lie before the first of the
last `count` events up to it; the latest such end leaves the shortest time, so one backward search
an event finds whether any fits.
"""

from datetime import timedelta

import polars as pl

from recsys.segments.conditions import Sequence, Step
from recsys.segments.tables import SegmentTables
from recsys.segments.values import Window

_KEY = "_key"
_PLACE, _TIME, _START = "_place", "_time", "_start"


def sequence_frame(sequence: Sequence, tables: SegmentTables, asked: str) -> pl.LazyFrame:
    """Return `user_id, value` of users for whom it is true, or null for unknown; others: false.

    Args:
        sequence: What is asked.
        tables: As of a moment.
        asked: The condition, for messages.

    Raises:
        SegmentError: A table is not there, or a step names what no item is.
    """
    relevant = _relevant(sequence, tables, asked)
    as_of, steps = tables.as_of, sequence.sequence
    ends = _ends_of_first(_of_step(relevant, 0), steps[0])
    open_users = [_open(ends.clear(), None, as_of)]
    for number, step in enumerate(steps[1:], 1):
        rows = _of_step(relevant, number)
        if step.never:
            ends, pending = _without(ends, rows, step, as_of)
            open_users.append(pending)
        else:
            open_users.append(_open(ends, step.within_days, as_of))
            ends = _ends_after(ends, rows, step)
    fits = ends.select("user_id").unique().with_columns(value=pl.lit(value=True))
    pending = pl.concat(open_users).unique().join(fits, on="user_id", how="anti")
    unknown = pending.with_columns(value=pl.lit(None, pl.Boolean))
    return pl.concat([fits, unknown]).lazy()


def _relevant(sequence: Sequence, tables: SegmentTables, asked: str) -> pl.DataFrame:
    """Return the events of any step in their order, with whether they are of each step."""
    window = Window(last_days=sequence.last_days)
    types = sorted({kind for step in sequence.sequence for kind in step.events})
    rows = tables.rows("events", window, asked).filter(pl.col("event_type").is_in(types))
    rows = rows.select(
        "user_id", "item_id", "event_type", "seq", "event_id", pl.col("event_time").alias(_TIME)
    )
    for number, step in enumerate(sequence.sequence):
        is_of = pl.col("event_type").is_in(step.events)
        items = tables.items_of(step, f"{asked}.sequence[{number}]")
        if items is not None:
            marked = items.with_columns(_is=pl.lit(value=True))
            rows = rows.join(marked, on="item_id", how="left")
            is_of &= pl.col("_is").fill_null(value=False)
        rows = rows.with_columns(is_of.alias(f"_step{number}"))
        rows = rows.drop("_is") if items is not None else rows
    any_step = pl.any_horizontal([f"_step{n}" for n in range(len(sequence.sequence))])
    key = ["user_id", "item_id"] if sequence.same_item else ["user_id"]
    rows = rows.filter(any_step)
    if sequence.same_item:
        rows = rows.filter(pl.col("item_id").is_not_null())
    found = rows.collect(engine="streaming").sort(_TIME, "seq", "event_id")
    return found.with_row_index(_PLACE).with_columns(
        pl.struct(key).rank("dense").alias(_KEY), pl.col(_PLACE).cast(pl.Int64)
    )


def _of_step(relevant: pl.DataFrame, number: int) -> pl.DataFrame:
    return relevant.filter(f"_step{number}").select("user_id", _KEY, _PLACE, _TIME)


def _ends_of_first(rows: pl.DataFrame, step: Step) -> pl.DataFrame:
    """Return events that are the last of `count`, all of them within the step's days if it has."""
    started = pl.col(_TIME).shift(step.count - 1).over(_KEY)
    found = rows.with_columns(_begin=started).filter(pl.col("_begin").is_not_null())
    if step.within_days is not None:
        found = found.filter(pl.col(_TIME) - pl.col("_begin") <= _days(step.within_days))
    return found.drop("_begin")


def _ends_after(ends: pl.DataFrame, rows: pl.DataFrame, step: Step) -> pl.DataFrame:
    """Return events that end a step which begins after some end of the one before."""
    first = pl.col(_PLACE).shift(step.count - 1).over(_KEY)
    candidates = rows.with_columns(first.alias(_START)).filter(pl.col(_START).is_not_null())
    before = ends.select(_KEY, pl.col(_PLACE).alias(_START), _before=_TIME)
    joined = candidates.sort(_START).join_asof(
        before.sort(_START),
        on=_START,
        by=_KEY,
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    found = joined.filter(pl.col("_before").is_not_null())
    if step.within_days is not None:
        found = found.filter(pl.col(_TIME) - pl.col("_before") <= _days(step.within_days))
    return found.select("user_id", _KEY, _PLACE, _TIME).sort(_PLACE)


def _without(
    ends: pl.DataFrame, rows: pl.DataFrame, step: Step, as_of: object
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return ends after which nothing came in time, and users for whom that is not over yet."""
    assert step.within_days is not None
    after = rows.select(_KEY, _PLACE, _after=_TIME)
    joined = ends.sort(_PLACE).join_asof(
        after.sort(_PLACE),
        on=_PLACE,
        by=_KEY,
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    until = pl.col(_TIME) + _days(step.within_days)
    nothing = joined.filter(pl.col("_after").is_null() | (pl.col("_after") > until))
    is_over = until < pl.lit(as_of)
    return nothing.filter(is_over), nothing.filter(~is_over).select("user_id")


def _open(ends: pl.DataFrame, within_days: float | None, as_of: object) -> pl.DataFrame:
    """Return users who are within the time that a next step may take."""
    if within_days is None:
        return ends.clear().select("user_id")
    is_open = pl.col(_TIME) + _days(within_days) >= pl.lit(as_of)
    return ends.filter(is_open).select("user_id")


def _days(days: float) -> timedelta:
    return timedelta(days=days)
