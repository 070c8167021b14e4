"""What an alert has to show before it is raised."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AlertConfig:
    """How a rise of negative reviews is looked for.

    Attributes:
        false_discovery_rate: Share of alerts of a scope that may be false, over all daily looks of
            one block of onsets, within (0, 1).
        block_days: Onsets are searched for in blocks of so many days.
        carry_days: So long after its end a block is still looked at.
        history_days: How far back a series' own past is read.
        odds_factors: By which the odds of a negative review rise where something is wrong; each is
            as likely.
        least_negative: People who spoke badly since the onset.
        least_prior_reviews: Reviews that a category needs for a prior of its own.
        most_strength: Of how many reviews a series' past is worth at most.
        recovery_reviews: A recovery is read from so many reviews, of what was bought last.
        recovery_looks: And seen in so many looks in a row.
        recovery_certainty: That the share is back nearer to its old level, within (0.5, 1).
        stale_days: After so long without a review an alert is closed as unheard of.
        reopen_days: What is back within so many days reopens its alert.
    """

    false_discovery_rate: float = 0.1
    block_days: int = 28
    carry_days: int = 91
    history_days: int = 365
    odds_factors: tuple[float, ...] = (3.0, 10.0, 30.0)
    least_negative: int = 3
    least_prior_reviews: int = 100
    most_strength: float = 1000.0
    recovery_reviews: int = 10
    recovery_looks: int = 3
    recovery_certainty: float = 0.9
    stale_days: int = 90
    reopen_days: int = 28

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.false_discovery_rate < 1:
            raise ValueError(
                f"false_discovery_rate must be within (0, 1), not {self.false_discovery_rate}"
            )
        if not 0.5 < self.recovery_certainty < 1:
            raise ValueError(
                f"recovery_certainty must be within (0.5, 1), not {self.recovery_certainty}"
            )
        for name in (
            "block_days",
            "carry_days",
            "history_days",
            "least_negative",
            "recovery_reviews",
            "recovery_looks",
            "stale_days",
            "reopen_days",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.odds_factors or min(self.odds_factors) <= 1:
            raise ValueError(f"odds_factors must be above 1, not {self.odds_factors}")
        if self.most_strength <= 0:
            raise ValueError("most_strength must be above 0")

    @property
    def window_days(self) -> int:
        """The days that a look reads one by one."""
        return self.block_days + self.carry_days
