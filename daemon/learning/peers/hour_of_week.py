"""Climatology by hour of the week."""

from dataclasses import dataclass

import numpy as np

from daemon.domain.forecast import Forecast
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, STEPS_PER_WEEK
from daemon.domain.quantiles import within_range
from daemon.domain.ranges import bounds
from daemon.domain.series import Panel
from daemon.learning.climatology import Climatology, empirical_quantiles

_WEEKS = 4
_MARGIN_STEPS = STEPS_PER_HOUR // 2


@dataclass(frozen=True)
class HourOfWeek:
    """Forecast each hour by the quantiles of that hour, half an hour either side, in the 4 weeks before.

    Where there is no week before, the climatology by hour of the day stands in.
    """

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series with a sample in the 7 days up to ``origin``."""
        daily = Climatology({}).forecast(panel, origin)
        row_of = {key: row for row, key in enumerate(panel.keys)}
        steps = _WEEKS * STEPS_PER_WEEK + _MARGIN_STEPS
        known = panel.between(origin - (steps - 1) * STEP_SECONDS, origin).select([row_of[key] for key in daily.keys])
        hours = HORIZON_STEPS // STEPS_PER_HOUR
        first = np.arange(hours)[:, None] * STEPS_PER_HOUR - np.arange(1, _WEEKS + 1) * STEPS_PER_WEEK
        wanted = steps + first[:, :, None] - _MARGIN_STEPS + np.arange(STEPS_PER_HOUR + 2 * _MARGIN_STEPS)
        samples = known.values[:, np.clip(wanted, 0, steps - 1)].reshape(len(known.keys), hours, -1)
        weekly = np.repeat(empirical_quantiles(samples), STEPS_PER_HOUR, axis=1)
        paths = np.where(np.isfinite(weekly), weekly, daily.paths).astype(np.float32)
        return Forecast(origin, daily.keys, within_range(paths, *bounds(known, {})), daily.sources)
