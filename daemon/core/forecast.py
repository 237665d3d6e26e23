"""Quantile forecasts: the levels, the horizons, the record, and the protocol of a forecaster."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from daemon.core.series import HORIZON_STEPS, STEPS_PER_HOUR, Float32, Panel, SeriesKey

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
QUANTILE_COLUMNS = ("q02", "q10", "q25", "q50", "q75", "q90", "q98")
MEDIAN = QUANTILES.index(0.5)

HORIZONS = {
    "30m": STEPS_PER_HOUR // 2,
    "1h": STEPS_PER_HOUR,
    "2h": 2 * STEPS_PER_HOUR,
    "4h": 4 * STEPS_PER_HOUR,
    "8h": HORIZON_STEPS,
}
"""The horizons that are shown, exposed and verified, in steps after the origin."""


class ForecasterKind(StrEnum):
    """The kind of forecaster: a model trained here, the base network of the package, or the climatology."""

    MODEL = "model"
    BASE = "base"
    BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Quantile paths of many series from one origin.

    Attributes:
        origin: epoch seconds (UTC) of the last grid time whose data was used.
        keys: the series, one per row.
        paths: ``(series, HORIZON_STEPS, quantiles)`` float32 in the metrics' units, sorted, in physical range.
        kinds: kind of the forecaster of each row.
        model: id of the model directory, for the rows of kind ``model``; empty if there is none.
    """

    origin: int
    keys: tuple[SeriesKey, ...]
    paths: Float32
    kinds: tuple[ForecasterKind, ...]
    model: str = ""

    @property
    def forecasters(self) -> tuple[str, ...]:
        """The forecaster of each row: the id of the model, ``base`` or ``baseline``."""
        return tuple(self.model if kind is ForecasterKind.MODEL else kind.value for kind in self.kinds)

    @classmethod
    def concatenate(cls, origin: int, parts: Iterable["Forecast"]) -> "Forecast":
        """Return the rows of all ``parts`` as one forecast."""
        filled = [part for part in parts if part.keys]
        if not filled:
            none = np.empty((0, HORIZON_STEPS, len(QUANTILES)), np.float32)
            return cls(origin=origin, keys=(), paths=none, kinds=())
        return cls(
            origin=origin,
            keys=tuple(key for part in filled for key in part.keys),
            paths=np.concatenate([part.paths for part in filled]),
            kinds=tuple(kind for part in filled for kind in part.kinds),
            model=next((part.model for part in filled if part.model), ""),
        )


class Forecaster(Protocol):
    """Forecasts the series of a panel."""

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return quantile paths from ``origin`` for the series that it can serve; use no column after ``origin``."""
        ...


def within_range(paths: Float32, minimum: npt.ArrayLike, maximum: npt.ArrayLike) -> Float32:
    """Return quantile paths that do not cross and stay in the physical range.

    Args:
        paths: ``(series, steps, quantiles)`` in the metrics' units.
        minimum: ``(series,)`` lower bounds; −inf where there is none.
        maximum: ``(series,)`` upper bounds; +inf where there is none.
    """
    low = np.asarray(minimum, dtype=np.float32)[:, None, None]
    high = np.asarray(maximum, dtype=np.float32)[:, None, None]
    return np.clip(np.sort(paths, axis=-1), low, high)


def empirical_quantiles(values: Float32) -> Float32:
    """Return QUANTILES of the finite values along the last axis, ``(..., quantiles)``; NaN where there are none.

    Linear between order statistics (Hyndman and Fan, 1996, definition 7).
    """
    ordered = np.sort(values, axis=-1)  # NaN sorts last
    count = np.isfinite(values).sum(axis=-1, keepdims=True)
    position = np.asarray(QUANTILES) * np.maximum(count - 1, 0)
    below = position.astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    low, high = np.take_along_axis(ordered, below, -1), np.take_along_axis(ordered, above, -1)
    interpolated: Float32 = (low + (high - low) * (position - below)).astype(np.float32)
    return interpolated
