"""Which of many e-values are discoveries, when one looks at all of them day after day.

e-BH: with K hypotheses, the k of the greatest e-values are discoveries where the least of them is
at least K / (rate k). For e-values of any dependence the share of false ones has an expectation of
at most the rate (Wang and Ramdas 2022, "False discovery rate control with e-values").

Looked at daily, a hypothesis that was once discovered stays so. The bound holds for all discoveries
of all looks together: if U is what has been discovered up to and with the look at which hypothesis
i was, e_i at that look was at least K / (rate |U|), and |U| is at most the final number |U'|; so
E[sum over true nulls of 1 / |U'|] <= sum of E[rate e_i / K] <= rate, as e_i, an e-process, has a
mean of at most 1 at any stopping time.
"""

import numpy as np


def discoveries(
    log_e: np.ndarray, rate: float, *, num_hypotheses: int, num_found: int = 0
) -> np.ndarray:
    """Return which hypotheses are discovered, bool, shape of `log_e`.

    Args:
        log_e: Log e-values; hypotheses left out count as 0.
        rate: False discovery rate, within (0, 1).
        num_hypotheses: All of them, at least as many as `log_e`.
        num_found: Discoveries of earlier looks that are not among `log_e`.

    >>> discoveries(np.log([100.0, 30.0, 1.0]), 0.1, num_hypotheses=4).tolist()
    [True, True, False]
    """
    found = adjusted(log_e, num_hypotheses=num_hypotheses, num_found=num_found)
    return found <= np.log(rate)


def adjusted(log_e: np.ndarray, *, num_hypotheses: int, num_found: int = 0) -> np.ndarray:
    """Return the log of the least rate at which each is discovered, at most 0, shape of `log_e`.

    Args: as of `discoveries`.

    Raises:
        ValueError: If there are fewer hypotheses than e-values.
    """
    if num_hypotheses < len(log_e):
        raise ValueError(f"{len(log_e)} e-values of {num_hypotheses} hypotheses")
    order = np.argsort(-log_e, kind="stable")
    place = num_found + np.arange(1, len(log_e) + 1)
    wanted = np.log(num_hypotheses) - log_e[order] - np.log(place)
    # The best of all places at or behind its own.
    best = np.minimum.accumulate(wanted[::-1])[::-1]
    found = np.empty(len(log_e))
    found[order] = np.minimum(best, 0.0)
    return found
