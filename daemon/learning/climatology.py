"""The baseline that serves before a model exists: empirical quantiles of the same time on the days before."""

from collections.abc import Mapping

import numpy as np

from daemon.domain.forecast import Forecast, ForecastSource
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY
from daemon.domain.metric import Metric
from daemon.domain.quantiles import QUANTILES, within_range
from daemon.domain.ranges import bounds
from daemon.domain.series import Float32, Panel

_DAYS = 7
_SLOT_STEPS = 6
_MARGIN_STEPS = 6


class Climatology:
    """Forecast each half hour by the quantiles of that time of day, half an hour either side, over 7 days.

    Where those days have no sample, all that is known of the 7 days stands in.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series with a sample in the 7 days up to ``origin``, source ``baseline``."""
        week = panel.between(origin - (_DAYS * STEPS_PER_DAY + _MARGIN_STEPS) * STEP_SECONDS, origin)
        week = week.select(np.flatnonzero(np.isfinite(week.values).any(axis=1)))
        slots = _slot_samples(week.values)
        paths = empirical_quantiles(slots)
        overall = empirical_quantiles(week.values)[:, None]
        paths = np.repeat(np.where(np.isfinite(paths), paths, overall), _SLOT_STEPS, axis=1)
        minimum, maximum = bounds(week, self._metrics)
        paths = within_range(paths.astype(np.float32), minimum, maximum)
        return Forecast(origin, week.keys, paths, (ForecastSource.BASELINE,) * len(week.keys))


def empirical_quantiles(values: Float32) -> Float32:
    """Return QUANTILES of the finite values along the last axis, ``(..., quantiles)``; NaN where there are none.

    Linear between order statistics (Hyndman and Fan, 1996, definition 7).
    """
    ordered = np.sort(values, axis=-1)  # NaN sorts last
    count = np.isfinite(values).sum(axis=-1, keepdims=True)
    position = np.asarray(QUANTILES) * np.maximum(count - 1, 0)
    below = position.astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    low, high = np.take_along_axis(ordered, below, -1), np.take_along_axis(ordered, above, -1)
    interpolated: Float32 = (low + (high - low) * (position - below)).astype(np.float32)
    return interpolated


def _slot_samples(values: Float32) -> Float32:
    series, columns = values.shape
    slots = HORIZON_STEPS // _SLOT_STEPS
    width = _SLOT_STEPS + 2 * _MARGIN_STEPS
    # column of the first sample of slot s, day d: the slot's first step is 1 after the origin, which is the last column
    first = columns - np.arange(1, _DAYS + 1)[None, :] * STEPS_PER_DAY + np.arange(slots)[:, None] * _SLOT_STEPS
    wanted = (first - _MARGIN_STEPS)[:, :, None] + np.arange(width)
    found = np.where(wanted < columns, values[:, np.minimum(wanted, columns - 1)], np.float32(np.nan))
    pooled: Float32 = found.reshape(series, slots, _DAYS * width)
    return pooled
