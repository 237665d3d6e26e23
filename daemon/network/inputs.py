"""Inputs of the network: from a history and origins to windows. Nothing after an origin is read.

A window is one series at one origin. Values are in window units, ``(z − centre) / scale``, where centre and scale are
those of the window's last days.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from daemon.core.forecast import MEDIAN, QUANTILES
from daemon.core.series import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK
from daemon.network.history import RECENT_STEPS, History, asinh

SLOT_STEPS = 6
"""Steps of a slot, which is half an hour. The network has one set of mixture weights per slot."""
SLOTS = HORIZON_STEPS // SLOT_STEPS
PATCH_STEPS = 12
"""Steps of a patch, which is an hour. The network reads the past and the horizon as sequences of patches."""
PATCHES = HORIZON_STEPS // PATCH_STEPS
_SLOT_QUANTILES = PATCH_STEPS // SLOT_STEPS * len(QUANTILES)

ENCODER_SIZES = (PATCH_STEPS, PATCH_STEPS, 8, 1)
"""Per patch of the past: z, week mean, calendar, share of observed steps."""
DECODER_SIZES = (PATCH_STEPS, PATCH_STEPS, PATCH_STEPS, _SLOT_QUANTILES, _SLOT_QUANTILES, 8, 4)
"""Per patch of the horizon: z a day before, z a week before, week mean, slot quantiles of 7 days and of 4 weeks,
calendar, position."""
STATIC_SIZE = 17 + 5 * len(QUANTILES)
"""17 scalars and 5 sets of quantiles."""
CANDIDATES = 14
"""Number of candidate forecasts that the network mixes."""
STEPWISE_CANDIDATES = 6
"""Number of candidates that vary inside a slot; they are the last ones."""

_SLOT_MARGIN = SLOT_STEPS // 2
# in z; a constant series has no scale of its own
_SMALLEST_SCALE = 0.002
_ERROR_STRIDE = 3
_CHANGE_STRIDE = 12
# time constant of the return from the last value to the level of the last three hours
_DECAY_STEPS = 3.0
# spans of the measured changes: a quarter of an hour, 2 h and the middle of the last slot
_CHANGE_STEPS = (3, 24, 93)


@dataclass(frozen=True, kw_only=True)
class Recent:
    """The 8 days up to the origins of a batch of windows, in z; NaN is unknown.

    Attributes:
        z: ``(windows, 2304)``, the last observed value carried forward.
        known: ``(windows, 2304)``, z where it was observed.
        week_mean: ``(windows, 2304)``, mean of z at the same time on the 7 days before.
        from_mean: ``(windows, 2016)``, difference of the last week from its week mean.
        from_day: ``(windows, 2016)``, difference of the last week from the day before.
        centre: ``(windows,)``, mean of the last day, or of all 8 days if it has no sample.
        scale: ``(windows,)``, above 0; mean of the last day's standard deviation and of the week's mean absolute
            difference from the day before.
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
        """Return the 8 days that end at the columns ``origins`` of the series ``rows``, both ``(windows,)``."""
        first = origins + 1 - RECENT_STEPS
        z = slice_columns(history.z, rows, first, RECENT_STEPS)
        known = torch.where(slice_columns(history.observed, rows, first, RECENT_STEPS), z, torch.nan)
        week_mean = slice_columns(history.week_mean, rows, first, RECENT_STEPS)
        from_day = known[:, STEPS_PER_DAY:] - known[:, :-STEPS_PER_DAY]
        day = known[:, -STEPS_PER_DAY:]
        centre = torch.where(count(day) > 0, mean(day), mean(known))
        deviation = mean((day - centre[:, None]) ** 2).sqrt()
        seasonal = torch.where(count(from_day) > 0, mean(from_day.abs()), deviation)
        scale = (0.5 * deviation + 0.5 * seasonal).clamp(min=_SMALLEST_SCALE)
        from_mean = known[:, STEPS_PER_DAY:] - week_mean[:, STEPS_PER_DAY:]
        return cls(
            z=z, known=known, week_mean=week_mean, from_mean=from_mean, from_day=from_day, centre=centre, scale=scale
        )

    def in_window(self, z: Tensor) -> Tensor:
        """Return ``z`` ``(windows, ...)`` in window units; NaN becomes 0."""
        return self._scaled(z).nan_to_num_(0.0)

    def in_window_or(self, z: Tensor, otherwise: Tensor) -> Tensor:
        """Return ``z`` ``(windows, ...)`` in window units; NaN becomes ``otherwise``, which is in window units."""
        scaled = self._scaled(z)
        return torch.where(scaled.isnan(), otherwise, scaled)

    def quantiles(self, steps: int) -> Tensor:
        """Return the quantiles of the last ``steps``, ``(windows, quantiles)`` in z."""
        return empirical_quantiles(self.known[:, -steps:])

    def errors_of_mean(self) -> Tensor:
        """Return the quantiles of the difference from the week mean, ``(windows, quantiles)`` in window units."""
        return self._spread_of(self.from_mean[:, ::_ERROR_STRIDE])

    def errors_of_day(self) -> Tensor:
        """Return the quantiles of the difference from the day before, ``(windows, quantiles)`` in window units."""
        return self._spread_of(self.from_day[:, ::_ERROR_STRIDE])

    def changes(self, steps: int) -> Tensor:
        """Return the quantiles of the last week's changes over ``steps``, ``(windows, quantiles)`` in window units.

        A change is the difference of a value from the mean of the half hour that ends ``steps`` before it.
        """
        week = self.known[:, STEPS_PER_DAY:]
        half_hours = self.z[:, STEPS_PER_DAY:-steps].unfold(1, SLOT_STEPS, _CHANGE_STRIDE).mean(-1)
        start, end = (week[:, SLOT_STEPS - 1 + later :: _CHANGE_STRIDE] for later in (0, steps))
        pairs = end.shape[1]
        # the last term is 0, or NaN if the half hour did not end with a sample
        return self._spread_of(end - half_hours[:, :pairs] + 0 * start[:, :pairs])

    def shift(self, steps: int) -> Tensor:
        """Return the mean difference of the last ``steps`` from the week mean, ``(windows,)`` in window units."""
        return mean(self.from_mean[:, -steps:]) / self.scale

    def measures(self) -> list[Tensor]:
        """Return 12 deviations, mean differences and levels over several spans, each ``(windows,)`` in window units."""
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
        return empirical_quantiles(differences).nan_to_num(0.0) / self.scale[:, None]


def slice_columns(table: Tensor, rows: Tensor, first: Tensor, steps: int) -> Tensor:
    """Return ``steps`` consecutive columns of ``table`` for each window, ``(windows, steps)``.

    Args:
        table: ``(series, columns)``.
        rows: ``(windows,)``, series of each window.
        first: ``(windows,)``, first column of each window.
        steps: number of columns.
    """
    return table.unfold(1, steps, 1)[rows, first]


def slot_quantiles(history: History, rows: Tensor, origins: Tensor, period: int, periods: int) -> Tensor:
    """Return the quantiles of z at the same time in past periods, by slot, ``(windows, 16, quantiles)``.

    A slot includes the 15 minutes on either side. A slot without a sample has NaN.

    Args:
        history: the series.
        rows: ``(windows,)``, series of each window.
        origins: ``(windows,)``, column of each origin.
        period: steps of a period, such as those of a day.
        periods: number of past periods.
    """
    width = HORIZON_STEPS + 2 * _SLOT_MARGIN
    slots = []
    for k in range(1, periods + 1):
        first = origins + 1 - _SLOT_MARGIN - k * period
        observed = slice_columns(history.observed, rows, first, width)
        known = torch.where(observed, slice_columns(history.z, rows, first, width), torch.nan)
        slots.append(known.unfold(1, SLOT_STEPS + 2 * _SLOT_MARGIN, SLOT_STEPS))
    return empirical_quantiles(torch.cat(slots, dim=-1))


def empirical_quantiles(values: Tensor) -> Tensor:
    """Return the QUANTILES of the values along the last axis without NaN, ``(..., quantiles)``; NaN without a value.

    Linear between order statistics (Hyndman and Fan, 1996, definition 7), as the numpy form of this name in
    ``core/forecast.py``.
    """
    ordered = _sorted(values)
    last = (count(values)[..., None] - 1).clamp(min=0)
    position = torch.tensor(QUANTILES, device=values.device) * last
    below = position.long()
    above = torch.minimum(below + 1, last.long())
    low, high = ordered.gather(-1, below), ordered.gather(-1, above)
    return low + (high - low) * (position - below)


def mean(values: Tensor) -> Tensor:
    """Return the mean along the last axis without NaN, ``(...)``; 0 without a value."""
    return values.nansum(-1) / count(values).clamp(min=1)


def count(values: Tensor) -> Tensor:
    """Return the number of values along the last axis that are not NaN, ``(...)`` float."""
    # on a CPU a sum of floats is vectorised, and a sum of booleans is not
    return (values * 0 + 1).nansum(-1)


def _sorted(values: Tensor) -> Tensor:
    if values.device.type != "cpu":
        return values.sort(dim=-1).values
    # numpy's sort is vectorised and takes a tenth of the time of torch's; both put NaN last
    return torch.from_numpy(np.sort(values.numpy(), axis=-1))


class Windows(NamedTuple):
    """Inputs of the network for a batch of windows.

    The values that the layers read are the asinh of window units; candidate forecasts are in window units.

    Attributes:
        encoder: ``(windows, 8, 33)``, the 8 h up to the origin by patch; columns as ENCODER_SIZES.
        decoder: ``(windows, 8, 76)``, the 8 h after the origin by patch; columns as DECODER_SIZES.
        static: ``(windows, 52)``.
        slots: ``(windows, 16, 14, quantiles)``, the part of the candidate forecasts that is constant in a slot.
        points: ``(windows, 16, 6, 6)``, by slot, step and candidate; the part of the last 6 that varies by step.
        centre: ``(windows,)`` in z.
        scale: ``(windows,)`` in z, above 0.
        identity: ``(windows, 3)``, codes of the metric, the profile and the server's bucket; 0 is unknown or masked.
    """

    encoder: Tensor
    decoder: Tensor
    static: Tensor
    slots: Tensor
    points: Tensor
    centre: Tensor
    scale: Tensor
    identity: Tensor


class _Measured(NamedTuple):
    """Statistics that the candidates and inputs are made of, in window units.

    The shapes: slots ``(windows, 16, quantiles)``, each of the points ``(windows, 96)``, changes
    ``(windows, 3, quantiles)``, levels and shifts ``(windows,)``, all others ``(windows, quantiles)``.
    """

    last: Tensor
    half_hour: Tensor
    day: Tensor
    three_hours: Tensor
    slots_days: Tensor
    slots_weeks: Tensor
    points: tuple[Tensor, Tensor, Tensor]
    shift_hour: Tensor
    shift_day: Tensor
    errors_of_mean: Tensor
    errors_of_day: Tensor
    changes: Tensor


def slice_windows(history: History, rows: Tensor, origins: Tensor) -> Windows:
    """Return the windows of the series ``rows`` at the columns ``origins``, both ``(windows,)``."""
    recent = Recent.before(history, rows, origins)
    measured = _measured(history, recent, rows, origins)
    return Windows(
        _encoder(history, recent, origins),
        _decoder(history, origins, measured),
        _static(recent, measured),
        _slots(measured),
        _points(measured),
        recent.centre,
        recent.scale,
        history.identity[rows],
    )


def slice_targets(history: History, rows: Tensor, origins: Tensor) -> tuple[Tensor, Tensor]:
    """Return z after the origins and whether it was observed, both ``(windows, HORIZON_STEPS)``."""
    return _after(history.z, rows, origins), _after(history.observed, rows, origins)


def _after(table: Tensor, rows: Tensor, last: Tensor) -> Tensor:
    return slice_columns(table, rows, last + 1, HORIZON_STEPS)


def _measured(history: History, recent: Recent, rows: Tensor, origins: Tensor) -> _Measured:
    day = recent.in_window(recent.quantiles(STEPS_PER_DAY))
    slots_days = recent.in_window_or(slot_quantiles(history, rows, origins, STEPS_PER_DAY, 7), day[:, None])
    lag_day = _after(history.z, rows, origins - STEPS_PER_DAY)
    lag_week = _after(history.z, rows, origins - STEPS_PER_WEEK)
    week_mean = _after(history.week_mean, rows, origins)
    return _Measured(
        recent.in_window(recent.z[:, -1:])[:, 0],
        recent.in_window(recent.z[:, -SLOT_STEPS:]).mean(1),
        day,
        recent.in_window_or(recent.quantiles(3 * STEPS_PER_HOUR), day),
        slots_days,
        recent.in_window_or(slot_quantiles(history, rows, origins, STEPS_PER_WEEK, 4), slots_days),
        (recent.in_window(lag_day), recent.in_window(lag_week), recent.in_window(week_mean)),
        recent.shift(STEPS_PER_HOUR),
        recent.shift(STEPS_PER_DAY),
        recent.errors_of_mean(),
        recent.errors_of_day(),
        torch.stack([recent.changes(steps) for steps in _CHANGE_STEPS], dim=1),
    )


def _patches(values: Tensor) -> Tensor:
    return values.reshape(len(values), PATCHES, -1)


def _encoder(history: History, recent: Recent, origins: Tensor) -> Tensor:
    z, week_mean = (
        _patches(asinh(recent.in_window(values[:, -HORIZON_STEPS:]))) for values in (recent.z, recent.week_mean)
    )
    observed = count(_patches(recent.known[:, -HORIZON_STEPS:]))[..., None]
    middle = torch.arange(PATCH_STEPS // 2 - HORIZON_STEPS, 1, PATCH_STEPS, device=origins.device)
    calendar = history.calendar[origins[:, None] + middle]
    return torch.cat([z, week_mean, calendar, observed / PATCH_STEPS], dim=-1)


def _decoder(history: History, origins: Tensor, measured: _Measured) -> Tensor:
    steps = torch.arange(PATCH_STEPS // 2, HORIZON_STEPS + 1, PATCH_STEPS, device=origins.device)
    calendar = history.calendar[origins[:, None] + steps]
    share = steps / HORIZON_STEPS
    position = torch.stack([share, share**2, torch.exp(-steps / 6.0), torch.exp(-steps / 24.0)], dim=-1)
    parts = [_patches(values) for values in (*measured.points, measured.slots_days, measured.slots_weeks)]
    return torch.cat(
        [asinh(torch.cat(parts, dim=-1)), calendar, position.expand(len(origins), -1, -1)],
        dim=-1,
    )


def _static(recent: Recent, measured: _Measured) -> Tensor:
    reals = torch.stack([*recent.measures(), measured.shift_hour, measured.shift_day], dim=1)
    spreads = (
        measured.day,
        measured.three_hours,
        measured.errors_of_mean,
        measured.errors_of_day,
        measured.changes[:, 1],
    )
    scaled = asinh(torch.cat([reals, *spreads], dim=1))
    share = count(recent.known[:, -STEPS_PER_WEEK:]) / STEPS_PER_WEEK
    return torch.cat([scaled, torch.stack([recent.scale.log(), recent.centre, share], dim=1)], dim=1)


def _slots(measured: _Measured) -> Tensor:
    """Return the constant part of the candidate forecasts in each slot, ``(windows, 16, 14, quantiles)``.

    In order: the last value; the mean of the last half hour; the quantiles of the last day, of the last 3 h, of the
    slot on 7 days, of the slot in 4 weeks, and of the slot on 7 days with the last hour's shift; a random walk.

    The last six have a part in ``_points``: yesterday; last week; the week mean; the week mean with the last day's
    shift and its errors; yesterday with its errors; a decay from the last value to the quantiles of the last 3 h.
    """
    level = measured.half_hour.view(-1, 1, 1)
    zero = torch.zeros_like(level)
    candidates = (
        measured.last.view(-1, 1, 1),
        level,
        measured.day[:, None],
        measured.three_hours[:, None],
        measured.slots_days,
        measured.slots_weeks,
        measured.slots_days + measured.shift_hour.view(-1, 1, 1),
        level + _by_slot(measured.changes),
        zero,
        zero,
        zero,
        measured.shift_day.view(-1, 1, 1) + measured.errors_of_mean[:, None],
        measured.errors_of_day[:, None],
        measured.three_hours[:, None],
    )
    full = (len(measured.day), SLOTS, len(QUANTILES))
    return torch.stack([each.expand(full) for each in candidates], dim=2)


def _points(measured: _Measured) -> Tensor:
    """Return the stepwise part of the last six candidates, ``(windows, 16, 6, 6)`` by slot, step and candidate."""
    lag_day, lag_week, week_mean = measured.points
    step = torch.arange(1, HORIZON_STEPS + 1, device=measured.day.device)
    decaying = (measured.last - measured.three_hours[:, MEDIAN])[:, None] * torch.exp(-step / _DECAY_STEPS)
    paths = (lag_day, lag_week, week_mean, week_mean, lag_day, decaying)
    return torch.stack(paths, dim=-1).view(-1, SLOTS, SLOT_STEPS, STEPWISE_CANDIDATES)


def _by_slot(changes: Tensor) -> Tensor:
    """Return the changes from the origin to the middle of each slot, ``(windows, 16, quantiles)``.

    ``changes`` are interpolated between _CHANGE_STEPS, linearly in the square root of time, because the spread of a
    random walk grows with it.
    """
    at = (torch.arange(SLOTS, device=changes.device) * SLOT_STEPS + SLOT_STEPS / 2).sqrt()
    knots = torch.tensor(_CHANGE_STEPS, device=changes.device).sqrt()
    upper = torch.searchsorted(knots, at).clamp(1, len(_CHANGE_STEPS) - 1)
    share = ((at - knots[upper - 1]) / (knots[upper] - knots[upper - 1]))[:, None]
    return changes[:, upper - 1].lerp(changes[:, upper], share)
