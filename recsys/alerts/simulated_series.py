"""Series of which it is known whether they turned bad: what the promised rate is checked on.

Shape suffixes: S series, D days.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from recsys.alerts.blocks import blocks
from recsys.alerts.config import AlertConfig
from recsys.alerts.counts import Counts, Levels
from recsys.alerts.discoveries import discoveries
from recsys.alerts.evidence import log_e_value, onset_evidence
from recsys.alerts.levels import beta_prior, wandering

_PERIOD_DAYS = 28
_NEVER = -1


@dataclass(frozen=True, kw_only=True)
class SeriesConfig:
    """What is simulated.

    Attributes:
        num_series: How many.
        days: How long.
        reviews_a_day: Mean of the series' own means, which are drawn from a gamma distribution.
        mean: Share of negative reviews of all series.
        strength: Levels of series are beta distributed, with the spread of so many reviews.
        worst: Share of the worst among negative reviews; its levels are drawn, spread and wander in
            the same way.
        wander: Standard deviation of the log odds between periods of 28 days.
        changed: Share of series that turn bad once.
        odds_factor: By which the odds of a negative review rise then; those of the worst among them
            by its root.
        first_onset: No series turns bad before this day.
    """

    num_series: int = 1000
    days: int = 546
    reviews_a_day: float = 0.5
    mean: float = 0.2
    strength: float = 15.0
    worst: float = 0.4
    wander: float = 0.0
    changed: float = 0.0
    odds_factor: float = 12.0
    first_onset: int = 364


@dataclass(frozen=True, kw_only=True)
class SimulatedSeries:
    """Reviews day by day, and the truth.

    Attributes:
        num_SD: Reviews.
        bad_SD: Negative ones.
        worst_SD: The worst among these.
        onset_S: The day from which a series is worse, -1 for never.
    """

    num_SD: np.ndarray
    bad_SD: np.ndarray
    worst_SD: np.ndarray
    onset_S: np.ndarray


def simulate(config: SeriesConfig, *, seed: int) -> SimulatedSeries:
    """Draw series; the same seed gives the same ones."""
    rng = np.random.default_rng(seed)
    shape = (config.num_series, config.days)
    rate_S = config.reviews_a_day * rng.gamma(1.0, size=config.num_series)
    onset_S = np.where(
        rng.random(config.num_series) < config.changed,
        rng.integers(config.first_onset, config.days - 28, size=config.num_series),
        _NEVER,
    )
    is_bad = (onset_S[:, None] >= 0) & (np.arange(config.days) >= onset_S[:, None])
    gain_SD = np.log(config.odds_factor) * is_bad
    num_SD = rng.poisson(np.broadcast_to(rate_S[:, None], shape))
    bad_SD = rng.binomial(num_SD, expit(_odds(config, config.mean, rng) + gain_SD))
    worst_SD = rng.binomial(bad_SD, expit(_odds(config, config.worst, rng) + 0.5 * gain_SD))
    return SimulatedSeries(num_SD=num_SD, bad_SD=bad_SD, worst_SD=worst_SD, onset_S=onset_S)


def _odds(config: SeriesConfig, mean: float, rng: np.random.Generator) -> np.ndarray:
    """Return the log odds of each series on each day, as long as nothing turns bad."""
    a, b = mean * config.strength, (1 - mean) * config.strength
    level_S = np.clip(rng.beta(a, b, size=config.num_series), 1e-6, 1 - 1e-6)
    num_periods = -(-config.days // _PERIOD_DAYS)
    noise = config.wander * rng.normal(size=(config.num_series, num_periods))
    return logit(level_S)[:, None] + np.repeat(noise, _PERIOD_DAYS, axis=1)[:, : config.days]


@dataclass(frozen=True, kw_only=True)
class FoundSeries:
    """What daily looks found, int64, shape (S,) each.

    Attributes:
        day_S: When each series was found first, -1 for never.
        block_S: The block of onsets in which it was, -1 for never.
        blocks: Numbers of all blocks that were looked at.
    """

    day_S: np.ndarray
    block_S: np.ndarray
    blocks: list[int]


def find_daily(series: SimulatedSeries, config: AlertConfig, *, first_look: int) -> FoundSeries:
    """Look at all series on every day from one on.

    Args:
        series: What to look at.
        config: How; a series is looked at no more once it was found.
        first_look: The first day that is looked at, at least `config.window_days`.
    """
    num_series, num_days = series.num_SD.shape
    found_S, block_S = np.full(num_series, _NEVER), np.full(num_series, _NEVER)
    found_in: dict[int, np.ndarray] = {}
    num_SD, bad_SD, worst_SD = series.num_SD, series.bad_SD, series.worst_SD
    levels, of_worst = (
        _levels(*pair, first_look, config) for pair in ((num_SD, bad_SD), (bad_SD, worst_SD))
    )
    log_e_of: dict[int, np.ndarray] = {}
    for day in range(first_look, num_days):
        if (day - first_look) % _PERIOD_DAYS == 0:
            levels = _levels(num_SD, bad_SD, day, config)
            of_worst = _levels(bad_SD, worst_SD, day, config)
        # Without a new review nothing changes but the stake that is spent: it has mean 1.
        heard = np.flatnonzero(num_SD[:, day] > 0)
        log_SD = onset_evidence(
            _window(num_SD[heard], bad_SD[heard], day, config),
            levels.rows(heard),
            config,
            worst=(
                _window(bad_SD[heard], worst_SD[heard], day, config),
                of_worst.rows(heard),
            ),
        )
        for block in blocks(day, config):
            log_e = log_e_of.setdefault(block.number, np.zeros(num_series))
            log_e[heard] = log_e_value(log_SD[:, block.first : block.end], config.block_days)
            known = found_in.setdefault(block.number, np.zeros(num_series, dtype=bool))
            now = discoveries(
                np.where(known, np.inf, log_e),
                config.false_discovery_rate,
                num_hypotheses=num_series,
            )
            new = now & (found_S == _NEVER)
            found_S[new], block_S[new] = day, block.number
            known |= now
    return FoundSeries(day_S=found_S, block_S=block_S, blocks=sorted(found_in))


def _window(num_SD: np.ndarray, bad_SD: np.ndarray, day: int, config: AlertConfig) -> Counts:
    first = day + 1 - config.window_days
    past = slice(max(0, first - config.history_days), first)
    return Counts(
        num_SD=num_SD[:, first : day + 1],
        bad_SD=bad_SD[:, first : day + 1],
        num_before_S=num_SD[:, past].sum(axis=1),
        bad_before_S=bad_SD[:, past].sum(axis=1),
    )


def _levels(num_SD: np.ndarray, bad_SD: np.ndarray, day: int, config: AlertConfig) -> Levels:
    """Return what the past before a day says of all series."""
    num_SD, bad_SD = num_SD[:, :day], bad_SD[:, :day]
    num_series = len(num_SD)
    mean, strength = beta_prior(num_SD.sum(axis=1), bad_SD.sum(axis=1), config.most_strength)
    cells = day // _PERIOD_DAYS * _PERIOD_DAYS
    shape = (num_series, -1, _PERIOD_DAYS)
    num_C = num_SD[:, day - cells :].reshape(shape).sum(axis=2)
    bad_C = bad_SD[:, day - cells :].reshape(shape).sum(axis=2)
    row, column = np.nonzero(num_C)
    most = min(wandering(row, num_C[row, column], bad_C[row, column]), config.most_strength)
    full = np.ones(num_series)
    return Levels(mean_S=mean * full, strength_S=strength * full, most_S=most * full)
