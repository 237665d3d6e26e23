"""What forecasts that were served turned out to be worth, once their time had come."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from daemon.domain.forecast import HORIZONS, Forecast
from daemon.domain.grid import STEP_SECONDS
from daemon.domain.quantiles import QUANTILES, pinball_loss
from daemon.domain.scores import INTERVALS, seasonal_error
from daemon.domain.series import Float32, Float64, Panel, SeriesKey

Key = TypeVar("Key", bound=Hashable)

# a series that hardly ever moved must not outweigh the others on the day that it does
_LEAST_SCALE = 0.1


@dataclass(frozen=True)
class KeptForecast:
    """A forecast that waits for its time to come, at HORIZONS only.

    Attributes:
        origin: epoch seconds of the last grid time whose data was used.
        keys: the series, one per row.
        paths: ``(series, horizons, quantiles)`` float32, in the metrics' units.
        forecasters: who made each row: the id of a model, ``base`` or ``baseline``.
    """

    origin: int
    keys: tuple[SeriesKey, ...]
    paths: Float32
    forecasters: tuple[str, ...]

    @classmethod
    def of(cls, forecast: Forecast) -> "KeptForecast":
        """Return what is kept of a forecast."""
        return cls(forecast.origin, forecast.keys, at_horizons(forecast), forecast.forecasters)


@dataclass(frozen=True)
class Tally:
    """Sums over the values that forecasts were compared with.

    Attributes:
        count: of the values.
        pinball: pinball loss over QUANTILES, in units of the series' seasonal naive error.
        naive: seasonal naive's, on the same values.
        baseline: the climatology's, on the same values.
        inside: how many values lay inside each of INTERVALS.
    """

    count: int = 0
    pinball: float = 0.0
    naive: float = 0.0
    baseline: float = 0.0
    inside: tuple[int, ...] = (0,) * len(INTERVALS)

    def __add__(self, other: "Tally") -> "Tally":
        """Return the tally of both."""
        return Tally(
            self.count + other.count,
            self.pinball + other.pinball,
            self.naive + other.naive,
            self.baseline + other.baseline,
            tuple(one + another for one, another in zip(self.inside, other.inside, strict=True)),
        )

    @property
    def skill(self) -> float | None:
        """Pinball loss relative to seasonal naive's, below 1 is better; None where nothing can be compared."""
        return self.pinball / self.naive if self.naive > 0 else None

    @property
    def against_baseline(self) -> float | None:
        """Pinball loss relative to the climatology's; None where nothing can be compared."""
        return self.pinball / self.baseline if self.baseline > 0 else None

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the values inside each of INTERVALS; empty where there are none."""
        if not self.count:
            return {}
        return {name: inside / self.count for name, inside in zip(INTERVALS, self.inside, strict=True)}


@dataclass(frozen=True)
class LiveScore:
    """What the forecasts of one origin, forecaster, metric and horizon came to.

    Attributes:
        origin: epoch seconds.
        forecaster: the id of a model, ``base`` or ``baseline``.
        metric: its name.
        horizon: one of HORIZONS.
        tally: over the servers.
    """

    origin: int
    forecaster: str
    metric: str
    horizon: str
    tally: Tally


def grouped(scores: Iterable[LiveScore], key: Callable[[LiveScore], Key]) -> dict[Key, Tally]:
    """Return the tally of the ``scores`` of each ``key``."""
    tallies: dict[Key, Tally] = {}
    for score in scores:
        tallies[key(score)] = tallies.get(key(score), Tally()) + score.tally
    return tallies


def total(scores: Iterable[LiveScore]) -> Tally:
    """Return the tally of all ``scores``."""
    return sum((score.tally for score in scores), Tally())


def at_horizons(forecast: Forecast) -> Float32:
    """Return the paths at HORIZONS, ``(series, horizons, quantiles)``."""
    if not forecast.keys:
        return np.empty((0, len(HORIZONS), len(QUANTILES)), np.float32)
    return np.ascontiguousarray(forecast.paths[:, [steps - 1 for steps in HORIZONS.values()]])


def scored(kept: KeptForecast, panel: Panel, naive: Forecast, baseline: Forecast) -> list[LiveScore]:
    """Return what ``kept`` came to, by forecaster, metric and horizon.

    A series that never changed is left out: whatever forecasts it is right, and says nothing of the others.

    Args:
        kept: the forecast.
        panel: the history, from before its origin until after its last horizon.
        naive: seasonal naive's forecast from the same origin.
        baseline: the climatology's.
    """
    row_of = {key: row for row, key in enumerate(panel.keys)}
    by_naive, by_baseline = ({key: row for row, key in enumerate(each.keys)} for each in (naive, baseline))
    shared = [row for row, key in enumerate(kept.keys) if key in row_of and key in by_naive and key in by_baseline]
    keys = [kept.keys[row] for row in shared]
    ours = panel.select([row_of[key] for key in keys])
    times = [(kept.origin + steps * STEP_SECONDS - panel.start) // STEP_SECONDS for steps in HORIZONS.values()]
    actual = ours.values[:, times]
    metrics = np.array([key.metric for key in keys], dtype=object)
    scale = _scales(seasonal_error(ours.between(panel.start, kept.origin).values), metrics)
    known = np.isfinite(actual) & (scale > 0)[:, None]
    paths = kept.paths[shared]

    def loss(of: Float32) -> Float64:
        raw = pinball_loss(actual, of).mean(axis=-1)
        return np.where(known, raw / np.where(scale > 0, scale, 1)[:, None], 0)

    losses = (
        loss(paths),
        loss(at_horizons(naive)[[by_naive[key] for key in keys]]),
        loss(at_horizons(baseline)[[by_baseline[key] for key in keys]]),
    )
    inside = [known & _between(actual, paths, *levels) for levels in INTERVALS.values()]
    forecasters = np.array([kept.forecasters[row] for row in shared], dtype=object)
    return list(_by_group(kept.origin, forecasters, metrics, known, losses, inside))


def _scales(errors: Float64, metrics: npt.NDArray[np.object_]) -> Float64:
    """Return each series' seasonal naive error, not far below the median of its metric; 0 where it never changed."""
    floors = np.zeros(len(errors))
    for metric in set(metrics):
        rows = (metrics == metric) & (errors > 0)
        floors[rows] = _LEAST_SCALE * np.median(errors[rows]) if rows.any() else 0
    return np.where(errors > 0, np.maximum(errors, floors), 0)


def _between(actual: Float32, paths: Float32, lower: float, upper: float) -> npt.NDArray[np.bool_]:
    low, high = paths[..., QUANTILES.index(lower)], paths[..., QUANTILES.index(upper)]
    within: npt.NDArray[np.bool_] = (actual >= low) & (actual <= high)
    return within


def _by_group(
    origin: int,
    forecasters: npt.NDArray[np.object_],
    metrics: npt.NDArray[np.object_],
    known: npt.NDArray[np.bool_],
    losses: tuple[Float64, ...],
    inside: list[npt.NDArray[np.bool_]],
) -> Iterator[LiveScore]:
    for forecaster, metric in product(sorted(set(forecasters)), sorted(set(metrics))):
        rows = (forecasters == forecaster) & (metrics == metric)
        for column, horizon in enumerate(HORIZONS):
            count = int(known[rows, column].sum())
            if count:
                pinball, naive, baseline = (float(each[rows, column].sum()) for each in losses)
                within = tuple(int(each[rows, column].sum()) for each in inside)
                tally = Tally(count, pinball, naive, baseline, within)
                yield LiveScore(origin, forecaster, metric, horizon, tally)
