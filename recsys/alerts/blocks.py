"""Blocks of onsets: the days over which the stake of a series is spread, and looked at together."""

from dataclasses import dataclass

from recsys.alerts.config import AlertConfig


@dataclass(frozen=True)
class Block:
    """The onsets of one block that a look can see.

    Attributes:
        number: Of the block, counted from 1970.
        first: Its first onset, as a place in the window.
        end: Behind its last onset, as a place in the window.
    """

    number: int
    first: int
    end: int


def blocks(day: int, config: AlertConfig) -> list[Block]:
    """Return the blocks that a look on a day reads, the oldest first.

    The window ends with the day itself and is `config.window_days` long. A block is read for
    `carry_days` after its end: what began on its last days, or slowly, can still be found.

    Args:
        day: Days since 1970 of the last day of the window.
        config: How long blocks are.

    >>> blocks(100, AlertConfig(block_days=28, carry_days=40))
    [Block(number=2, first=23, end=51), Block(number=3, first=51, end=68)]
    """
    running, age = divmod(day, config.block_days)
    first = config.window_days - 1 - age
    found = [Block(running, first, config.window_days)]
    while config.window_days - first <= config.carry_days:
        first -= config.block_days
        found.insert(0, Block(found[0].number - 1, first, first + config.block_days))
    return found
