"""Scores of quantile forecasts, as the field defines them; pure functions of arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.core.forecast import MEDIAN, QUANTILES, pinball_loss
from daemon.core.series import STEPS_PER_DAY, Float32, Float64


def rating(loss: float) -> str:
    """Return what a quantile loss is called: below 0.10 excellent, 0.20 good, up to 0.30 acceptable.

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


SOUND_COVERAGE = (0.65, 0.95)

INTERVALS = {"50": (0.25, 0.75), "80": (0.1, 0.9), "96": (0.02, 0.98)}
BUCKETS = {"0-30m": (0, 6), "30m-1h": (6, 12), "1h-2h": (12, 24), "2h-4h": (24, 48), "4h-8h": (48, 96)}
_BUCKET_STARTS = [start for start, _ in BUCKETS.values()]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What scores are made of, summed over origins; each array is ``(series, buckets)``, or has intervals last.

    Attributes:
        count: observed values.
        pinball: pinball loss, averaged over QUANTILES.
        error: absolute error of the median.
        actual: absolute value of what was observed.
        inside: ``(series, buckets, intervals)`` observed values inside each of INTERVALS.
        below: ``(series, buckets, quantiles)`` observed values at or below each of QUANTILES.
    """

    count: Float64
    pinball: Float64
    error: Float64
    actual: Float64
    inside: Float64
    below: Float64

    @classmethod
    def zeros(cls, series: int) -> "Sums":
        """Return the sums of nothing."""
        shape = (series, len(BUCKETS))
        count, pinball, error, actual = (np.zeros(shape) for _ in range(4))
        inside, below = np.zeros((*shape, len(INTERVALS))), np.zeros((*shape, len(QUANTILES)))
        return cls(count=count, pinball=pinball, error=error, actual=actual, inside=inside, below=below)

    def add(self, rows: npt.NDArray[np.intp], actual: Float32, paths: Float32) -> None:
        """Add the forecasts of one origin in place.

        Args:
            rows: ``(forecasts,)`` series of each forecast, no two alike.
            actual: ``(forecasts, steps)`` what was observed; NaN is missing and not scored.
            paths: ``(forecasts, steps, quantiles)``.
        """
        seen = np.isfinite(actual)
        self.count[rows] += _by_bucket(seen)
        self.pinball[rows] += _by_bucket(np.where(seen, pinball_loss(actual, paths).mean(axis=-1), 0))
        self.error[rows] += _by_bucket(np.where(seen, np.abs(actual - paths[..., MEDIAN]), 0))
        self.actual[rows] += _by_bucket(np.where(seen, np.abs(actual), 0))
        for position, (lower, upper) in enumerate(INTERVALS.values()):
            low, high = paths[..., QUANTILES.index(lower)], paths[..., QUANTILES.index(upper)]
            self.inside[rows, :, position] += _by_bucket(seen & (actual >= low) & (actual <= high))
        for position in range(len(QUANTILES)):
            self.below[rows, :, position] += _by_bucket(seen & (actual <= paths[..., position]))

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Sums":
        """Return the sums of some of the series."""
        return Sums(
            count=self.count[rows],
            pinball=self.pinball[rows],
            error=self.error[rows],
            actual=self.actual[rows],
            inside=self.inside[rows],
            below=self.below[rows],
        )


def _by_bucket(values: npt.NDArray[np.generic]) -> Float64:
    total: Float64 = np.add.reduceat(values.astype(np.float64), _BUCKET_STARTS, axis=1)
    return total


def seasonal_error(values: Float32) -> Float64:
    """Return the mean absolute error of repeating yesterday, ``(series,)``; 0 where it cannot be measured.

    The denominator of MASE (Hyndman and Koehler, 2006) with a season of a day.
    """
    error = np.abs(values[:, STEPS_PER_DAY:] - values[:, :-STEPS_PER_DAY])
    known = np.isfinite(error)
    mean: Float64 = np.where(known, error, 0).sum(axis=1, dtype=np.float64) / np.maximum(known.sum(axis=1), 1)
    return mean


def scaled_pinball(sums: Sums, scale: Float64) -> float:
    """Return pinball loss over the in-sample seasonal naive error, averaged over series; NaN if none can be scored."""
    return _mean_over_series(sums.pinball, sums.count, scale)


def mase(sums: Sums, scale: Float64) -> float:
    """Return the median's absolute error over the in-sample seasonal naive error, averaged over series."""
    return _mean_over_series(sums.error, sums.count, scale)


def weighted_quantile_loss(sums: Sums) -> float:
    """Return twice the pinball loss over the sum of absolute actual values, over all series."""
    total = sums.actual.sum()
    return float(2 * sums.pinball.sum() / total) if total > 0 else float("nan")


def coverage(sums: Sums) -> dict[str, float]:
    """Return the share of observed values inside each of INTERVALS."""
    count = sums.count.sum()
    shares = sums.inside.sum(axis=(0, 1)) / count if count else np.full(len(INTERVALS), np.nan)
    return dict(zip(INTERVALS, shares.tolist(), strict=True))


def reliability(sums: Sums) -> dict[str, float]:
    """Return the share of observed values at or below each of QUANTILES, by its nominal level."""
    count = sums.count.sum()
    shares = sums.below.sum(axis=(0, 1)) / count if count else np.full(len(QUANTILES), np.nan)
    return {str(level): share for level, share in zip(QUANTILES, shares.tolist(), strict=True)}


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


def bucket(sums: Sums, name: str) -> Sums:
    """Return the sums of one of the horizon BUCKETS."""
    chosen = [list(BUCKETS).index(name)]
    return Sums(
        count=sums.count[:, chosen],
        pinball=sums.pinball[:, chosen],
        error=sums.error[:, chosen],
        actual=sums.actual[:, chosen],
        inside=sums.inside[:, chosen],
        below=sums.below[:, chosen],
    )


def _mean_over_series(total: Float64, count: Float64, scale: Float64) -> float:
    values, counts = total.sum(axis=1), count.sum(axis=1)
    known = (counts > 0) & (scale > 0)
    return float((values[known] / counts[known] / scale[known]).mean()) if known.any() else float("nan")
