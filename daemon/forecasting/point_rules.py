"""Point forecasts by rules that operators use today; the quantiles are those of the rule's recent errors.

They are peers in a backtest. ``predict_linear`` also scores as an alert rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from daemon.core.forecast import Forecast, ForecasterKind, empirical_quantiles, within_range
from daemon.core.metric import bounds
from daemon.core.series import (
    HORIZON_STEPS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
    STEPS_PER_WEEK,
    Float32,
    Panel,
)

PointRule = Callable[[Float32], Float32]
"""Maps values ``(series, steps)``, the newest last, to a forecast ``(series, HORIZON_STEPS)``, NaN if there is none."""

_ERROR_DAYS = 7
_ERROR_EVERY_STEPS = 4 * STEPS_PER_HOUR
_SMOOTHING_FACTOR, _TREND_FACTOR = 0.5, 0.1


@dataclass(frozen=True)
class PointForecaster:
    """A rule, plus at each step the quantiles of its errors from origins every 4 h in the last 7 days.

    Attributes:
        rule: the point forecast.
        history_steps: number of values that the rule reads.
    """

    rule: PointRule
    history_steps: int

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths from ``origin`` (epoch seconds) for every series that the rule can forecast."""
        steps = self.history_steps + _ERROR_DAYS * STEPS_PER_DAY + HORIZON_STEPS
        known = panel.between(origin - (steps - 1) * STEP_SECONDS, origin)
        point = self.rule(known.values[:, -self.history_steps :])
        served = np.flatnonzero(np.isfinite(point).all(axis=1))
        known, point = known.select(served), point[served]
        spread = np.nan_to_num(empirical_quantiles(self._past_errors(known.values)))
        paths = within_range((point[..., None] + spread).astype(np.float32), *bounds(known, {}))
        return Forecast(origin=origin, keys=known.keys, paths=paths, kinds=(ForecasterKind.BASELINE,) * len(known.keys))

    def _past_errors(self, values: Float32) -> Float32:
        errors = []
        for end in range(self.history_steps, values.shape[1] - HORIZON_STEPS + 1, _ERROR_EVERY_STEPS):
            past = self.rule(values[:, end - self.history_steps : end])
            errors.append(values[:, end : end + HORIZON_STEPS] - past)
        stacked: Float32 = np.stack(errors, axis=-1)
        return stacked


def persistence(values: Float32) -> Float32:
    """Return the newest value of the last hour at every step; NaN without one."""
    recent = values[:, -STEPS_PER_HOUR:]
    seen = np.isfinite(recent)
    last = recent.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    found = np.take_along_axis(recent, last[:, None], axis=1)
    return np.repeat(found, HORIZON_STEPS, axis=1)


def last_week(values: Float32) -> Float32:
    """Return the value a week before each step, or a day before if it is missing, or else the last day's mean."""
    week = values[:, -STEPS_PER_WEEK:][:, :HORIZON_STEPS]
    day = values[:, -STEPS_PER_DAY:][:, :HORIZON_STEPS]
    recent = values[:, -STEPS_PER_DAY:]
    seen = np.isfinite(recent)
    mean = np.where(seen, recent, 0).sum(axis=1) / np.where(seen.any(axis=1), seen.sum(axis=1), np.nan)
    chosen: Float32 = np.where(np.isfinite(week), week, np.where(np.isfinite(day), day, mean[:, None]))
    return chosen


def predict_linear(values: Float32) -> Float32:
    """Extrapolate the least-squares line, as ``predict_linear`` of Prometheus does; NaN with less than two samples."""
    seen = np.isfinite(values)
    time = np.arange(1 - values.shape[1], 1, dtype=np.float64)
    count = seen.sum(axis=1)
    filled = np.where(seen, values, 0).astype(np.float64)
    mean_time = (seen * time).sum(axis=1) / np.maximum(count, 1)
    mean = filled.sum(axis=1) / np.maximum(count, 1)
    centred = np.where(seen, time - mean_time[:, None], 0)
    variance = (centred**2).sum(axis=1)
    slope = (centred * filled).sum(axis=1) / np.where(variance > 0, variance, np.nan)
    ahead = np.arange(1, HORIZON_STEPS + 1)
    line = mean[:, None] + slope[:, None] * (ahead - mean_time[:, None])
    predicted: Float32 = line.astype(np.float32)
    return predicted


def double_exponential_smoothing(values: Float32) -> Float32:
    """Extrapolate level and trend by Holt's linear method, as Prometheus does with the factors 0.5 and 0.1."""
    level = np.full(len(values), np.nan)
    trend = np.zeros(len(values))
    for column in values.T.astype(np.float64):
        seen = np.isfinite(column)
        started = np.isfinite(level)
        smoothed = np.where(started, _SMOOTHING_FACTOR * column + (1 - _SMOOTHING_FACTOR) * (level + trend), column)
        change = np.where(started, _TREND_FACTOR * (smoothed - level) + (1 - _TREND_FACTOR) * trend, 0)
        level, trend = np.where(seen, smoothed, level), np.where(seen, change, trend)
    ahead = np.arange(1, HORIZON_STEPS + 1)
    line: Float32 = (level[:, None] + trend[:, None] * ahead).astype(np.float32)
    return line


def point_peers() -> dict[str, PointForecaster]:
    """Return the rules by the name that the tables show."""
    return {
        "persistence": PointForecaster(persistence, STEPS_PER_HOUR),
        "seasonal naive, week": PointForecaster(last_week, STEPS_PER_WEEK),
        "predict_linear 1h": PointForecaster(predict_linear, STEPS_PER_HOUR),
        "predict_linear 6h": PointForecaster(predict_linear, 6 * STEPS_PER_HOUR),
        "double_exponential_smoothing 6h": PointForecaster(double_exponential_smoothing, 6 * STEPS_PER_HOUR),
    }
