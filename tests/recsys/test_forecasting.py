"""Forecasts tell the better of two ways, with intervals that hold about as often as they say."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import NotEnoughDataError
from recsys.forecasting import (
    NAIVE,
    SMOOTHING,
    ForecastConfig,
    forecast_series,
    seasonal_naive,
)

CONFIG = ForecastConfig(horizon=14, season=7, origins=3)


def test_smoothing_is_told_where_it_wins() -> None:
    rng = np.random.default_rng(0)
    day = np.arange(180)
    demand = rng.poisson(30 + 8 * np.sin(2 * np.pi * day / 7))
    found = forecast_series(demand, CONFIG)
    assert found.method == SMOOTHING
    assert found.trials[SMOOTHING].mase < found.trials[NAIVE].mase
    assert 0.75 <= found.trials[SMOOTHING].covered <= 1.0
    assert (found.path.low < found.path.mean).all()
    assert (found.path.mean < found.path.high).all()


def test_it_is_dropped_where_it_loses() -> None:
    week = np.tile([1.0, 5.0, 2.0, 8.0, 3.0, 9.0, 4.0], 20)
    found = forecast_series(week, CONFIG)
    assert found.method == NAIVE
    np.testing.assert_array_equal(found.path.mean, week[:14])


def test_the_last_season_comes_again_ever_less_surely() -> None:
    values = np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0])
    path = seasonal_naive(values, ForecastConfig(horizon=5, season=3))
    assert path.mean.tolist() == [3.0, 2.0, 1.0, 3.0, 2.0]
    reach = path.high - path.mean
    assert reach[3] == pytest.approx(reach[0] * np.sqrt(2))


def test_a_series_without_change_is_its_own_forecast() -> None:
    found = forecast_series(np.zeros(120), CONFIG)
    assert not found.path.mean.any()
    assert found.trials[found.method].mase == 0.0


def test_too_short_a_past_is_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="needs 63 past ones, there are 62"):
        forecast_series(np.zeros(62), CONFIG)
    with pytest.raises(ValueError, match="coverage"):
        ForecastConfig(coverage=1.0)


def test_no_forecast_leaves_what_values_can_be() -> None:
    rng = np.random.default_rng(1)
    falling = np.maximum(0.0, np.linspace(12, 0, 90) + rng.normal(0, 1, 90))
    free = forecast_series(falling, CONFIG)
    assert free.path.low.min() < 0
    kept = forecast_series(falling, replace(CONFIG, least=0.0))
    for part in (kept.path.mean, kept.path.low, kept.path.high):
        assert part.min() >= 0
