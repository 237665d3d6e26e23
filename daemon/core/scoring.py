"""The scoring engine: quantile forecasts against observed values, as pure functions of arrays.

``Sums`` holds the sums that every score is made of; the functions after it make scores of them. The backtest, the
evaluation of a trained model, its promotion gate and the verification of served forecasts all score with this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from daemon.core.forecast import HORIZONS, MEDIAN, QUANTILES
from daemon.core.series import STEPS_PER_DAY, Bool, Float32, Float64

INTERVALS = {"50": (0.25, 0.75), "80": (0.1, 0.9), "96": (0.02, 0.98)}
"""Central prediction intervals by their nominal coverage in percent: lower and upper quantile."""

BUCKETS = {
    f"{previous}-{name}": (first, last) for (previous, first), (name, last) in pairwise({"0": 0, **HORIZONS}.items())
}
"""Parts of the horizon between consecutive HORIZONS: first step and the step after the last."""

SOUND_COVERAGE = (0.65, 0.95)
"""Bounds of the coverage of the 80 % interval of a sound model."""

_BUCKET_STARTS = tuple(first for first, _ in BUCKETS.values())


def pinball(actual: Float32, paths: Float32) -> Float32:
    """Return the pinball loss of every value and quantile, ``(..., quantiles)``, in the metric's unit.

    ``max(τ·(y − q), (τ − 1)·(y − q))`` (Koenker and Bassett, 1978); NaN where the observed value is missing.

    Args:
        actual: ``(...)`` observed values.
        paths: ``(..., quantiles)`` forecast at QUANTILES.
    """
    levels = np.asarray(QUANTILES, dtype=np.float32)
    error = actual[..., None] - paths
    return np.maximum(levels * error, (levels - 1) * error)


def inside(actual: Float32, paths: Float32, interval: str) -> Bool:
    """Return whether each observed value lies in one of INTERVALS, ``(...)``; False where it is missing."""
    low, high = (paths[..., QUANTILES.index(level)] for level in INTERVALS[interval])
    return np.asarray((actual >= low) & (actual <= high))


def seasonal_error(values: Float32) -> Float64:
    """Return the mean absolute error of repeating yesterday, ``(series,)``; 0 where it cannot be measured.

    The denominator of MASE (Hyndman and Koehler, 2006) with a season of a day.
    """
    error = np.abs(values[:, STEPS_PER_DAY:] - values[:, :-STEPS_PER_DAY])
    known = np.isfinite(error)
    mean: Float64 = np.where(known, error, 0).sum(axis=1, dtype=np.float64) / np.maximum(known.sum(axis=1), 1)
    return mean


@dataclass(frozen=True, kw_only=True)
class Sums:
    """The sums that scores are made of; every array is ``(series, columns, ...)``, a column a part of the horizon.

    Attributes:
        count: number of observed values.
        pinball: pinball loss, averaged over QUANTILES.
        error: absolute error of the median.
        actual: absolute observed value.
        inside: ``(series, columns, intervals)`` number of observed values inside each of INTERVALS.
        below: ``(series, columns, quantiles)`` number of observed values at or below each of QUANTILES.
    """

    count: Float64
    pinball: Float64
    error: Float64
    actual: Float64
    inside: Float64
    below: Float64

    @classmethod
    def zeros(cls, series: int) -> "Sums":
        """Return empty sums with a column for each of BUCKETS."""
        shape = (series, len(BUCKETS))
        count, loss, error, actual = (np.zeros(shape) for _ in range(4))
        within, below = np.zeros((*shape, len(INTERVALS))), np.zeros((*shape, len(QUANTILES)))
        return cls(count=count, pinball=loss, error=error, actual=actual, inside=within, below=below)

    @classmethod
    def of(cls, actual: Float32, paths: Float32, first_steps: Sequence[int] = _BUCKET_STARTS) -> "Sums":
        """Return the sums of one forecast per series.

        Args:
            actual: ``(series, steps)`` observed values; NaN is missing and not scored.
            paths: ``(series, steps, quantiles)``.
            first_steps: index of the first step of each column.
        """
        observed = np.isfinite(actual)

        def by_column(values: npt.NDArray[np.generic]) -> Float64:
            total: Float64 = np.add.reduceat(values.astype(np.float64), first_steps, axis=1)
            return total

        return cls(
            count=by_column(observed),
            pinball=by_column(np.where(observed, pinball(actual, paths).mean(axis=-1), 0)),
            error=by_column(np.where(observed, np.abs(actual - paths[..., MEDIAN]), 0)),
            actual=by_column(np.where(observed, np.abs(actual), 0)),
            inside=np.stack([by_column(inside(actual, paths, interval)) for interval in INTERVALS], axis=-1),
            below=np.stack([by_column(actual <= paths[..., level]) for level in range(len(QUANTILES))], axis=-1),
        )

    def add(self, rows: npt.NDArray[np.intp], actual: Float32, paths: Float32) -> None:
        """Add the forecasts of one origin in place.

        Args:
            rows: ``(forecasts,)`` series of each forecast, all different.
            actual: ``(forecasts, steps)`` observed values; NaN is missing and not scored.
            paths: ``(forecasts, steps, quantiles)``.
        """
        for name, added in vars(Sums.of(actual, paths)).items():
            getattr(self, name)[rows] += added

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Sums":
        """Return the sums of some of the series."""
        return Sums(**{name: values[rows] for name, values in vars(self).items()})

    def bucket(self, name: str) -> "Sums":
        """Return the sums of one of BUCKETS."""
        column = list(BUCKETS).index(name)
        return Sums(**{each: values[:, column : column + 1] for each, values in vars(self).items()})


def scaled_pinball(sums: Sums, scale: Float64) -> float:
    """Return pinball loss over the in-sample seasonal naive error, averaged over series; NaN if none can be scored."""
    return _mean_over_series(sums.pinball, sums.count, scale)


def mase(sums: Sums, scale: Float64) -> float:
    """Return the median's absolute error over the in-sample seasonal naive error, averaged over series."""
    return _mean_over_series(sums.error, sums.count, scale)


def weighted_quantile_loss(sums: Sums) -> float:
    """Return twice the pinball loss over the sum of absolute observed values, over all series."""
    total = sums.actual.sum()
    return float(2 * sums.pinball.sum() / total) if total > 0 else float("nan")


def coverage(sums: Sums) -> dict[str, float]:
    """Return the share of observed values inside each of INTERVALS."""
    return dict(zip(INTERVALS, _shares(sums.inside, sums.count), strict=True))


def reliability(sums: Sums) -> dict[str, float]:
    """Return the share of observed values at or below each of QUANTILES, by its nominal level."""
    return dict(zip(map(str, QUANTILES), _shares(sums.below, sums.count), strict=True))


def relative_loss(sums: Sums, reference: Sums) -> float:
    """Return the geometric mean over series of the ratio of pinball losses; NaN if no series can be compared.

    Series on which either loss is 0 are left out.
    """
    ratio = series_ratio(sums, reference)
    known = np.isfinite(ratio)
    return float(np.exp(np.log(ratio[known]).mean())) if known.any() else float("nan")


def series_ratio(sums: Sums, reference: Sums) -> Float64:
    """Return each series' ratio of pinball losses, ``(series,)``; NaN where it has none."""
    loss, other = sums.pinball.sum(axis=1), reference.pinball.sum(axis=1)
    known = (loss > 0) & (other > 0) & (sums.count.sum(axis=1) > 0)
    return np.where(known, loss / np.where(known, other, 1), np.nan)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """All scores of one forecaster over a group of series; NaN where a score cannot be measured.

    Attributes:
        relative_loss: pinball loss relative to the reference, geometric mean over series.
        scaled_pinball: pinball loss over the in-sample seasonal naive error, mean over series.
        weighted_quantile_loss: twice the pinball loss over the sum of absolute observed values.
        mase: absolute error of the median over the in-sample seasonal naive error, mean over series.
        coverage: share of observed values inside each of INTERVALS.
        reliability: share of observed values at or below each of QUANTILES.
        relative_loss_by_horizon: relative loss in each of BUCKETS.
    """

    relative_loss: float
    scaled_pinball: float
    weighted_quantile_loss: float
    mase: float
    coverage: dict[str, float]
    reliability: dict[str, float]
    relative_loss_by_horizon: dict[str, float]


def accuracy(sums: Sums, reference: Sums, scale: Float64) -> Accuracy:
    """Return all scores of ``sums``.

    Args:
        sums: of the forecaster.
        reference: of the forecaster that it is compared with, on the same values.
        scale: ``(series,)`` in-sample seasonal naive error.
    """
    return Accuracy(
        relative_loss=relative_loss(sums, reference),
        scaled_pinball=scaled_pinball(sums, scale),
        weighted_quantile_loss=weighted_quantile_loss(sums),
        mase=mase(sums, scale),
        coverage=coverage(sums),
        reliability=reliability(sums),
        relative_loss_by_horizon={name: relative_loss(sums.bucket(name), reference.bucket(name)) for name in BUCKETS},
    )


def rating(loss: float) -> str:
    """Return the rating of a scaled pinball loss: below 0.10 excellent, 0.20 good, up to 0.30 acceptable.

    Raises:
        ValueError: ``loss`` is negative or not a number.
    """
    if not loss >= 0:
        raise ValueError(f"a quantile loss of {loss} cannot be rated: it must be 0 or more")
    if loss < 0.10:
        return "excellent"
    if loss < 0.20:
        return "good"
    return "acceptable" if loss <= 0.30 else "needs improvement"


def _mean_over_series(total: Float64, count: Float64, scale: Float64) -> float:
    values, counts = total.sum(axis=1), count.sum(axis=1)
    known = (counts > 0) & (scale > 0)
    return float((values[known] / counts[known] / scale[known]).mean()) if known.any() else float("nan")


def _shares(part: Float64, count: Float64) -> list[float]:
    """Return the share of ``part`` on its last axis, summed over series and columns; NaN of nothing."""
    total = count.sum()
    shares: list[float] = (part.sum(axis=(0, 1)) / total if total else np.full(part.shape[-1], np.nan)).tolist()
    return shares
