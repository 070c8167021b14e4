"""What simulated users want and how they behave, and policies that fill their lists.

Shape suffixes: U users, I items, C candidates of a user, K places, L lists.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What users want and how they would feel about it.

    Attributes:
        user_ids: Shape (U,).
        item_ids: Shape (I,).
        relevance: Chance to click what is looked at, in [0, 1], shape (U, I).
        satisfaction: Mean satisfaction once bought, in (0, 1), shape (U, I).
        candidates: Items that can be shown to each user, indices, shape (U, C).
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    relevance: np.ndarray
    satisfaction: np.ndarray
    candidates: np.ndarray

    def __post_init__(self) -> None:
        """Check the ranges."""
        shape = (len(self.user_ids), len(self.item_ids))
        if self.relevance.shape != shape or self.satisfaction.shape != shape:
            raise ValueError(
                f"relevance {self.relevance.shape} and satisfaction {self.satisfaction.shape}, "
                f"wanted {shape}: users by items"
            )
        for name in ("relevance", "satisfaction"):
            values = getattr(self, name)
            if not ((values >= 0) & (values <= 1)).all():
                raise ValueError(f"{name} lies outside [0, 1]")
        if len(self.candidates) != len(self.user_ids):
            raise ValueError(f"candidates of {len(self.candidates)} users, wanted {shape[0]}")

    def of_candidates(self, values_UI: np.ndarray) -> np.ndarray:
        """Return values of each user's candidates, shape (U, C)."""
        return np.take_along_axis(values_UI, self.candidates, 1)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How users behave, besides what they want.

    Attributes:
        num_places: Places of a list, K.
        position_power: How fast looks fall with the place.
        purchase_rate: Chance to buy what was clicked.
        judged_rate: Chance to judge what was bought.
        concentration: Of satisfaction around its mean; the larger, the less it varies.
    """

    num_places: int = 3
    position_power: float = 1.0
    purchase_rate: float = 0.5
    judged_rate: float = 0.8
    concentration: float = 4.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_places < 1:
            raise ValueError(f"num_places is {self.num_places}, wanted at least 1")
        for name in ("purchase_rate", "judged_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted 0 to 1")
        if self.position_power < 0 or self.concentration <= 0:
            raise ValueError(
                f"position_power {self.position_power} and concentration {self.concentration}: "
                "wanted at least 0, and above 0"
            )

    @property
    def looks(self) -> np.ndarray:
        """Chance that each place is looked at, shape (K,)."""
        return 1.0 / np.arange(1, self.num_places + 1) ** self.position_power


@dataclass(frozen=True, kw_only=True)
class SoftPolicy:
    """Fills places one after the other, by scores and by luck.

    The next place goes to what is left with a chance of (1 - epsilon) softmax(score / temperature)
    + epsilon / number left; at a temperature of 0 the best takes the place of the softmax.

    Attributes:
        name: What to call it.
        scores: Of all users and items, shape (U, I).
        temperature: At least 0.
        epsilon: In [0, 1].
    """

    name: str
    scores: np.ndarray
    temperature: float = 0.1
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.temperature >= 0:
            raise ValueError(f"temperature is {self.temperature}, wanted 0 or more")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is {self.epsilon}, wanted 0 to 1")

    def next_place(self, scores: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Return the chances of the next place.

        Args:
            scores: Of candidates, shape (L, C).
            left: Which of them do not stand above, at least one a row, bool, shape (L, C).

        Returns:
            float64, sums to 1 in each row, 0 where not left, shape (L, C).
        """
        masked = np.where(left, scores, -np.inf)
        if self.temperature == 0:
            soft = np.zeros(scores.shape)
            soft[np.arange(len(scores)), masked.argmax(1)] = 1.0
        else:
            soft = np.exp((masked - masked.max(1, keepdims=True)) / self.temperature)
            soft /= soft.sum(1, keepdims=True)
        return (1.0 - self.epsilon) * soft + self.epsilon * left / left.sum(1, keepdims=True)
