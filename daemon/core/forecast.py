"""What a forecaster returns."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from daemon.core.series import HORIZON_STEPS, STEPS_PER_HOUR, Float32, Panel, SeriesKey

# what is exposed and verified of a path, in steps after the origin
HORIZONS = {
    "30m": STEPS_PER_HOUR // 2,
    "1h": STEPS_PER_HOUR,
    "2h": 2 * STEPS_PER_HOUR,
    "4h": 4 * STEPS_PER_HOUR,
    "8h": HORIZON_STEPS,
}


class ForecastSource(StrEnum):
    """Who made a forecast: a model trained here, the base network of the package, or the climatology."""

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
        sources: who made each row.
        model: id of the model directory that made the rows whose source is ``model``; empty if there is none.
    """

    origin: int
    keys: tuple[SeriesKey, ...]
    paths: Float32
    sources: tuple[ForecastSource, ...]
    model: str = ""

    @property
    def forecasters(self) -> tuple[str, ...]:
        """Who made each row: the id of the model, ``base`` or ``baseline``."""
        return tuple(self.model if source is ForecastSource.MODEL else source.value for source in self.sources)

    @classmethod
    def concatenate(cls, origin: int, parts: Iterable["Forecast"]) -> "Forecast":
        """Return the rows of all ``parts`` as one forecast."""
        taken = [part for part in parts if part.keys]
        if not taken:
            return cls(origin=origin, keys=(), paths=np.empty((0, 0, 0), np.float32), sources=())
        return cls(
            origin=origin,
            keys=tuple(key for part in taken for key in part.keys),
            paths=np.concatenate([part.paths for part in taken]),
            sources=tuple(source for part in taken for source in part.sources),
            model=next((part.model for part in taken if part.model), ""),
        )


class Forecaster(Protocol):
    """Something that forecasts a panel."""

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return quantile paths from ``origin``, using no column after it, for the series that it can serve."""
        ...


QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
QUANTILE_COLUMNS = ("q02", "q10", "q25", "q50", "q75", "q90", "q98")
MEDIAN = QUANTILES.index(0.5)


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


def pinball_loss(actual: Float32, paths: Float32) -> Float32:
    """Return the pinball loss of every value and quantile, ``(..., quantiles)``, in the metric's unit.

    ``max(τ·(y − q), (τ − 1)·(y − q))`` (Koenker and Bassett, 1978); NaN where the actual value is missing.

    Args:
        actual: ``(...)`` observed values.
        paths: ``(..., quantiles)`` forecast at QUANTILES.
    """
    levels = np.asarray(QUANTILES, dtype=np.float32)
    error = actual[..., None] - paths
    return np.maximum(levels * error, (levels - 1) * error)
