"""How a purchase feels: hidden quality seen through what its buyer cares for.

    felt[a]  = 0.5 + quality[item, a] - strictness[user] + 0.5 noise[a]
    latent   = sum over a of weight[user, a] felt[a] + 0.35 noise,  weights over the department
    satisfaction = 1 / (1 + exp(-1.5 latent))

Shapes: N purchases, U users, D departments, A aspects.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.sample_shop.catalogue import DEPARTMENT_ASPECTS, Catalogue
from jobs.sample_shop.departments import ASPECTS
from jobs.sample_shop.people import People

BASE = 0.5
ASPECT_NOISE = 0.5
LATENT_NOISE = 0.35
STEEPNESS = 1.5


@dataclass(frozen=True, kw_only=True)
class Experience:
    """How purchases feel, or the noise in it."""

    felt: np.ndarray
    """float[N, A]: about N(0.5, 1) where the aspect applies, 0 is neither good nor bad."""
    latent: np.ndarray
    """float[N]: about N(0.5, 0.8)."""
    expected: np.ndarray
    """float[N]: `latent` without its noise."""

    @classmethod
    def empty(cls, num_rows: int) -> Self:
        """Return rows to be filled by `set`."""
        return cls(
            felt=np.zeros((num_rows, len(ASPECTS))),
            latent=np.zeros(num_rows),
            expected=np.zeros(num_rows),
        )

    @classmethod
    def noise(cls, rng: np.random.Generator, num_rows: int) -> Self:
        """Return standard normal noise."""
        return cls(
            felt=rng.normal(size=(num_rows, len(ASPECTS))),
            latent=rng.normal(size=num_rows),
            expected=np.zeros(num_rows),
        )

    def at(self, rows: slice | np.ndarray) -> "Experience":
        """Return some rows."""
        return Experience(
            felt=self.felt[rows], latent=self.latent[rows], expected=self.expected[rows]
        )

    def set(self, rows: slice, values: "Experience") -> None:
        """Fill some rows in place."""
        self.felt[rows] = values.felt
        self.latent[rows] = values.latent
        self.expected[rows] = values.expected


def department_weights(weight: np.ndarray) -> np.ndarray:
    """Spread aspect weights over the aspects of each department, float[U, D, A], sums to 1."""
    spread = weight[:, None, :] * DEPARTMENT_ASPECTS[None, :, :]
    return spread / spread.sum(axis=2, keepdims=True)


def feel(
    catalogue: Catalogue,
    people: People,
    weights: np.ndarray,
    user: np.ndarray,
    item: np.ndarray,
    noise: Experience,
) -> Experience:
    """Return how items feel to users, row by row."""
    own = weights[user, catalogue.department[item]]
    plain = BASE + catalogue.quality[item] - people.strictness[user][:, None]
    felt = plain + ASPECT_NOISE * noise.felt
    return Experience(
        felt=felt,
        latent=(own * felt).sum(axis=1) + LATENT_NOISE * noise.latent,
        expected=(own * plain).sum(axis=1),
    )


def squash(latent: np.ndarray) -> np.ndarray:
    """Return satisfaction in (0, 1)."""
    return 1.0 / (1.0 + np.exp(-STEEPNESS * latent))
