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
STATIC_SIZE = 31
BASELINES = 11

_RECENT_STEPS = STEPS_PER_WEEK + STEPS_PER_DAY
_SLOT_MARGIN = PATCH_STEPS // 2
_SMALLEST_SCALE = 0.002
_DECAY_STEPS = 3.0


class Windows(NamedTuple):
    """Inputs of the network for a batch of windows.

    Values are in window units, ``(z − centre) / scale``; what the layers read is their asinh.

    Attributes:
        encoder: ``(windows, 16, 21)``: z, its week mean, calendar, observed share of each past patch.
        decoder: ``(windows, 16, 44)``: z a day and a week before, week mean, slot quantiles of the last 7 days and of
            the last 4 weeks, calendar, position of each future patch.
        static: ``(windows, 31)``.
        baselines: ``(windows, 16, 6, 11, quantiles)`` quantile forecasts that the head mixes, in window units.
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

    def quantiles(self, steps: int) -> Tensor:
        return masked_quantiles(torch.where(self.observed[:, -steps:], self.z[:, -steps:], torch.nan))


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
    shift_hour, shift_day = _shift(recent, STEPS_PER_HOUR), _shift(recent, STEPS_PER_DAY)
    points = (lag_day, lag_week, week_mean)
    return Windows(
        _encoder(history, recent, origins),
        _decoder(history, origins, points, slots_days, slots_weeks),
        _static(recent, day, three_hours, shift_hour, shift_day),
        _baselines(recent, day, three_hours, slots_days, slots_weeks, points, shift_hour),
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
    first = origins + 1 - _RECENT_STEPS
    z = _cut(history.z, rows, first, _RECENT_STEPS)
    observed = _cut(history.observed, rows, first, _RECENT_STEPS)
    day, seen = z[:, -STEPS_PER_DAY:], observed[:, -STEPS_PER_DAY:]
    centre = _mean(day, seen)
    centre = centre.where(seen.any(1), _mean(z, observed))
    deviation = _mean((day - centre[:, None]) ** 2, seen).sqrt()
    seasonal = _seasonal_error(z, observed, STEPS_PER_WEEK)
    scale = (0.5 * deviation + 0.5 * torch.where(torch.isfinite(seasonal), seasonal, deviation)).clamp(
        min=_SMALLEST_SCALE
    )
    week_mean = _cut(history.week_mean, rows, first, _RECENT_STEPS)
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


def _decoder(
    history: History, origins: Tensor, points: tuple[Tensor, ...], slots_days: Tensor, slots_weeks: Tensor
) -> Tensor:
    steps = torch.arange(3, HORIZON_STEPS + 1, PATCH_STEPS, device=origins.device)
    calendar = history.calendar[origins[:, None] + steps]
    share = steps / HORIZON_STEPS
    position = torch.stack([share, share**2, torch.exp(-steps / 6.0), torch.exp(-steps / 24.0)], dim=-1)
    parts = [torch.asinh(_patches(point)) for point in points]
    return torch.cat(
        [*parts, torch.asinh(slots_days), torch.asinh(slots_weeks), calendar, position.expand(len(origins), -1, -1)],
        dim=-1,
    )


def _static(recent: _Recent, day: Tensor, three_hours: Tensor, shift_hour: Tensor, shift_day: Tensor) -> Tensor:
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
    reals += [shift_hour, shift_day]
    scaled = torch.asinh(torch.cat([torch.stack(reals, dim=1), day, three_hours], dim=1))
    share = seen[:, -STEPS_PER_WEEK:].float().mean(1)
    return torch.cat([scaled, torch.stack([scale.log(), recent.centre, share], dim=1)], dim=1)


def _baselines(
    recent: _Recent,
    day: Tensor,
    three_hours: Tensor,
    slots_days: Tensor,
    slots_weeks: Tensor,
    points: tuple[Tensor, ...],
    shift_hour: Tensor,
) -> Tensor:
    windows, quantiles = len(day), len(QUANTILES)
    last = recent.in_window(recent.z[:, -1:])[:, 0]
    half_hour = recent.in_window(recent.z[:, -PATCH_STEPS:]).mean(1)
    step = torch.arange(1, HORIZON_STEPS + 1, device=day.device)
    decaying = (last - three_hours[:, MEDIAN])[:, None] * torch.exp(-step / _DECAY_STEPS)
    full = (windows, PATCHES, PATCH_STEPS, quantiles)
    return torch.stack(
        [
            last.view(-1, 1, 1, 1).expand(full),
            half_hour.view(-1, 1, 1, 1).expand(full),
            day[:, None, None].expand(full),
            three_hours[:, None, None].expand(full),
            slots_days[:, :, None].expand(full),
            slots_weeks[:, :, None].expand(full),
            *(_patches(point)[..., None].expand(full) for point in points),
            (slots_days + shift_hour.view(-1, 1, 1))[:, :, None].expand(full),
            _patches(decaying)[..., None] + three_hours[:, None, None],
        ],
        dim=-2,
    )
