"""From series and origins to what the network sees; nothing after an origin is ever read for it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK
from daemon.domain.quantiles import MEDIAN, QUANTILES
from daemon.learning.history import History

PATCH_STEPS = 6
PATCHES = HORIZON_STEPS // PATCH_STEPS
ENCODER_STEPS = 96
ENCODER_SIZES = (PATCH_STEPS, PATCH_STEPS, 8, 1)
DECODER_SIZES = (PATCH_STEPS, PATCH_STEPS, PATCH_STEPS, len(QUANTILES), len(QUANTILES), 8, 4)
STATIC_SIZE = 31 + 3 * len(QUANTILES)
BASELINES = 14

RECENT_STEPS = STEPS_PER_WEEK + STEPS_PER_DAY
_SLOT_MARGIN = PATCH_STEPS // 2
_SMALLEST_SCALE = 0.002
_DECAY_STEPS = 3.0
_ERROR_STRIDE = 3
_CHANGE_STRIDE = 12
_CHANGE_STEPS = (3, 24, 93)


class Windows(NamedTuple):
    """Inputs of the network for a batch of windows.

    Values are in window units, ``(z − centre) / scale``; what the layers read is their asinh.

    Attributes:
        encoder: ``(windows, 16, 21)``: z, its week mean, calendar, observed share of each past patch.
        decoder: ``(windows, 16, 44)``: z a day and a week before, week mean, slot quantiles of the last 7 days and of
            the last 4 weeks, calendar, position of each future patch.
        static: ``(windows, 52)``.
        baselines: ``(windows, 16, 6, 14, quantiles)`` quantile forecasts that the head mixes, in window units.
        centre: ``(windows,)`` in z.
        scale: ``(windows,)`` in z, above 0.
    """

    encoder: Tensor
    decoder: Tensor
    static: Tensor
    baselines: Tensor
    centre: Tensor
    scale: Tensor


@dataclass(frozen=True)
class _Recent:
    """The last 8 days before the origins, ``(windows, 2304)``, and what is measured of them."""

    z: Tensor
    observed: Tensor
    week_mean: Tensor
    centre: Tensor
    scale: Tensor

    def in_window(self, z: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (z.dim() - 1)
        scaled = (z - self.centre.view(shape)) / self.scale.view(shape)
        return torch.nan_to_num(scaled, nan=0.0)

    def in_window_or(self, z: Tensor, otherwise: Tensor) -> Tensor:
        return torch.where(torch.isfinite(z), self.in_window(z), otherwise)

    def spread_of(self, differences: Tensor) -> Tensor:
        return masked_quantiles(differences).nan_to_num(0.0) / self.scale[:, None]

    def quantiles(self, steps: int) -> Tensor:
        return masked_quantiles(torch.where(self.observed[:, -steps:], self.z[:, -steps:], torch.nan))


class _Measured(NamedTuple):
    """What baselines are made of, in window units; slots are ``(windows, 16, quantiles)``, points ``(windows, 96)``."""

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


def cut_windows(history: History, rows: Tensor, origins: Tensor) -> Windows:
    """Return the inputs of the windows of series ``rows`` that end at column ``origins``, both ``(windows,)``."""
    recent = _recent(history, rows, origins)
    day = recent.in_window(recent.quantiles(STEPS_PER_DAY))
    three_hours = recent.in_window_or(recent.quantiles(3 * STEPS_PER_HOUR), day)
    slots_days = recent.in_window_or(_slot_quantiles(history, rows, origins, STEPS_PER_DAY, 7), day[:, None])
    slots_weeks = recent.in_window_or(_slot_quantiles(history, rows, origins, STEPS_PER_WEEK, 4), slots_days)
    lag_day = recent.in_window(_at(history.z, rows, origins + 1 - STEPS_PER_DAY))
    lag_week = recent.in_window(_at(history.z, rows, origins + 1 - STEPS_PER_WEEK))
    week_mean = recent.in_window(_at(history.week_mean, rows, origins + 1))
    made = _Measured(
        recent.in_window(recent.z[:, -1:])[:, 0],
        recent.in_window(recent.z[:, -PATCH_STEPS:]).mean(1),
        day,
        three_hours,
        slots_days,
        slots_weeks,
        (lag_day, lag_week, week_mean),
        _shift(recent, STEPS_PER_HOUR),
        _shift(recent, STEPS_PER_DAY),
        *_errors(recent),
        torch.stack([_change(recent, steps) for steps in _CHANGE_STEPS], dim=1),
    )
    return Windows(
        _encoder(history, recent, origins),
        _decoder(history, origins, made),
        _static(recent, made),
        _baselines(made),
        recent.centre,
        recent.scale,
    )


def cut_targets(history: History, rows: Tensor, origins: Tensor) -> tuple[Tensor, Tensor]:
    """Return z after the origins and which of it was observed, both ``(windows, HORIZON_STEPS)``."""
    return _at(history.z, rows, origins + 1), _at(history.observed, rows, origins + 1)


def _cut(table: Tensor, rows: Tensor, first: Tensor, steps: int) -> Tensor:
    return table.unfold(1, steps, 1)[rows, first]


def _at(table: Tensor, rows: Tensor, first: Tensor) -> Tensor:
    return _cut(table, rows, first, HORIZON_STEPS)


def _recent(history: History, rows: Tensor, origins: Tensor) -> _Recent:
    first = origins + 1 - RECENT_STEPS
    z = _cut(history.z, rows, first, RECENT_STEPS)
    observed = _cut(history.observed, rows, first, RECENT_STEPS)
    day, seen = z[:, -STEPS_PER_DAY:], observed[:, -STEPS_PER_DAY:]
    centre = _mean(day, seen)
    centre = centre.where(seen.any(1), _mean(z, observed))
    deviation = _mean((day - centre[:, None]) ** 2, seen).sqrt()
    seasonal = _seasonal_error(z, observed, STEPS_PER_WEEK)
    scale = (0.5 * deviation + 0.5 * torch.where(torch.isfinite(seasonal), seasonal, deviation)).clamp(
        min=_SMALLEST_SCALE
    )
    week_mean = _cut(history.week_mean, rows, first, RECENT_STEPS)
    return _Recent(z, observed, week_mean, centre, scale)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    total = torch.where(chosen, values, 0.0).sum(1)
    return total / chosen.sum(1).clamp(min=1)


def _seasonal_error(z: Tensor, observed: Tensor, steps: int) -> Tensor:
    now, before = z[:, -steps:], z[:, -steps - STEPS_PER_DAY : -STEPS_PER_DAY]
    both = observed[:, -steps:] & observed[:, -steps - STEPS_PER_DAY : -STEPS_PER_DAY]
    return torch.where(both.any(1), _mean((now - before).abs(), both), torch.nan)


def masked_quantiles(values: Tensor) -> Tensor:
    """Return the QUANTILES of the finite values along the last axis, ``(..., quantiles)``; NaN where there are none.

    Linear between order statistics (Hyndman and Fan, 1996, definition 7).
    """
    ordered = values.sort(dim=-1).values  # NaN sorts last
    count = torch.isfinite(values).sum(-1, keepdim=True)
    levels = torch.tensor(QUANTILES, device=values.device)
    position = levels * (count - 1).clamp(min=0)
    below = position.long()
    above = torch.minimum(below + 1, (count - 1).clamp(min=0))
    low, high = ordered.gather(-1, below), ordered.gather(-1, above)
    return low + (high - low) * (position - below)


def _slot_quantiles(history: History, rows: Tensor, origins: Tensor, period: int, count: int) -> Tensor:
    width = HORIZON_STEPS + 2 * _SLOT_MARGIN
    days = []
    for k in range(1, count + 1):
        first = origins + 1 - _SLOT_MARGIN - k * period
        z, seen = _cut(history.z, rows, first, width), _cut(history.observed, rows, first, width)
        days.append(torch.where(seen, z, torch.nan).unfold(1, PATCH_STEPS + 2 * _SLOT_MARGIN, PATCH_STEPS))
    return masked_quantiles(torch.cat(days, dim=-1))


def _errors(recent: _Recent) -> tuple[Tensor, Tensor]:
    """Return quantiles of the week's distances from the week mean and from the day before, in window units."""
    z, seen = recent.z[:, STEPS_PER_DAY:], recent.observed[:, STEPS_PER_DAY:]
    mean = recent.week_mean[:, STEPS_PER_DAY:]
    of_mean = torch.where(seen & torch.isfinite(mean), z - mean, torch.nan)
    both = seen & recent.observed[:, :-STEPS_PER_DAY]
    of_day = torch.where(both, z - recent.z[:, :-STEPS_PER_DAY], torch.nan)
    return recent.spread_of(of_mean[:, ::_ERROR_STRIDE]), recent.spread_of(of_day[:, ::_ERROR_STRIDE])


def _change(recent: _Recent, steps: int) -> Tensor:
    """Return quantiles of the change over ``steps`` from a half hour's mean, over the week, in window units."""
    z, seen = recent.z[:, STEPS_PER_DAY:], recent.observed[:, STEPS_PER_DAY:]
    half_hours = z[:, :-steps].unfold(1, PATCH_STEPS, _CHANGE_STRIDE).mean(-1)
    count, last = half_hours.shape[1], PATCH_STEPS - 1
    both = seen[:, last::_CHANGE_STRIDE][:, :count] & seen[:, last + steps :: _CHANGE_STRIDE][:, :count]
    return recent.spread_of(torch.where(both, z[:, last + steps :: _CHANGE_STRIDE][:, :count] - half_hours, torch.nan))


def _shift(recent: _Recent, steps: int) -> Tensor:
    known = recent.observed[:, -steps:] & torch.isfinite(recent.week_mean[:, -steps:])
    return _mean(recent.z[:, -steps:] - recent.week_mean[:, -steps:], known) / recent.scale


def _patches(values: Tensor) -> Tensor:
    return values.view(len(values), -1, PATCH_STEPS)


def _encoder(history: History, recent: _Recent, origins: Tensor) -> Tensor:
    z = torch.asinh(recent.in_window(recent.z[:, -ENCODER_STEPS:]))
    week_mean = torch.asinh(recent.in_window(recent.week_mean[:, -ENCODER_STEPS:]))
    observed = _patches(recent.observed[:, -ENCODER_STEPS:].float()).mean(-1, keepdim=True)
    middle = torch.arange(-ENCODER_STEPS + 3, 1, PATCH_STEPS, device=origins.device)
    calendar = history.calendar[origins[:, None] + middle]
    return torch.cat([_patches(z), _patches(week_mean), calendar, observed], dim=-1)


def _decoder(history: History, origins: Tensor, made: _Measured) -> Tensor:
    steps = torch.arange(3, HORIZON_STEPS + 1, PATCH_STEPS, device=origins.device)
    calendar = history.calendar[origins[:, None] + steps]
    share = steps / HORIZON_STEPS
    position = torch.stack([share, share**2, torch.exp(-steps / 6.0), torch.exp(-steps / 24.0)], dim=-1)
    parts = [_patches(point) for point in made.points] + [made.slots_days, made.slots_weeks]
    return torch.cat(
        [torch.asinh(torch.cat(parts, dim=-1)), calendar, position.expand(len(origins), -1, -1)],
        dim=-1,
    )


def _static(recent: _Recent, made: _Measured) -> Tensor:
    z, seen, scale = recent.z, recent.observed, recent.scale
    reals = []
    for steps in (STEPS_PER_HOUR, 6 * STEPS_PER_HOUR, STEPS_PER_DAY, STEPS_PER_WEEK):
        mean = _mean(z[:, -steps:], seen[:, -steps:])
        reals.append(_mean((z[:, -steps:] - mean[:, None]) ** 2, seen[:, -steps:]).sqrt() / scale)
    for steps in (STEPS_PER_DAY, STEPS_PER_WEEK):
        known = seen[:, -steps:] & torch.isfinite(recent.week_mean[:, -steps:])
        hour = seen[:, -steps:] & seen[:, -steps - STEPS_PER_HOUR : -STEPS_PER_HOUR]
        change = z[:, -steps:] - z[:, -steps - STEPS_PER_HOUR : -STEPS_PER_HOUR]
        reals.append(_seasonal_error(z, seen, steps).nan_to_num() / scale)
        reals.append(_mean((z[:, -steps:] - recent.week_mean[:, -steps:]).abs(), known) / scale)
        reals.append(_mean(change.abs(), hour) / scale)
    for steps in (6 * STEPS_PER_HOUR, STEPS_PER_WEEK):
        mean = recent.in_window(_mean(z[:, -steps:], seen[:, -steps:]))
        reals.append(torch.where(seen[:, -steps:].any(1), mean, 0.0))
    reals += [made.shift_hour, made.shift_day]
    spreads = (made.day, made.three_hours, made.errors_of_mean, made.errors_of_day, made.changes[:, 1])
    scaled = torch.asinh(torch.cat([torch.stack(reals, dim=1), *spreads], dim=1))
    share = seen[:, -STEPS_PER_WEEK:].float().mean(1)
    return torch.cat([scaled, torch.stack([scale.log(), recent.centre, share], dim=1)], dim=1)


def _baselines(made: _Measured) -> Tensor:
    lag_day, _, week_mean = made.points
    step = torch.arange(1, HORIZON_STEPS + 1, device=made.day.device)
    decaying = (made.last - made.three_hours[:, MEDIAN])[:, None] * torch.exp(-step / _DECAY_STEPS)
    level = made.half_hour.view(-1, 1, 1, 1)
    full = (len(made.day), PATCHES, PATCH_STEPS, len(QUANTILES))
    baselines = (
        made.last.view(-1, 1, 1, 1),
        level,
        made.day[:, None, None],
        made.three_hours[:, None, None],
        made.slots_days[:, :, None],
        made.slots_weeks[:, :, None],
        *(_patches(point)[..., None] for point in made.points),
        (made.slots_days + made.shift_hour.view(-1, 1, 1))[:, :, None],
        _patches(week_mean + made.shift_day[:, None])[..., None] + made.errors_of_mean[:, None, None],
        _patches(lag_day)[..., None] + made.errors_of_day[:, None, None],
        level + _by_patch(made.changes)[:, :, None],
        _patches(decaying)[..., None] + made.three_hours[:, None, None],
    )
    return torch.stack([baseline.expand(full) for baseline in baselines], dim=-2)


def _by_patch(changes: Tensor) -> Tensor:
    """Return changes over _CHANGE_STEPS as changes to the middle of each patch, ``(windows, 16, quantiles)``.

    Linear in the square root of time, as the spread of a random walk grows.
    """
    at = (torch.arange(PATCHES, device=changes.device) * PATCH_STEPS + PATCH_STEPS / 2).sqrt()
    knots = torch.tensor(_CHANGE_STEPS, device=changes.device).sqrt()
    upper = torch.searchsorted(knots, at).clamp(1, len(_CHANGE_STEPS) - 1)
    share = ((at - knots[upper - 1]) / (knots[upper] - knots[upper - 1]))[:, None]
    return changes[:, upper - 1].lerp(changes[:, upper], share)
