"""Evidence that the share of negative reviews of a series rose: e-values, onset by onset.

Of the reviews since an onset, as many are negative as a beta-binomial draw from the series' own
level would give, or as one from a risen level. The ratio of the two probabilities is a likelihood
ratio, exact for whole numbers however few, and its mean is 1 where nothing has changed: an e-value.
Averaged over the onsets of a block, each with the same weight spent beforehand, it stays one
whenever it is looked at (a mixture of test martingales), so a series may be looked at every day.

Some of the negative reviews are the worst there can be, and some things are sent back by people who
write no review. How many are, is weighed in the same way: given the negative reviews, whichever
they are, the ratio for the worst among them has a mean of 1 as well, and given all reviews so has
that for the next return; so the product of the three has. What is unknown of a series, its levels
and whether it is like its kind, is averaged over in what is usual, not in each ratio by itself.

Sources: Shafer 2021, "Testing by betting"; Ramdas, Grunwald, Vovk and Shafer 2023, "Game-theoretic
statistics and safe anytime-valid inference"; Shin, Ramdas and Rinaldo 2023, "E-detectors".

Shape suffixes: F factors, S series, D days of the window (each a possible onset).
"""

import numpy as np
from scipy.special import logsumexp

from recsys.alerts.config import AlertConfig
from recsys.alerts.counts import Counts, Levels
from recsys.alerts.expectations import log_weights, mean_level, of_counts
from recsys.alerts.returns import Returns, of_returns

_ROOT = 0.5


def expected_share(
    counts: Counts, levels: Levels, shift_SD: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the share that is to be expected from each day on, in (0, 1), shape (S, D).

    Args:
        counts: Of the series.
        levels: Their priors.
        shift_SD: What is added to the log odds for all series of the kind, shape (S, D).
    """
    expected = of_counts(counts, levels, shift_SD)
    return mean_level(expected, log_weights([expected]))


def onset_evidence(
    counts: Counts,
    levels: Levels,
    config: AlertConfig,
    shift_SD: np.ndarray | float = 0.0,
    worst: tuple[Counts, Levels] | None = None,
    returned: Returns | None = None,
) -> np.ndarray:
    """Return the log e-value of a rise on each day of the window, shape (S, D).

    With k of n reviews since the day negative, expected share m of strength s:
    log mean over factors f of B(k | n, p_f) - log BB(k | n, m, s), where B is the binomial
    probability, p_f the share whose odds are f m / (1 - m), and BB the beta-binomial one, mixed
    over the two priors of `recsys.alerts.expectations`; 0 where nothing was seen. With w the worst
    of the k, probabilities of w are multiplied to both, p_f then at the root of f; and so are those
    of returns (`recsys.alerts.returns`), at the root of f. The risen levels are points, all above
    what is expected: a series that got better has a mean below 1.

    Args:
        counts: Of the series.
        levels: Their priors.
        config: How far a share rises.
        shift_SD: See `expected_share`.
        worst: Negative reviews and the worst among them, and their priors; None to leave them out.
        returned: What was sent back; None to leave it out.
    """
    heard_S = counts.num_SD.any(axis=1)
    if returned is not None:
        heard_S |= (returned.expected_SD > 0).any(axis=1)
    if not heard_S.all():
        # Nothing is known of most series most of the time.
        log_SD, rows = np.zeros(counts.num_SD.shape), np.flatnonzero(heard_S)
        log_SD[rows] = onset_evidence(
            counts.rows(rows),
            levels.rows(rows),
            config,
            np.broadcast_to(shift_SD, counts.num_SD.shape)[rows],
            None if worst is None else (worst[0].rows(rows), worst[1].rows(rows)),
            None if returned is None else returned.rows(rows),
        )
        return log_SD
    parts = [(of_counts(counts, levels, shift_SD), 1.0)]
    if worst is not None:
        parts.append((of_counts(*worst, _ROOT * np.asarray(shift_SD)), _ROOT))
    if returned is not None:
        parts.append((of_returns(returned), _ROOT))
    log_weight_PSD = log_weights([one for one, _ in parts])
    gains_F = np.log(config.odds_factors)
    usual_PSD = log_weight_PSD + np.sum([one.log_since_PSD for one, _ in parts], axis=0)
    risen_FSD = np.sum(
        [one.risen(mean_level(one, log_weight_PSD), power * gains_F) for one, power in parts],
        axis=0,
    )
    return logsumexp(risen_FSD, axis=0) - np.log(len(gains_F)) - np.logaddexp(*usual_PSD)


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
