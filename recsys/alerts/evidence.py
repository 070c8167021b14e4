"""Evidence that the share of negative reviews of a series rose: e-values, onset by onset.

Of the reviews since an onset, as many are negative as a beta-binomial draw from the series' own
level would give, or as one from a risen level. The ratio of the two probabilities is a likelihood
ratio, exact for whole numbers however few, and its mean is 1 where nothing has changed: an e-value.
Averaged over the onsets of a block, each with the same weight spent beforehand, it stays one
whenever it is looked at (a mixture of test martingales), so a series may be looked at every day.

Some of the negative reviews are the worst there can be. How many of those that are negative, is
weighed in the same way: given the negative ones, whichever they are, the ratio for the worst among
them has a mean of 1 as well, so that of both together has; they need not be independent of each
other but through the two levels, whose priors are taken to be (Connor and Mosimann 1969, the
generalised Dirichlet distribution). A rise of the odds by f comes with one of the worst, among the
negative ones, by the root of f.

Sources: Shafer 2021, "Testing by betting"; Ramdas, Grunwald, Vovk and Shafer 2023, "Game-theoretic
statistics and safe anytime-valid inference"; Shin, Ramdas and Rinaldo 2023, "E-detectors".

Shape suffixes: F factors, S series, D days of the window (each a possible onset).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, expit, log_expit, logit, logsumexp

from recsys.alerts.config import AlertConfig

_LEAST_SHARE = 1e-4
_OF_WORST = 0.5
_ANY_LEVEL = 0.05


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
) -> np.ndarray:
    """Return the share that is to be expected from each day on, in (0, 1), shape (S, D).

    Args:
        counts: Of the series.
        levels: Their priors.
        shift_SD: What is added to the log odds for all series of the kind, shape (S, D).
    """
    return _mean_share(_usual(counts, levels, shift_SD))


@dataclass(frozen=True, kw_only=True)
class _Usual:
    """What one prior and the past lead to expect from each day on, shape (S, D) each.

    Attributes:
        log_weight_SD: Log probability of the prior, given the past.
        share_SD: Expected share, in (0, 1).
        strength_SD: Of how many reviews that is worth.
    """

    log_weight_SD: np.ndarray
    share_SD: np.ndarray
    strength_SD: np.ndarray


def _usual(counts: Counts, levels: Levels, shift_SD: np.ndarray | float) -> tuple[_Usual, _Usual]:
    """Return what is to be expected by the prior of the kind, and by one that knows nothing.

    Some series are not of their kind. One in twenty is taken to have any level at all, and the more
    so the less its past looks like the others; so a series that was bad from its first review on is
    not taken for one that turned bad.
    """
    num, bad = counts.until()
    most = levels.most_S[:, None]
    scale = np.minimum(1.0, most / np.maximum(num, 1))
    parts = []
    for mean_S, strength_S, beforehand in (
        (levels.mean_S, levels.strength_S, 1 - _ANY_LEVEL),
        (np.full_like(levels.mean_S, 0.5), np.full_like(levels.mean_S, 2.0), _ANY_LEVEL),
    ):
        a, b = (mean_S * strength_S)[:, None], ((1 - mean_S) * strength_S)[:, None]
        log = np.log(beforehand) + betaln(a + scale * bad, b + scale * (num - bad)) - betaln(a, b)
        strength = strength_S[:, None] + num
        share = np.clip((a + bad) / strength, _LEAST_SHARE, 1 - _LEAST_SHARE)
        parts.append((log, expit(logit(share) + shift_SD), np.minimum(strength, most)))
    either = np.logaddexp(parts[0][0], parts[1][0])
    kind, any_level = (
        _Usual(log_weight_SD=log - either, share_SD=share, strength_SD=strength)
        for log, share, strength in parts
    )
    return kind, any_level


def _mean_share(usual: tuple[_Usual, _Usual]) -> np.ndarray:
    return sum(np.exp(one.log_weight_SD) * one.share_SD for one in usual)  # type: ignore[return-value]


def onset_evidence(
    counts: Counts,
    levels: Levels,
    config: AlertConfig,
    shift_SD: np.ndarray | float = 0.0,
    worst: tuple[Counts, Levels] | None = None,
) -> np.ndarray:
    """Return the log e-value of a rise on each day of the window, shape (S, D).

    With k of n reviews since the day negative, expected share m of strength s:
    log mean over factors f of B(k | n, p_f) - log BB(k | n, m, s), where B is the binomial
    probability, p_f the share whose odds are f m / (1 - m), and BB the beta-binomial one; 0 where n
    is 0. With w the worst of the k, the same ratio of w, at the root of f, is multiplied to it
    before the mean. The risen shares are points, all above what is expected: a series that got
    better has a mean below 1.

    Args:
        counts: Of the series.
        levels: Their priors.
        config: How far a share rises.
        shift_SD: See `expected_share`.
        worst: Negative reviews and the worst among them, and their priors; None to leave them out.
    """
    heard_S = counts.num_SD.any(axis=1)
    if not heard_S.all():
        # Nothing is known of most series most of the time.
        log_SD, rows = np.zeros(counts.num_SD.shape), np.flatnonzero(heard_S)
        shift_SD = np.broadcast_to(shift_SD, counts.num_SD.shape)[rows]
        of_rows = None if worst is None else (worst[0].rows(rows), worst[1].rows(rows))
        log_SD[rows] = onset_evidence(
            counts.rows(rows), levels.rows(rows), config, shift_SD, of_rows
        )
        return log_SD
    gains = np.log(config.odds_factors)
    log_FSD = _log_ratios(counts, levels, gains, shift_SD)
    if worst is not None:
        of_worst = _OF_WORST * np.asarray(shift_SD)
        log_FSD = log_FSD + _log_ratios(*worst, _OF_WORST * gains, of_worst)
    return logsumexp(log_FSD, axis=0) - np.log(len(gains))


def _log_ratios(
    counts: Counts, levels: Levels, gains_F: np.ndarray, shift_SD: np.ndarray | float
) -> np.ndarray:
    """Return the log likelihood ratio of each rise on each day, shape (F, S, D)."""
    num, bad = counts.since()
    usual = _usual(counts, levels, shift_SD)
    log_usual = np.logaddexp(
        *(
            one.log_weight_SD + _log_probability(bad, num, one.share_SD, one.strength_SD)
            for one in usual
        )
    )
    odds_FSD = logit(_mean_share(usual)) + gains_F[:, None, None]
    return bad * log_expit(odds_FSD) + (num - bad) * log_expit(-odds_FSD) - log_usual


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


def _log_probability(
    bad: np.ndarray, num: np.ndarray, share: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """Return the beta-binomial log probability of one order of the reviews."""
    a, b = share * strength, (1 - share) * strength
    return betaln(a + bad, b + num - bad) - betaln(a, b)


def _from_each(days: np.ndarray) -> np.ndarray:
    return np.cumsum(days[:, ::-1], axis=1)[:, ::-1]
