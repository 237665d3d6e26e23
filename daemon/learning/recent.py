"""What the days before an origin say of a series: its level, its spread, how far it strays from its rhythm."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK
from daemon.domain.quantiles import QUANTILES
from daemon.learning.history import RECENT_STEPS, History

SLOT_STEPS = 6
SLOTS = HORIZON_STEPS // SLOT_STEPS
_SLOT_MARGIN = SLOT_STEPS // 2
_SMALLEST_SCALE = 0.002
_ERROR_STRIDE = 3
_CHANGE_STRIDE = 12


@dataclass(frozen=True)
class Recent:
    """The last 8 days before the origins of a batch of windows; in z, NaN is what is not known.

    Attributes:
        z: ``(windows, 2304)``, the last observed value carried forward.
        known: the same, NaN where nothing was observed.
        week_mean: ``(windows, 2304)``; mean of z at the same time on the 7 days before.
        from_mean: ``(windows, 2016)``; the last week's distance from its week mean.
        from_day: ``(windows, 2016)``; the last week's distance from the day before.
        centre: ``(windows,)``; mean of the last day, or of all 8 if it has no sample.
        scale: ``(windows,)``; above 0, half the last day's deviation and half the week's mean distance from the day
            before.
    """

    z: Tensor
    known: Tensor
    week_mean: Tensor
    from_mean: Tensor
    from_day: Tensor
    centre: Tensor
    scale: Tensor

    @classmethod
    def before(cls, history: History, rows: Tensor, origins: Tensor) -> "Recent":
        """Return what precedes the columns ``origins`` of the series ``rows``, both ``(windows,)``."""
        first = origins + 1 - RECENT_STEPS
        z = cut(history.z, rows, first, RECENT_STEPS)
        known = torch.where(cut(history.observed, rows, first, RECENT_STEPS), z, torch.nan)
        week_mean = cut(history.week_mean, rows, first, RECENT_STEPS)
        from_day = known[:, STEPS_PER_DAY:] - known[:, :-STEPS_PER_DAY]
        day = known[:, -STEPS_PER_DAY:]
        centre = torch.where(count(day) > 0, mean(day), mean(known))
        deviation = mean((day - centre[:, None]) ** 2).sqrt()
        seasonal = torch.where(count(from_day) > 0, mean(from_day.abs()), deviation)
        scale = (0.5 * deviation + 0.5 * seasonal).clamp(min=_SMALLEST_SCALE)
        from_mean = known[:, STEPS_PER_DAY:] - week_mean[:, STEPS_PER_DAY:]
        return cls(z, known, week_mean, from_mean, from_day, centre, scale)

    def in_window(self, z: Tensor) -> Tensor:
        """Return z of shape ``(windows, ...)`` in window units; 0 where it is not known."""
        return self._scaled(z).nan_to_num_(0.0)

    def in_window_or(self, z: Tensor, otherwise: Tensor) -> Tensor:
        """Return z of shape ``(windows, ...)`` in window units; ``otherwise`` where it is not known."""
        scaled = self._scaled(z)
        return torch.where(scaled.isnan(), otherwise, scaled)

    def quantiles(self, steps: int) -> Tensor:
        """Return the quantiles of the last ``steps``, ``(windows, quantiles)`` in z."""
        return known_quantiles(self.known[:, -steps:])

    def errors_of_mean(self) -> Tensor:
        """Return quantiles of the distance from the week mean, ``(windows, quantiles)`` in window units."""
        return self._spread_of(self.from_mean[:, ::_ERROR_STRIDE])

    def errors_of_day(self) -> Tensor:
        """Return quantiles of the distance from the day before, ``(windows, quantiles)`` in window units."""
        return self._spread_of(self.from_day[:, ::_ERROR_STRIDE])

    def changes(self, steps: int) -> Tensor:
        """Return quantiles of the week's change over ``steps`` from a half hour's mean, in window units."""
        week = self.known[:, STEPS_PER_DAY:]
        half_hours = self.z[:, STEPS_PER_DAY:-steps].unfold(1, SLOT_STEPS, _CHANGE_STRIDE).mean(-1)
        start, end = (week[:, SLOT_STEPS - 1 + later :: _CHANGE_STRIDE] for later in (0, steps))
        fewest = end.shape[1]
        # z of the first sample only says whether the half hour ended with one
        return self._spread_of(end - half_hours[:, :fewest] + 0 * start[:, :fewest])

    def shift(self, steps: int) -> Tensor:
        """Return how far the last ``steps`` lie above the week mean, ``(windows,)`` in window units."""
        return mean(self.from_mean[:, -steps:]) / self.scale

    def measures(self) -> list[Tensor]:
        """Return deviations, mean changes and levels over several spans, ``(windows,)`` each, in window units."""
        known, scale = self.known, self.scale
        from_hour = known[:, STEPS_PER_HOUR:] - known[:, :-STEPS_PER_HOUR]
        measured = []
        for steps in (STEPS_PER_HOUR, 6 * STEPS_PER_HOUR, STEPS_PER_DAY, STEPS_PER_WEEK):
            last = known[:, -steps:]
            measured.append(mean((last - mean(last)[:, None]) ** 2).sqrt() / scale)
        for steps in (STEPS_PER_DAY, STEPS_PER_WEEK):
            for distance in (self.from_day, self.from_mean, from_hour):
                measured.append(mean(distance[:, -steps:].abs()) / scale)
        for steps in (6 * STEPS_PER_HOUR, STEPS_PER_WEEK):
            last = known[:, -steps:]
            measured.append(torch.where(count(last) > 0, (mean(last) - self.centre) / scale, 0.0))
        return measured

    def _scaled(self, z: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (z.dim() - 1)
        return (z - self.centre.view(shape)) / self.scale.view(shape)

    def _spread_of(self, differences: Tensor) -> Tensor:
        return known_quantiles(differences).nan_to_num(0.0) / self.scale[:, None]


def cut(table: Tensor, rows: Tensor, first: Tensor, steps: int) -> Tensor:
    """Return ``steps`` columns from ``first`` of each of ``rows``, ``(windows, steps)``."""
    return table.unfold(1, steps, 1)[rows, first]


def slot_quantiles(history: History, rows: Tensor, origins: Tensor, period: int, periods: int) -> Tensor:
    """Return the quantiles of each half hour to come in the ``periods`` before, ``(windows, 16, quantiles)`` in z."""
    width = HORIZON_STEPS + 2 * _SLOT_MARGIN
    slots = []
    for k in range(1, periods + 1):
        first = origins + 1 - _SLOT_MARGIN - k * period
        observed = cut(history.observed, rows, first, width)
        known = torch.where(observed, cut(history.z, rows, first, width), torch.nan)
        slots.append(known.unfold(1, SLOT_STEPS + 2 * _SLOT_MARGIN, SLOT_STEPS))
    return known_quantiles(torch.cat(slots, dim=-1))


def known_quantiles(values: Tensor) -> Tensor:
    """Return the QUANTILES of what is not NaN along the last axis, ``(..., quantiles)``; NaN where there is nothing.

    Linear between order statistics (Hyndman and Fan, 1996, definition 7).
    """
    ordered = _sorted(values)
    last = (count(values)[..., None] - 1).clamp(min=0)
    position = torch.tensor(QUANTILES, device=values.device) * last
    below = position.long()
    above = torch.minimum(below + 1, last.long())
    low, high = ordered.gather(-1, below), ordered.gather(-1, above)
    return low + (high - low) * (position - below)


def mean(values: Tensor) -> Tensor:
    """Return the mean along the last axis of what is not NaN; 0 of nothing."""
    return values.nansum(-1) / count(values).clamp(min=1)


def count(values: Tensor) -> Tensor:
    """Return how many along the last axis are not NaN."""
    # sums of floats are vectorised on a CPU, those of truth values are not
    return (values * 0 + 1).nansum(-1)


def _sorted(values: Tensor) -> Tensor:
    if values.is_cuda:
        return values.sort(dim=-1).values
    # numpy's vectorised sort takes a tenth of the time of torch's; either puts NaN last
    return torch.from_numpy(np.sort(values.numpy(), axis=-1))
