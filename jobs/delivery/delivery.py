"""What is handed over, and what a destination has to do with it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

import polars as pl

from jobs.delivery.rows import Rows

Mode = Literal["export", "sync"]
"""`export`: everybody on the list is written to; `sync`: a list is kept up."""
Operation = Literal["replace", "update"]
"""`replace`: the rows are the whole list; `update`: they are what is new on it."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One list, or what has changed of it, on its way.

    The list before, less `removed`, with `added`, is the list after. A person of whom something
    else is told now is in both.

    Attributes:
        key: 32 hexadecimal digits, the same whenever this is tried again.
        number: Counts the deliveries of this segment to this destination, from 1.
        segment: Its name.
        definition_version: Of the segment.
        as_of: Whose moment the list tells.
        operation: See `Operation`.
        added: `user_id` and the columns that are told; of a replace the whole list.
        removed: The same columns as they were told before; of a replace none.
        newcomers: Ids, as stored, of who was not on the list before.
        members: Ids, as stored, of everybody on the list after.
    """

    key: str
    number: int
    segment: str
    definition_version: str
    as_of: datetime
    operation: Operation
    added: pl.DataFrame
    removed: pl.DataFrame
    newcomers: pl.Series
    members: pl.Series

    @property
    def size(self) -> int:
        """How many people are on the list after."""
        return len(self.members)

    def facts(self) -> dict[str, Any]:
        """Return what may be told to everybody: no ids."""
        return {
            "key": self.key,
            "number": self.number,
            "segment": self.segment,
            "definition_version": self.definition_version,
            "as_of": self.as_of.isoformat(),
            "operation": self.operation,
            "added": len(self.added),
            "removed": len(self.removed),
            "size": self.size,
        }


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a destination took.

    Attributes:
        place: Where it lies now: a file, a table, an address.
        details: JSON types: check sums, statuses.
    """

    place: str
    details: dict[str, Any] = field(default_factory=dict)


OnStage = Callable[[str], None]
"""Told the name of each stage as it begins; for progress bars, and for tests of kills."""


class Destination(Protocol):
    """Where lists go. Handing over the same delivery again has the effect of once."""

    @property
    def rows(self) -> Rows:
        """What it is told of people."""
        ...

    def check(self) -> None:
        """Say before any work what would go wrong.

        Raises:
            BadInputError: If it is not set up rightly.
            DeliveryError: If it cannot be reached.
        """
        ...

    def has(self, key: str, segment: str) -> bool | None:
        """Tell whether a delivery has arrived; None where that cannot be known.

        Raises:
            DeliveryError: If it cannot be asked now.
        """
        ...

    def deliver(self, delivery: Delivery, on_stage: OnStage) -> Receipt:
        """Hand over, all or nothing as far as the destination can.

        Raises:
            BadInputError: If the rows cannot be put there.
            DeliveryError: If it was not taken; trying again loses and doubles nothing.
        """
        ...
