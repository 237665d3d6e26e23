"""Forecasters without training: the climatology, which is the baseline, and the seasonal naive forecast.

The climatology serves where no network can. Seasonal naive is the reference that losses are relative to. Both forecast
by empirical quantiles of the past, and use the metrics only for their physical range.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from daemon.core.forecast import Forecast, ForecasterKind, empirical_quantiles, within_range
from daemon.core.metric import Metric, bounds
from daemon.core.series import (
    HORIZON_STEPS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
    STEPS_PER_WEEK,
    Float32,
    Panel,
)

_DAYS = 7
_SLOT_STEPS = STEPS_PER_HOUR // 2
_MARGIN_STEPS = STEPS_PER_HOUR // 2
_WEEKS = 4


class Climatology:
    """The baseline: quantiles of the same half hour, with half an hour on either side, on the last 7 days.

    A half hour without a sample on those days gets the quantiles of all samples of the 7 days.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series with a sample in the 7 days up to ``origin`` (epoch seconds)."""
        week = panel.between(origin - (_DAYS * STEPS_PER_DAY + _MARGIN_STEPS) * STEP_SECONDS, origin)
        week = week.select(np.flatnonzero(np.isfinite(week.values).any(axis=1)))
        slots = _slot_samples(week.values)
        paths = empirical_quantiles(slots)
        overall = empirical_quantiles(week.values)[:, None]
        paths = np.repeat(np.where(np.isfinite(paths), paths, overall), _SLOT_STEPS, axis=1)
        minimum, maximum = bounds(week, self._metrics)
        paths = within_range(paths.astype(np.float32), minimum, maximum)
        return Forecast(origin=origin, keys=week.keys, paths=paths, kinds=(ForecasterKind.BASELINE,) * len(week.keys))


def _slot_samples(values: Float32) -> Float32:
    series, columns = values.shape
    slots = HORIZON_STEPS // _SLOT_STEPS
    width = _SLOT_STEPS + 2 * _MARGIN_STEPS
    # column of the first sample of each slot and day: a slot starts one step after the origin, the last column
    first = columns - np.arange(1, _DAYS + 1)[None, :] * STEPS_PER_DAY + np.arange(slots)[:, None] * _SLOT_STEPS
    wanted = (first - _MARGIN_STEPS)[:, :, None] + np.arange(width)
    found = np.where(wanted < columns, values[:, np.minimum(wanted, columns - 1)], np.float32(np.nan))
    pooled: Float32 = found.reshape(series, slots, _DAYS * width)
    return pooled


@dataclass(frozen=True)
class HourOfWeek:
    """Quantiles of the same hour of the week, with half an hour on either side, in the last 4 weeks.

    An hour without a sample in those weeks gets the climatology of the hour of the day.
    """

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series with a sample in the 7 days up to ``origin`` (epoch seconds)."""
        daily = Climatology({}).forecast(panel, origin)
        row_of = {key: row for row, key in enumerate(panel.keys)}
        steps = _WEEKS * STEPS_PER_WEEK + _MARGIN_STEPS
        known = panel.between(origin - (steps - 1) * STEP_SECONDS, origin).select([row_of[key] for key in daily.keys])
        hours = HORIZON_STEPS // STEPS_PER_HOUR
        first = np.arange(hours)[:, None] * STEPS_PER_HOUR - np.arange(1, _WEEKS + 1) * STEPS_PER_WEEK
        wanted = steps + first[:, :, None] - _MARGIN_STEPS + np.arange(STEPS_PER_HOUR + 2 * _MARGIN_STEPS)
        samples = known.values[:, np.clip(wanted, 0, steps - 1).reshape(hours, -1)]
        weekly = np.repeat(empirical_quantiles(samples), STEPS_PER_HOUR, axis=1)
        paths = np.where(np.isfinite(weekly), weekly, daily.paths).astype(np.float32)
        return Forecast(
            origin=origin, keys=daily.keys, paths=within_range(paths, *bounds(known, {})), kinds=daily.kinds
        )


class SeasonalNaive:
    """The value a day before each step, plus the quantiles of the errors of this rule in the last 7 days."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series with a sample in the day up to ``origin`` (epoch seconds)."""
        known = panel.between(origin - (STEPS_PER_WEEK + STEPS_PER_DAY - 1) * STEP_SECONDS, origin)
        known = known.select(np.flatnonzero(np.isfinite(known.values[:, -STEPS_PER_DAY:]).any(axis=1)))
        yesterday = known.values[:, -STEPS_PER_DAY:][:, :HORIZON_STEPS]
        typical = np.nanmean(known.values[:, -STEPS_PER_DAY:], axis=1, keepdims=True)
        point = np.where(np.isfinite(yesterday), yesterday, typical)
        errors = known.values[:, STEPS_PER_DAY:] - known.values[:, :-STEPS_PER_DAY]
        spread = np.nan_to_num(empirical_quantiles(errors))
        paths = within_range((point[..., None] + spread[:, None]).astype(np.float32), *bounds(known, self._metrics))
        return Forecast(origin=origin, keys=known.keys, paths=paths, kinds=(ForecasterKind.BASELINE,) * len(known.keys))
