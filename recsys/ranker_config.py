"""How the ranker is fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SATISFACTION_COUNTS = {
    "item:stars_smoothed": 1,
    "item:polarity_smoothed": 1,
    "item:negative_share": -1,
    "item:return_rate": -1,
    "pair:felt_text": 1,
    "pair:felt_category": 1,
    "pair:felt_brand": 1,
}
"""An item never falls because buyers are happier with it, or the user was with what is like it."""


@dataclass(frozen=True, kw_only=True)
class RankerConfig:
    """How the ranker is fitted.

    Attributes:
        num_trees: Candidates for the number of trees; chosen by cross-validation over users.
        learning_rate: Shrinkage of each tree.
        num_leaves: Leaves of a tree.
        many_users: With so many users trees have `leaves_of_many` leaves, and one fold
            of `recsys.ranker.NUM_FOLDS` is enough to choose by.
        leaves_of_many: See there.
        max_users: At most so many users, drawn at random, are learned from.
        gains: What a disliked, a bought and a loved item are worth, none below 0.
        min_data_in_leaf: Smallest leaf, in candidates.
        l2: L2 penalty on leaf values.
        truncation: Positions whose swaps count in the loss.
        monotone: Features by name that may raise a score alone (1) or lower it alone (-1) as they
            grow, all others being what they are.
        num_threads: Threads of LightGBM.
        seed: Of folds and sampling.
    """

    num_trees: tuple[int, ...] = (60, 120, 240)
    learning_rate: float = 0.05
    num_leaves: int = 7
    many_users: int = 3000
    leaves_of_many: int = 15
    max_users: int = 10_000
    gains: tuple[float, float, float] = (0.3, 1.0, 1.2)
    min_data_in_leaf: int = 200
    l2: float = 10.0
    truncation: int = 50
    monotone: Mapping[str, int] = field(default_factory=dict)
    num_threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.gains[0] <= self.gains[1] <= self.gains[2]:
            raise ValueError(f"gains must rise from 0 on, not {self.gains}")
        wrong = {name: way for name, way in self.monotone.items() if way not in (-1, 1)}
        if wrong:
            raise ValueError(f"a monotone feature goes up (1) or down (-1), not {wrong}")

    def lambdarank(self, names: Sequence[str], num_leaves: int) -> dict[str, Any]:
        """Return LightGBM's parameters of trees over some features."""
        parameters = {
            "objective": "lambdarank",
            "learning_rate": self.learning_rate,
            "num_leaves": num_leaves,
            "label_gain": [0.0, *self.gains],
            "min_data_in_leaf": self.min_data_in_leaf,
            "lambda_l2": self.l2,
            "lambdarank_truncation_level": self.truncation,
            "num_threads": self.num_threads,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        if self.monotone:
            parameters["monotone_constraints"] = [self.monotone.get(name, 0) for name in names]
            # The one that constrains least; on trees of a few leaves it takes no longer.
            parameters["monotone_constraints_method"] = "advanced"
        return parameters
