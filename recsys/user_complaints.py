"""What users complained of: an aspect that disappointed counts against items with that weakness.

Shape suffixes: M mentions, A aspects.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.rerank import complaints_of

_DAY_US = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class UserComplaints:
    """Mentions of aspects by users who complained of them.

    Attributes:
        spans: Where the mentions of each user start and end, by name of the user.
        aspect_M: Column of each in the aspects of items, int64.
        polarity_M: In [-1, 1], float64.
        time_M: Microseconds since the epoch, int64.
        num_aspects: A.
    """

    spans: Mapping[str, tuple[int, int]]
    aspect_M: np.ndarray
    polarity_M: np.ndarray
    time_M: np.ndarray
    num_aspects: int

    @classmethod
    def of(cls, table: pl.DataFrame, places: Mapping[str, int]) -> "UserComplaints":
        """Build from `user_id, aspect, polarity, event_time`.

        Args:
            table: Aspects that nobody mentions of an item are left out.
            places: Column of each aspect.
        """
        known = table.filter(pl.col("aspect").is_in(list(places))).sort("user_id")
        counts = known.group_by("user_id", maintain_order=True).len()
        ends = counts["len"].cum_sum()
        starts = ends - counts["len"]
        return cls(
            spans={
                user: (start, end)
                for user, start, end in zip(counts["user_id"], starts, ends, strict=True)
            },
            aspect_M=np.array([places[name] for name in known["aspect"]], dtype=np.int64),
            polarity_M=known["polarity"].to_numpy(),
            time_M=known["event_time"].dt.epoch("us").to_numpy(),
            num_aspects=len(places),
        )

    def of_user(self, name: str | None, now: int, half_life_days: float) -> np.ndarray | None:
        """Return how badly a user spoke of each aspect, in [0, 1], shape (A,); None for nothing.

        Args:
            name: Of the user in the tables.
            now: Microseconds since the epoch; ages are counted in days of UTC.
            half_life_days: After which a mention weighs half.
        """
        if name is None or name not in self.spans:
            return None
        rows = slice(*self.spans[name])
        age_days = np.maximum(now // _DAY_US - self.time_M[rows] // _DAY_US, 0)
        return complaints_of(
            self.aspect_M[rows],
            self.polarity_M[rows],
            age_days,
            self.num_aspects,
            half_life_days,
        )
