"""Evidence that the share of negative reviews of a series rose: e-values, onset by onset.

Of the reviews since an onset, as many are negative as a beta-binomial draw from the series' own
level would give, or as one from a risen level. The ratio of the two probabilities is a likelihood
ratio, exact for whole numbers however few, and its mean is 1 where nothing has changed: an e-value.
Averaged over the onsets of a block, each with the same weight spent beforehand, it stays one
whenever it is looked at (a mixture of test martingales), so a series may be looked at every day.

Sources: Shafer 2021, "Testing by betting"; Ramdas, Grunwald, Vovk and Shafer 2023, "Game-theoretic
statistics and safe anytime-valid inference"; Shin, Ramdas and Rinaldo 2023, "E-detectors".

Shape suffixes: S series, D days of the window (each a possible onset).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, expit, log_expit, logit, logsumexp

from recsys.alerts.config import AlertConfig

_LEAST_SHARE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Reviews of some series, day by day in the window, and before it.

    Attributes:
        num_SD: Reviews, shape (S, D).
        bad_SD: Negative ones among them, shape (S, D).
        num_before_S: Reviews before the window, shape (S,).
        bad_before_S: Negative ones among them, shape (S,).
    """

    num_SD: np.ndarray
    bad_SD: np.ndarray
    num_before_S: np.ndarray
    bad_before_S: np.ndarray

    def rows(self, rows: np.ndarray | list[int]) -> "Counts":
        """Return those of some series."""
        return Counts(
            num_SD=self.num_SD[rows],
            bad_SD=self.bad_SD[rows],
            num_before_S=self.num_before_S[rows],
            bad_before_S=self.bad_before_S[rows],
        )

    def since(self) -> tuple[np.ndarray, np.ndarray]:
        """Return reviews, and negative ones, from each day to the last, shape (S, D) each."""
        return _from_each(self.num_SD), _from_each(self.bad_SD)

    def until(self) -> tuple[np.ndarray, np.ndarray]:
        """Return reviews, and negative ones, before each day, shape (S, D) each."""
        num = self.num_before_S[:, None] + np.cumsum(self.num_SD, axis=1) - self.num_SD
        bad = self.bad_before_S[:, None] + np.cumsum(self.bad_SD, axis=1) - self.bad_SD
        return num, bad


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What shares of negative reviews are expected to be, before a series' own past is read.

    Attributes:
        mean_S: Of series of the same kind, in (0, 1), shape (S,).
        strength_S: Of how many reviews that is worth, shape (S,).
        most_S: Of how many reviews all that is known of a series is worth at most: shares wander,
            shape (S,).
    """

    mean_S: np.ndarray
    strength_S: np.ndarray
    most_S: np.ndarray

    def rows(self, rows: np.ndarray | list[int]) -> "Levels":
        """Return those of some series."""
        return Levels(
            mean_S=self.mean_S[rows], strength_S=self.strength_S[rows], most_S=self.most_S[rows]
        )


def expected_share(
    counts: Counts, levels: Levels, shift_SD: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share to be expected from each day on, and of how many reviews that is worth.

    Args:
        counts: Of the series.
        levels: Their priors.
        shift_SD: What is added to the log odds for all series of the kind, shape (S, D).

    Returns:
        Two arrays of shape (S, D), the share in (0, 1).
    """
    num, bad = counts.until()
    strength = levels.strength_S[:, None] + num
    share = (levels.mean_S * levels.strength_S)[:, None] + bad
    share = np.clip(share / strength, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return expit(logit(share) + shift_SD), np.minimum(strength, levels.most_S[:, None])


def onset_evidence(
    counts: Counts,
    levels: Levels,
    config: AlertConfig,
    shift_SD: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return the log e-value of a rise on each day of the window, shape (S, D).

    With k of n reviews since the day negative, expected share m of strength s:
    log mean over factors f of B(k | n, p_f) - log BB(k | n, m, s), where B is the binomial
    probability, p_f the share whose odds are f m / (1 - m), and BB the beta-binomial one; 0 where n
    is 0. The risen shares are points, all above m: a series that got better has a mean below 1.

    Args:
        counts: Of the series.
        levels: Their priors.
        config: How far a share rises.
        shift_SD: See `expected_share`.
    """
    num, bad = counts.since()
    share, strength = expected_share(counts, levels, shift_SD)
    usual = _log_probability(bad, num, share, strength)
    odds = logit(share)
    risen = [
        bad * log_expit(odds + gain) + (num - bad) * log_expit(-odds - gain)
        for gain in np.log(config.odds_factors)
    ]
    return logsumexp(risen, axis=0) - np.log(len(risen)) - usual


def log_e_value(log_SD: np.ndarray, block_days: int) -> np.ndarray:
    """Return the log e-value of each series over the onsets of one block, shape (S,).

    Each onset has 1 / block_days of the stake; what is not spent yet is kept.

    Args:
        log_SD: Log e-values of onsets, at most `block_days` of them.
        block_days: Onsets of a whole block.
    """
    num_days = log_SD.shape[1]
    if num_days > block_days:
        raise ValueError(f"a block of {block_days} days has no {num_days} onsets")
    kept = np.full((len(log_SD), 1), -np.inf)
    if num_days < block_days:
        kept[:] = np.log(block_days - num_days)
    return logsumexp(np.hstack([log_SD, kept]), axis=1) - np.log(block_days)


def category_shift(
    counts: Counts, own_S: np.ndarray, others: Counts, *, strength: float = 20.0
) -> np.ndarray:
    """Return by how much the log odds of a negative review rose in the rest of the category.

    What is wrong with a whole category is no news of one of its items. Falls are left out.

    Args:
        counts: Of the series.
        own_S: Row of each series' category in `others`, -1 for none, shape (S,).
        others: Of categories; a series is taken out of its own.
        strength: Of how many reviews "no change" is worth.

    Returns:
        0 and above, shape (S, D).
    """
    has = own_S >= 0
    if not has.any():
        return np.zeros(counts.num_SD.shape)
    row = np.where(has, own_S, 0)
    num, bad = _rest(others.since(), row, counts.since())
    num_past, bad_past = _rest(others.until(), row, counts.until())
    past = np.clip((bad_past + 1.0) / (num_past + 4.0), _LEAST_SHARE, 1 - _LEAST_SHARE)
    now = (bad + strength * past) / (num + strength)
    now = np.clip(now, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return np.where(has[:, None], np.maximum(0.0, logit(now) - logit(past)), 0.0)


def _rest(
    theirs: tuple[np.ndarray, np.ndarray], row: np.ndarray, own: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return reviews and negative ones of the others; none below 0 where days were set aside."""
    num, bad = (np.maximum(0, of[row] - mine) for of, mine in zip(theirs, own, strict=True))
    return np.maximum(num, bad), bad


def _log_probability(
    bad: np.ndarray, num: np.ndarray, share: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """Return the beta-binomial log probability of one order of the reviews."""
    a, b = share * strength, (1 - share) * strength
    return betaln(a + bad, b + num - bad) - betaln(a, b)


def _from_each(days: np.ndarray) -> np.ndarray:
    return np.cumsum(days[:, ::-1], axis=1)[:, ::-1]
