"""What a forecaster returns."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_HOUR
from daemon.domain.series import Float32, SeriesKey

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


@dataclass(frozen=True)
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
            return cls(origin, (), np.empty((0, 0, 0), np.float32), ())
        return cls(
            origin,
            tuple(key for part in taken for key in part.keys),
            np.concatenate([part.paths for part in taken]),
            tuple(source for part in taken for source in part.sources),
            next((part.model for part in taken if part.model), ""),
        )
