"""Yesterday repeated, with the quantiles of its own errors: the forecast that every other one is measured against."""

from collections.abc import Mapping

import numpy as np

from daemon.domain.forecast import Forecast, ForecastSource
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_WEEK
from daemon.domain.metric import Metric
from daemon.domain.quantiles import within_range
from daemon.domain.ranges import bounds
from daemon.domain.series import Panel
from daemon.learning.climatology import empirical_quantiles


class SeasonalNaive:
    """Forecast each step by the value a day before it, plus the quantiles of that rule's errors over 7 days."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series with a sample in the day before ``origin``, source ``baseline``."""
        known = panel.between(origin - (STEPS_PER_WEEK + STEPS_PER_DAY - 1) * STEP_SECONDS, origin)
        known = known.select(np.flatnonzero(np.isfinite(known.values[:, -STEPS_PER_DAY:]).any(axis=1)))
        yesterday = known.values[:, -STEPS_PER_DAY:][:, :HORIZON_STEPS]
        typical = np.nanmean(known.values[:, -STEPS_PER_DAY:], axis=1, keepdims=True)
        point = np.where(np.isfinite(yesterday), yesterday, typical)
        errors = known.values[:, STEPS_PER_DAY:] - known.values[:, :-STEPS_PER_DAY]
        spread = np.nan_to_num(empirical_quantiles(errors))
        paths = within_range((point[..., None] + spread[:, None]).astype(np.float32), *bounds(known, self._metrics))
        return Forecast(origin, known.keys, paths, (ForecastSource.BASELINE,) * len(known.keys))
