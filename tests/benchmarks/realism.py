"""Unit-free properties of a fleet's history, one value per series."""

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from daemon.core.series import STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK, Float32, Panel

Figures = npt.NDArray[np.float64]

_LAGS = {"1 h": STEPS_PER_HOUR, "8 h": 8 * STEPS_PER_HOUR, "1 d": STEPS_PER_DAY, "7 d": STEPS_PER_WEEK}
_CLEAR_STEPS = 2 * STEPS_PER_HOUR
_LASTING_STEPS = 3


def figures(panel: Panel) -> Mapping[str, Figures]:
    """Return each property by name: one value per varying series; the correlation has one per pair of series."""
    rows = [row for row, series in enumerate(panel.values) if _varies(series)]
    values = panel.values[rows].astype(np.float64)
    measures: dict[str, Callable[[Float32], float]] = {
        "coefficient of variation": lambda y: float(np.nanstd(y) / abs(np.nanmean(y))),
        "skewness": lambda y: float(np.nanmean(((y - np.nanmean(y)) / np.nanstd(y)) ** 3)),
        "99 % quantile minus median, in interquartile ranges": _tail,
        "share of time at the lowest value": lambda y: float((y <= np.nanmin(y)).sum() / np.isfinite(y).sum()),
        **{f"autocorrelation, {name}": lambda y, lag=lag: _autocorrelation(y, lag) for name, lag in _LAGS.items()},
        "burstiness: kurtosis of the changes": lambda y: _kurtosis(np.diff(y)),
        "burstiness: share of changes above 3 standard deviations": lambda y: _large(np.diff(y)),
        "largest change of the daily mean, in standard deviations": _shift,
    }
    found = {name: np.array([measure(y) for y in values]) for name, measure in measures.items()}
    missing = ~np.isfinite(panel.values)
    found["missing samples"] = missing.mean(axis=1)
    found["correlation of a server's metrics"] = np.array(list(_correlations(panel)))
    found["events per server and week"] = _events(panel)
    return found


def _varies(series: Float32) -> bool:
    known = series[np.isfinite(series)]
    return len(known) > 2 * STEPS_PER_WEEK and bool(np.nanmin(known) < np.nanmax(known)) and abs(known.mean()) > 0


def _tail(y: Float32) -> float:
    low, middle, high, top = np.nanquantile(y, [0.25, 0.5, 0.75, 0.99])
    return float((top - middle) / (high - low)) if high > low else float("nan")


def _autocorrelation(y: Float32, lag: int) -> float:
    before, after = y[:-lag], y[lag:]
    known = np.isfinite(before) & np.isfinite(after)
    before, after = before[known], after[known]
    if len(before) < STEPS_PER_DAY or before.std() == 0 or after.std() == 0:
        return float("nan")
    return float(np.corrcoef(before, after)[0, 1])


def _kurtosis(change: Float32) -> float:
    known = change[np.isfinite(change)]
    deviation = known.std()
    return float((((known - known.mean()) / deviation) ** 4).mean()) if deviation > 0 else float("nan")


def _large(change: Float32) -> float:
    known = change[np.isfinite(change)]
    deviation = known.std()
    return float((np.abs(known - known.mean()) > 3 * deviation).mean()) if deviation > 0 else float("nan")


def _shift(y: Float32) -> float:
    """Return the largest difference between the means of two consecutive days, in standard deviations of the series."""
    days = y[: len(y) // STEPS_PER_DAY * STEPS_PER_DAY].reshape(-1, STEPS_PER_DAY)
    known = np.isfinite(days).sum(axis=1) > STEPS_PER_DAY // 2
    means = np.where(known, np.nansum(days, axis=1) / np.maximum(np.isfinite(days).sum(axis=1), 1), np.nan)
    return float(np.nanmax(np.abs(np.diff(means))) / np.nanstd(y))


def _correlations(panel: Panel) -> "list[float]":
    by_server: dict[str, list[int]] = {}
    for row, key in enumerate(panel.keys):
        if _varies(panel.values[row]):
            by_server.setdefault(key.server, []).append(row)
    found = []
    for own in by_server.values():
        for one, other in combinations(own, 2):
            first, second = panel.values[one].astype(np.float64), panel.values[other].astype(np.float64)
            known = np.isfinite(first) & np.isfinite(second)
            if known.sum() > STEPS_PER_WEEK and first[known].std() > 0 and second[known].std() > 0:
                found.append(abs(float(np.corrcoef(first[known], second[known])[0, 1])))
    return found


def _events(panel: Panel) -> Figures:
    """Return the events per week of each server, the mean over its series.

    An event is 15 minutes above the 99 % quantile of the series, after two hours below it.
    """
    weeks = panel.steps / STEPS_PER_WEEK
    by_server: dict[str, list[float]] = {}
    for row, key in enumerate(panel.keys):
        series = panel.values[row]
        if _varies(series):
            above = series > np.nanquantile(series, 0.99)
            by_server.setdefault(key.server, []).append(_onsets(above) / weeks)
    return np.array([np.mean(counts) for counts in by_server.values()])


def _onsets(above: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above.astype(np.int8), [0]])))
    count, clear_since = 0, -_CLEAR_STEPS
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        count += stop - start >= _LASTING_STEPS and start - clear_since >= _CLEAR_STEPS
        clear_since = stop
    return count
