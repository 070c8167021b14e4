"""Blocks of onsets: the days over which the stake of a series is spread, and looked at together."""

from dataclasses import dataclass

from recsys.alerts.config import AlertConfig


@dataclass(frozen=True)
class Quarter:
    """The onsets of one block that a look can see.

    Attributes:
        number: Of the block, counted from 1970.
        first: Its first onset, as a place in the window.
        end: Behind its last onset, as a place in the window.
    """

    number: int
    first: int
    end: int


def quarters(day: int, config: AlertConfig) -> list[Quarter]:
    """Return the blocks that a look on a day reads, the older first.

    The window ends with the day itself and is `config.window_days` long. The block before the
    running one is read for `carry_days` more: what began on its last days can still be found.

    Args:
        day: Days since 1970 of the last day of the window.
        config: How long blocks are.

    >>> quarters(100, AlertConfig(quarter_days=91, carry_days=28))
    [Quarter(number=0, first=18, end=109), Quarter(number=1, first=109, end=119)]
    """
    number, age = divmod(day, config.quarter_days)
    first = config.window_days - 1 - age
    found = [Quarter(number, first, config.window_days)]
    if age < config.carry_days:
        found.insert(0, Quarter(number - 1, first - config.quarter_days, first))
    return found
