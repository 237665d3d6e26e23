"""Many series on the grid as tensors, scaled to the units of the network; windows are slices of them."""

from dataclasses import dataclass, replace
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from daemon.core.series import (
    HORIZON_STEPS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
    STEPS_PER_WEEK,
    Float32,
    Int64,
    Panel,
    SeriesKey,
)
from daemon.network.identity import NO_NAMES, Vocabulary

LOOKBACK_STEPS = 4 * STEPS_PER_WEEK + STEPS_PER_HOUR
"""Steps up to an origin that a window reads."""
RECENT_STEPS = STEPS_PER_WEEK + STEPS_PER_DAY
"""Steps up to an origin that ``Recent`` holds."""
_SCALE_STRIDE = 6
# three days at the stride
_FEWEST_SAMPLES = 144
# a series varies more in the long run than in its first hours
_LEAST_SHARE_OF_LEVEL = 0.1
# paths are at most sinh(12) = 81,000 spreads from the median
_LARGEST_Z = 12.0


@dataclass(frozen=True, kw_only=True)
class History:
    """Series in the units of the network: ``z = asinh((y − median) / mean|y − median|)``, without a unit.

    It starts with unobserved columns, so that the first window has ``LOOKBACK_STEPS`` before its origin.

    Attributes:
        keys: the series, one per row.
        start: epoch seconds of column 0.
        z: ``(series, columns)`` float32, the last observed value carried forward; NaN before the first.
        observed: ``(series, columns)`` bool.
        week_mean: ``(series, columns + HORIZON_STEPS)``; mean of z at the same time on the 7 days before, NaN without
            a sample; 0 in columns that no window reads, more than ``RECENT_STEPS`` before the first origin.
        calendar: ``(columns + HORIZON_STEPS, 8)``; sines, then cosines of the day, half day, week and hour
            in civil time.
        median: ``(series,)`` in the metric's unit.
        spread: ``(series,)`` in the metric's unit, above 0.
        identity: ``(series, 3)``; codes of the metric, the profile and the server's bucket, 0 if unknown.
    """

    keys: tuple[SeriesKey, ...]
    start: int
    z: Tensor
    observed: Tensor
    week_mean: Tensor
    calendar: Tensor
    median: Tensor
    spread: Tensor
    identity: Tensor

    @classmethod
    def from_panel(
        cls,
        panel: Panel,
        zone: ZoneInfo,
        scale_until: int | None = None,
        first_origin: int | None = None,
        vocabulary: Vocabulary = NO_NAMES,
    ) -> "History":
        """Return ``panel`` as a history on the CPU; ``to`` moves it to another device.

        Args:
            panel: at least one series and one column.
            zone: civil time zone of the calendar.
            scale_until: epoch seconds of the last column that median and spread use; all columns if None.
            first_origin: epoch seconds of the first origin; the panel's first column if None.
            vocabulary: the names that have a code.
        """
        known = panel.values if scale_until is None else panel.between(panel.start, scale_until).values
        median, spread = (torch.from_numpy(each) for each in scale_of(known))
        before = 0 if first_origin is None else (first_origin - panel.start) // STEP_SECONDS
        padding = max(0, LOOKBACK_STEPS - before)
        start = panel.start - padding * STEP_SECONDS
        z = torch.full((len(panel.keys), padding + panel.steps), torch.nan)
        scaled = asinh((torch.from_numpy(panel.values) - median[:, None]).div_(spread[:, None]))
        z[:, padding:] = scaled
        observed = np.isfinite(z.numpy())
        first_mean = 0 if first_origin is None else padding + before + 1 - RECENT_STEPS
        week_mean = _week_mean(z.numpy(), observed, first_mean)
        calendar = torch.from_numpy(civil_calendar(start, z.shape[1] + HORIZON_STEPS, zone))
        # last, because the lines above need the gaps
        _carry_forward(scaled.numpy(), observed[:, padding:])
        z[:, padding:] = scaled
        identity = vocabulary.codes(panel)
        return cls(
            keys=panel.keys,
            start=start,
            z=z,
            observed=torch.from_numpy(observed),
            week_mean=week_mean,
            calendar=calendar,
            median=median,
            spread=spread,
            identity=identity,
        )

    @property
    def columns(self) -> int:
        """Number of columns, padding included."""
        return self.z.shape[1]

    def column(self, timestamp: int) -> int:
        """Return the column of a grid time in epoch seconds."""
        return (timestamp - self.start) // STEP_SECONDS

    def to(self, device: torch.device) -> "History":
        """Return the history with all its tensors on ``device``."""
        tensors = ("z", "observed", "week_mean", "calendar", "median", "spread", "identity")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def in_units(self, z: Tensor, rows: Tensor) -> Tensor:
        """Return values in the metrics' units for ``z`` ``(windows, ...)``; window i is of series ``rows[i]``."""
        shape = (-1,) + (1,) * (z.dim() - 1)
        bounded = z.float().clamp(-_LARGEST_Z, _LARGEST_Z)
        return self.median[rows].view(shape) + self.spread[rows].view(shape) * torch.sinh(bounded)

    def seasonal_error(self, until: int) -> Tensor:
        """Return the mean ``|z_t − z_{t−288}|`` of the columns before ``until``, ``(series,)``; NaN without a pair."""
        known = max(0, until - STEPS_PER_DAY)
        now, before = self.z[:, STEPS_PER_DAY:until], self.z[:, :known]
        both = self.observed[:, STEPS_PER_DAY:until] & self.observed[:, :known]
        error = torch.where(both, (now - before).abs(), 0.0)
        count = both.sum(1)
        return torch.where(count > 0, error.sum(1) / count.clamp(min=1), torch.nan)


def asinh(values: Tensor) -> Tensor:
    """Return the inverse hyperbolic sine, with the shape of ``values``."""
    if values.device.type != "cpu":
        return values.asinh()
    # numpy's is vectorised and takes a thirtieth of the time of torch's
    return torch.from_numpy(np.arcsinh(values.numpy()))


@lru_cache(maxsize=1)
def civil_calendar(start: int, columns: int, zone: ZoneInfo) -> Float32:
    """Return ``(columns, 8)``: sines, then cosines of the civil day, half day, week and hour at each grid time."""
    seconds = civil_seconds(start + np.arange(columns, dtype=np.int64) * STEP_SECONDS, zone)
    periods = np.array([86_400, 43_200, 604_800, 3_600])
    angle = 2 * np.pi * (seconds[:, None] % periods) / periods
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def civil_seconds(timestamps: Int64, zone: ZoneInfo) -> Int64:
    """Return the seconds of civil time at ``timestamps`` (epoch seconds, UTC), as if the zone were UTC."""
    civil = pd.DatetimeIndex(timestamps.astype("datetime64[s]")).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return np.asarray(civil.astype("datetime64[s]"), dtype="datetime64[s]").astype(np.int64)


def scale_of(values: Float32) -> tuple[Float32, Float32]:
    """Return the median of each series and the mean absolute deviation from it, ``(series,)`` each, in metric units.

    Without a sample they are 0 and 1. With less than three days of samples the deviation is at least a tenth of the
    absolute median.

    Args:
        values: ``(series, steps)``; NaN is missing.
    """
    # every sixth sample is enough for a median of weeks, and sorting is the cost
    sample = values[:, ::-1][:, ::_SCALE_STRIDE]
    median, spread = _middle_of(sample)
    few = np.isfinite(sample).sum(axis=1) < _FEWEST_SAMPLES
    if few.any():
        median[few], shown = _middle_of(values[few])
        spread[few] = np.maximum(shown, _LEAST_SHARE_OF_LEVEL * np.abs(median[few]))
    return median, spread


def _middle_of(values: Float32) -> tuple[Float32, Float32]:
    sample = np.sort(values, axis=1)
    count = np.isfinite(sample).sum(axis=1)
    middle = np.take_along_axis(sample, (np.maximum(count, 1) // 2)[:, None], axis=1)[:, 0]
    first = np.take_along_axis(sample, np.zeros((len(sample), 1), dtype=np.intp), axis=1)[:, 0]
    median = np.nan_to_num(np.where(count > 1, middle, first))
    deviation = np.abs(sample - median[:, None])
    mean = np.nansum(deviation, axis=1) / np.maximum(count, 1)
    return median.astype(np.float32), np.where(mean > 0, mean, 1.0).astype(np.float32)


def _carry_forward(values: Float32, observed: npt.NDArray[np.bool_]) -> None:
    """Fill each gap in place with the last observed value before it, if there is one."""
    columns = values.shape[1]
    flat, gaps = values.reshape(-1), np.flatnonzero(~observed)
    starts = (np.diff(gaps, prepend=-2) != 1) | (gaps % columns == 0)
    source = np.maximum.accumulate(np.where(starts, gaps, 0)) - 1
    known = (source >= 0) & (source // columns == gaps // columns)
    flat[gaps[known]] = flat[source[known]]


def _week_mean(sparse: Float32, observed: npt.NDArray[np.bool_], first: int) -> Tensor:
    series, columns = sparse.shape
    needed = max(0, first - STEPS_PER_WEEK)
    values = np.where(observed[:, needed:], sparse[:, needed:], np.float32(0))
    mean = np.zeros((series, columns + HORIZON_STEPS), dtype=np.float32)
    days = np.zeros(mean.shape, dtype=np.uint8)
    for shift in range(STEPS_PER_DAY, STEPS_PER_WEEK + 1, STEPS_PER_DAY):
        to = slice(max(first, shift), min(columns + shift, columns + HORIZON_STEPS))
        of = slice(to.start - shift, to.stop - shift)
        mean[:, to] += values[:, of.start - needed : of.stop - needed]
        days[:, to] += observed[:, of]
    with np.errstate(invalid="ignore"):
        mean[:, first:] /= days[:, first:]
    return torch.from_numpy(mean)
