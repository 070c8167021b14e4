"""The next weeks of a series, by exponential smoothing where that beats the last season.

Both ways forecast from several origins in the past and are held against what came: the mean
absolute scaled error (Hyndman and Koehler 2006, "Another look at measures of forecast accuracy")
and how often the prediction interval held. Where smoothing loses, the seasonal-naive forecast is
what is told.

Shape suffixes: T times, H horizon.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.tools.sm_exceptions import ConvergenceWarning
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from recsys.errors import NotEnoughDataError

SMOOTHING, NAIVE = "exponential smoothing", "seasonal naive"


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """What is forecast, and how it is tried.

    Attributes:
        horizon: Steps ahead.
        season: Steps of a season; 1 for none.
        origins: From how many times in the past it is tried, a horizon apart.
        coverage: Of prediction intervals, within (0, 1).
        least: No value can be below it, and no forecast is, in trials either; None for any.
        most: The same above.
    """

    horizon: int = 28
    season: int = 7
    origins: int = 4
    coverage: float = 0.9
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.horizon, self.season, self.origins) < 1 or not 0 < self.coverage < 1:
            raise ValueError("horizon, season and origins must be at least 1, coverage in (0, 1)")

    @property
    def least_times(self) -> int:
        """What a series needs: three seasons (at least eight steps) before the first origin."""
        return max(8, 3 * self.season) + self.origins * self.horizon


@dataclass(frozen=True, kw_only=True)
class Path:
    """A forecast: means and the ends of the prediction interval, shape (H,) each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a way did on the past.

    Attributes:
        mase: Mean absolute error over all origins and steps, over that of the seasonal naive within
            the fitted part; below 1 is better than the last season one step on.
        covered: Share of values within the prediction interval.
    """

    mase: float
    covered: float


@dataclass(frozen=True, kw_only=True)
class SeriesForecast:
    """What is told of the next steps.

    Attributes:
        method: The way that did better, `SMOOTHING` or `NAIVE`.
        path: Its forecast.
        trials: Of both ways, by name.
    """

    method: str
    path: Path
    trials: dict[str, Trial]


def forecast_series(values_T: np.ndarray, config: ForecastConfig) -> SeriesForecast:
    """Forecast a series by the way that did better on its own past.

    Args:
        values_T: Evenly spaced, without gaps, the last one the latest.
        config: How far, and how it is tried.

    Raises:
        NotEnoughDataError: If the series is shorter than `config.least_times`.
    """
    if len(values_T) < config.least_times:
        raise NotEnoughDataError(
            f"a forecast of {config.horizon} steps needs {config.least_times} past ones, there are "
            f"{len(values_T)}"
        )
    trials = {name: _trial(way, values_T, config) for name, way in _WAYS.items()}
    method = SMOOTHING if trials[SMOOTHING].mase < trials[NAIVE].mase else NAIVE
    return SeriesForecast(method=method, path=_WAYS[method](values_T, config), trials=trials)


def seasonal_naive(values_T: np.ndarray, config: ForecastConfig) -> Path:
    """Repeat the last season; with residual deviation s, s sqrt(k + 1) in the k-th season ahead.

    Source: Hyndman and Athanasopoulos 2021, "Forecasting: principles and practice", 5.5.
    """
    season, steps = config.season, np.arange(config.horizon)
    mean = values_T[-season:][steps % season]
    residual = values_T[season:] - values_T[:-season]
    deviation = np.sqrt(np.mean(residual**2)) * np.sqrt(steps // season + 1)
    reach = norm.ppf(0.5 + config.coverage / 2) * deviation
    return _within(Path(mean=mean, low=mean - reach, high=mean + reach), config)


def smoothed(values_T: np.ndarray, config: ForecastConfig) -> Path:
    """Forecast by additive exponential smoothing with a damped trend, and a season if there is one.

    A series without any change is its own forecast.
    """
    if np.ptp(values_T) == 0:
        mean = np.full(config.horizon, float(values_T[-1]))
        return Path(mean=mean, low=mean, high=mean)
    seasonal = "add" if config.season > 1 else None
    model = ETSModel(
        # Without an index its intervals fail.
        pd.Series(values_T, dtype=np.float64),
        error="add",
        trend="add",
        damped_trend=True,
        seasonal=seasonal,
        seasonal_periods=config.season if seasonal else None,
    )
    with warnings.catch_warnings():
        # What did not converge shows in its trial.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        fitted: Any = model.fit(disp=False, maxiter=200)
    told = fitted.get_prediction(start=len(values_T), end=len(values_T) + config.horizon - 1)
    frame = told.summary_frame(alpha=1 - config.coverage)
    columns = (frame[name].to_numpy() for name in ("mean", "pi_lower", "pi_upper"))
    mean, low, high = columns
    return _within(Path(mean=mean, low=low, high=high), config)


def _within(path: Path, config: ForecastConfig) -> Path:
    """Keep a forecast within what values can be."""
    if config.least is None and config.most is None:
        return path
    mean, low, high = (
        np.clip(part, config.least, config.most) for part in (path.mean, path.low, path.high)
    )
    return Path(mean=mean, low=low, high=high)


def _trial(
    way: Callable[[np.ndarray, ForecastConfig], Path], values_T: np.ndarray, config: ForecastConfig
) -> Trial:
    errors, inside, scales = [], [], []
    for origin in range(1, config.origins + 1):
        end = len(values_T) - origin * config.horizon
        past, came = values_T[:end], values_T[end : end + config.horizon]
        path = way(past, config)
        errors.append(np.abs(came - path.mean).mean())
        inside.append(((came >= path.low) & (came <= path.high)).mean())
        scales.append(np.abs(past[config.season :] - past[: -config.season]).mean())
    scale = float(np.mean(scales))
    # A series that repeats itself exactly has no scale: only an exact forecast is good.
    error = float(np.mean(errors))
    mase = error / scale if scale > 0 else (0.0 if error == 0 else np.inf)
    return Trial(mase=mase, covered=float(np.mean(inside)))


_WAYS: dict[str, Callable[[np.ndarray, ForecastConfig], Path]] = {
    SMOOTHING: smoothed,
    NAIVE: seasonal_naive,
}
