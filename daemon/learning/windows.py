"""From series and origins to what the network sees; nothing after an origin is ever read for it."""

from typing import NamedTuple

import torch
from torch import Tensor

from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK
from daemon.domain.quantiles import MEDIAN, QUANTILES
from daemon.learning.history import History, asinh
from daemon.learning.recent import SLOT_STEPS, SLOTS, Recent, count, cut, slot_quantiles

PATCH_STEPS = 12
PATCHES = HORIZON_STEPS // PATCH_STEPS
_SLOT_QUANTILES = PATCH_STEPS // SLOT_STEPS * len(QUANTILES)
ENCODER_SIZES = (PATCH_STEPS, PATCH_STEPS, 8, 1)
DECODER_SIZES = (PATCH_STEPS, PATCH_STEPS, PATCH_STEPS, _SLOT_QUANTILES, _SLOT_QUANTILES, 8, 4)
STATIC_SIZE = 31 + 3 * len(QUANTILES)
BASELINES = 14
STEPWISE_BASELINES = 6

_DECAY_STEPS = 3.0
_CHANGE_STEPS = (3, 24, 93)


class Windows(NamedTuple):
    """Inputs of the network for a batch of windows.

    Values are in window units, ``(z − centre) / scale``; what the layers read is their asinh.

    Attributes:
        encoder: ``(windows, 8, 33)``: z, its week mean, calendar, observed share of each past hour.
        decoder: ``(windows, 8, 76)``: z a day and a week before, week mean, slot quantiles of the last 7 days and of
            the last 4 weeks, calendar, position of each hour to come.
        static: ``(windows, 52)``.
        slots: ``(windows, 16, 14, quantiles)``; of the quantile forecasts that the head mixes, in window units, what is
            the same in a whole half hour.
        points: ``(windows, 16, 6, 6)``; what the last six of them add at each step of it.
        centre: ``(windows,)`` in z.
        scale: ``(windows,)`` in z, above 0.
        identity: ``(windows, 3)``; numbers of the metric, the profile and the server, 0 where they are not told.
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
    recent = Recent.before(history, rows, origins)
    made = _measured(history, recent, rows, origins)
    return Windows(
        _encoder(history, recent, origins),
        _decoder(history, origins, made),
        _static(recent, made),
        _slots(made),
        _points(made),
        recent.centre,
        recent.scale,
        history.identity[rows],
    )


def cut_targets(history: History, rows: Tensor, origins: Tensor) -> tuple[Tensor, Tensor]:
    """Return z after the origins and which of it was observed, both ``(windows, HORIZON_STEPS)``."""
    return _after(history.z, rows, origins), _after(history.observed, rows, origins)


def _after(table: Tensor, rows: Tensor, last: Tensor) -> Tensor:
    return cut(table, rows, last + 1, HORIZON_STEPS)


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


def _decoder(history: History, origins: Tensor, made: _Measured) -> Tensor:
    steps = torch.arange(PATCH_STEPS // 2, HORIZON_STEPS + 1, PATCH_STEPS, device=origins.device)
    calendar = history.calendar[origins[:, None] + steps]
    share = steps / HORIZON_STEPS
    position = torch.stack([share, share**2, torch.exp(-steps / 6.0), torch.exp(-steps / 24.0)], dim=-1)
    parts = [_patches(values) for values in (*made.points, made.slots_days, made.slots_weeks)]
    return torch.cat(
        [asinh(torch.cat(parts, dim=-1)), calendar, position.expand(len(origins), -1, -1)],
        dim=-1,
    )


def _static(recent: Recent, made: _Measured) -> Tensor:
    reals = torch.stack([*recent.measures(), made.shift_hour, made.shift_day], dim=1)
    spreads = (made.day, made.three_hours, made.errors_of_mean, made.errors_of_day, made.changes[:, 1])
    scaled = asinh(torch.cat([reals, *spreads], dim=1))
    share = count(recent.known[:, -STEPS_PER_WEEK:]) / STEPS_PER_WEEK
    return torch.cat([scaled, torch.stack([recent.scale.log(), recent.centre, share], dim=1)], dim=1)


def _slots(made: _Measured) -> Tensor:
    level = made.half_hour.view(-1, 1, 1)
    zero = torch.zeros_like(level)
    baselines = (
        made.last.view(-1, 1, 1),
        level,
        made.day[:, None],
        made.three_hours[:, None],
        made.slots_days,
        made.slots_weeks,
        made.slots_days + made.shift_hour.view(-1, 1, 1),
        level + _by_slot(made.changes),
        zero,
        zero,
        zero,
        made.shift_day.view(-1, 1, 1) + made.errors_of_mean[:, None],
        made.errors_of_day[:, None],
        made.three_hours[:, None],
    )
    full = (len(made.day), SLOTS, len(QUANTILES))
    return torch.stack([baseline.expand(full) for baseline in baselines], dim=2)


def _points(made: _Measured) -> Tensor:
    lag_day, lag_week, week_mean = made.points
    step = torch.arange(1, HORIZON_STEPS + 1, device=made.day.device)
    decaying = (made.last - made.three_hours[:, MEDIAN])[:, None] * torch.exp(-step / _DECAY_STEPS)
    paths = (lag_day, lag_week, week_mean, week_mean, lag_day, decaying)
    return torch.stack(paths, dim=-1).view(-1, SLOTS, SLOT_STEPS, STEPWISE_BASELINES)


def _by_slot(changes: Tensor) -> Tensor:
    """Return changes over _CHANGE_STEPS as changes to the middle of each half hour, ``(windows, 16, quantiles)``.

    Linear in the square root of time, as the spread of a random walk grows.
    """
    at = (torch.arange(SLOTS, device=changes.device) * SLOT_STEPS + SLOT_STEPS / 2).sqrt()
    knots = torch.tensor(_CHANGE_STEPS, device=changes.device).sqrt()
    upper = torch.searchsorted(knots, at).clamp(1, len(_CHANGE_STEPS) - 1)
    share = ((at - knots[upper - 1]) / (knots[upper] - knots[upper - 1]))[:, None]
    return changes[:, upper - 1].lerp(changes[:, upper], share)
