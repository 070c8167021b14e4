"""What the past leads to expect of a series, and how likely what was seen since is by that.

A series is of its kind, or unlike it. One in twenty is taken to be unlike: to have any level at
all, of negative reviews, of the worst among them, of returns. It is the likelier the less its past
looks like the others'; so a series that was bad from its first review on is not taken for one that
turned bad.

Shape suffixes: P priors (that of the kind, and any level), F factors, S series, D days of the
window (each a possible onset).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, expit, log_expit, logit

from recsys.alerts.counts import Counts, Levels

_LEAST_SHARE = 1e-4
_UNLIKE = 0.05
_ANY_SHARE = (1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Of one kind of things that are counted, from each day on.

    Attributes:
        log_past_PSD: Log probability of what was before the day, but for what all priors share.
        log_since_PSD: Log probability of what came since, given that.
        level_PSD: Expected level.
        risen: From a level, shape (S, D), and logs of factors, shape (F,), the log probability of
            what came since if it has risen so far, shape (F, S, D).
    """

    log_past_PSD: np.ndarray
    log_since_PSD: np.ndarray
    level_PSD: np.ndarray
    risen: Callable[[np.ndarray, np.ndarray], np.ndarray]


def of_counts(counts: Counts, levels: Levels, shift_SD: np.ndarray | float = 0.0) -> Expectation:
    """Expect a share: levels are beta distributed, counts beta-binomial.

    Args:
        counts: Of the series.
        levels: Their priors.
        shift_SD: What is added to the log odds for all series of the kind, shape (S, D).
    """
    (num, bad), (num_since, bad_since) = counts.until(), counts.since()
    good_since, most = num_since - bad_since, levels.most_S[:, None]
    # Of a past that is worth less than its reviews each counts less.
    scale = np.minimum(1.0, most / np.maximum(num, 1))
    kind = (levels.mean_S * levels.strength_S, (1 - levels.mean_S) * levels.strength_S)
    log_past, log_since, level = [], [], []
    for a_S, b_S in (kind, [np.full(len(num), value) for value in _ANY_SHARE]):
        a, b = a_S[:, None], b_S[:, None]
        log_past.append(betaln(a + scale * bad, b + scale * (num - bad)) - betaln(a, b))
        share = np.clip((a + bad) / (a + b + num), _LEAST_SHARE, 1 - _LEAST_SHARE)
        share = expit(logit(share) + shift_SD)
        strength = np.minimum(a + b + num, most)
        a, b = share * strength, (1 - share) * strength
        log_since.append(betaln(a + bad_since, b + good_since) - betaln(a, b))
        level.append(share)

    def risen(level_SD: np.ndarray, gains_F: np.ndarray) -> np.ndarray:
        odds_FSD = logit(level_SD) + gains_F[:, None, None]
        return bad_since * log_expit(odds_FSD) + good_since * log_expit(-odds_FSD)

    return Expectation(
        log_past_PSD=np.array(log_past),
        log_since_PSD=np.array(log_since),
        level_PSD=np.array(level),
        risen=risen,
    )


def log_weights(expectations: Sequence[Expectation]) -> np.ndarray:
    """Return the log probability of each prior, given all that was before, shape (P, S, D)."""
    kind, unlike = np.sum([one.log_past_PSD for one in expectations], axis=0)
    odds = np.log(_UNLIKE) - np.log(1 - _UNLIKE) + unlike - kind
    return np.array([log_expit(-odds), log_expit(odds)])


def mean_level(expectation: Expectation, log_weight_PSD: np.ndarray) -> np.ndarray:
    """Return the level that is expected whichever prior is true, shape (S, D)."""
    return (np.exp(log_weight_PSD) * expectation.level_PSD).sum(axis=0)
