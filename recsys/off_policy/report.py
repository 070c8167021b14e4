"""What an off-policy evaluation says: a verdict, its reasons, and estimates where there are any."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recsys.off_policy.clipping import Clip
from recsys.off_policy.intervals import Intervals
from recsys.off_policy.overlap import Overlap

ESTIMATED, NOT_ESTIMABLE = "estimated", "not estimable from this log"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and how sure it is.

    Attributes:
        value: In the unit of the reward: a row's mean, or a list's mean sum for slate estimators.
        intervals: Around it.
        effective_sample_size: Of what was drawn: rows, or lists.
    """

    value: float
    intervals: Intervals
    effective_sample_size: float


@dataclass(frozen=True, kw_only=True)
class OffPolicyReport:
    """What a log says of a policy.

    Attributes:
        policy: Its name.
        reward: What was evaluated.
        verdict: `ESTIMATED` or `NOT_ESTIMABLE`.
        reasons: Why it was refused; empty where it was not.
        cautions: What the reader must know.
        estimator: Whose value is the answer.
        estimates: By estimator; empty where refused.
        left_out: Why an estimator is not among them, by name.
        overlap: How weights are spread.
        clip: What SLOPE chose, or what was given; None where refused.
        logged_value: Mean reward of the log.
        logged_interval: Bootstrap, of that mean.
        num_rows: Of the log.
        num_actions: Distinct items.
        num_lists: Where the log names lists.
        num_groups: What is drawn together.
        weight: Of each row, for plots, float64, shape (N,).
    """

    policy: str
    reward: str
    verdict: str
    reasons: list[str]
    cautions: list[str]
    estimator: str
    estimates: dict[str, Estimate]
    left_out: dict[str, str]
    overlap: Overlap
    clip: Clip | None
    logged_value: float
    logged_interval: tuple[float, float]
    num_rows: int
    num_actions: int
    num_lists: int | None
    num_groups: int
    weight: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the machine's copy, without the weights of rows."""
        found = {name: value for name, value in vars(self).items() if name != "weight"}
        answer = self.estimates.get(self.estimator)
        return found | {
            "estimates": {name: asdict(value) for name, value in self.estimates.items()},
            "estimate": None if answer is None else {"estimator": self.estimator, **asdict(answer)},
            "overlap": asdict(self.overlap),
            "clip": None if self.clip is None else asdict(self.clip),
        }
