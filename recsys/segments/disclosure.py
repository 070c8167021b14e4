"""What a list would tell of single people, by itself or beside the lists before it.

A short list says of each of few people that they are unhappy, or about to leave. Two long lists
whose difference is short say the same of those few.
"""

from collections.abc import Mapping

import polars as pl

from recsys.segments.section import LEAST_CHANGE, LEAST_SIZE


def size_refusal(size: int, *, least_size: int = LEAST_SIZE) -> str | None:
    """Say why a list is too short to be exported; None where it is not."""
    if size >= least_size:
        return None
    return (
        f"the list has {size:,} users, fewer than {least_size:,}: it would tell too much of each. "
        "Ask for less, or lower [segments] min_size"
    )


def num_told(current: pl.Series, previous: pl.Series, withdrawn: pl.Series | None = None) -> int:
    """Count the people of whom two lists together tell something.

    Args:
        current: Ids, each once.
        previous: Ids, each once.
        withdrawn: Ids that may not be on the list any more, whatever the segment says: they have
            withdrawn their consent, are suppressed or erased. They have to be taken off, and are
            not counted.

    Returns:
        Users on one of the two lists alone, withdrawn ones of the previous left out.
    """
    gone = previous.filter(~previous.is_in(current.implode()))
    if withdrawn is not None:
        gone = gone.filter(~gone.is_in(withdrawn.implode()))
    return len(gone) + int((~current.is_in(previous.implode())).sum())


def differencing_refusal(
    current: pl.Series,
    previous: Mapping[str, pl.Series],
    *,
    least_change: int = LEAST_CHANGE,
    withdrawn: pl.Series | None = None,
) -> str | None:
    """Say why a list must not follow others of the same segment and destination.

    Args:
        current: Ids, each once.
        previous: Earlier lists, by a name for messages, such as the time of the export.
        least_change: A list differs from each of them by nobody or by at least so many.
        withdrawn: See `num_told`.

    Returns:
        The reason, with how many users would be told apart; None where there is none.
    """
    for name, earlier in previous.items():
        told = num_told(current, earlier, withdrawn)
        if 0 < told < least_change:
            return (
                f"the list differs from that of {name} by {told:,} users, fewer than "
                f"{least_change:,}: together they would tell who those are. Wait until more have "
                "changed, or lower [segments] min_change"
            )
    return None
