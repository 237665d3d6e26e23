"""A trained network as a forecaster: from a panel in the metrics' units to quantile paths in the same units."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import torch

from daemon.core.forecast import QUANTILES, Forecast, ForecasterKind, within_range
from daemon.core.metric import Metric, bounds
from daemon.core.series import (
    HORIZON_STEPS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
    STEPS_PER_WEEK,
    Float32,
    Panel,
)
from daemon.network.calibration import stretch_paths
from daemon.network.history import RECENT_STEPS, History
from daemon.network.inputs import slice_windows
from daemon.network.model import TemporalFusionTransformer

HISTORY_STEPS = 4 * STEPS_PER_WEEK
"""Steps up to an origin that a forecast uses."""
MINIMUM_HISTORY_STEPS = STEPS_PER_HOUR
"""Age of the oldest sample that a series needs, in steps, the origin included."""
_SERIES_AT_ONCE = 128


@dataclass(frozen=True, kw_only=True)
class NetworkForecaster:
    """Forecasts series with a network.

    A series needs a metric of the vocabulary, an hour of history, and a sample in the last day.

    Attributes:
        network: computes the paths in window units.
        vocabulary: names of the metrics that it can forecast; None is any metric.
        metrics: physical ranges by metric name.
        zone: civil time zone of the calendar.
        model: id of the model in its forecasts.
        kind: kind of forecaster in its forecasts.
        stretch: calibration factor of each quantile; None is no calibration.
    """

    network: TemporalFusionTransformer
    vocabulary: tuple[str, ...] | None
    metrics: Mapping[str, Metric]
    zone: ZoneInfo
    model: str
    kind: ForecasterKind = ForecasterKind.MODEL
    stretch: tuple[float, ...] | None = None

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths from ``origin`` for the series that it can forecast; it uses the 28 days up to ``origin``.

        Args:
            panel: the history, in the metrics' units.
            origin: epoch seconds of a grid time.
        """
        known = panel.between(origin - (HISTORY_STEPS - 1) * STEP_SECONDS, origin)
        rows = np.flatnonzero(self._can_serve(known))
        parts = [rows[first : first + _SERIES_AT_ONCE] for first in range(0, len(rows), _SERIES_AT_ONCE)]
        none = np.empty((0, HORIZON_STEPS, len(QUANTILES)), dtype=np.float32)
        # threads with their own series do not wait for each other, as the threads inside torch do
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            paths = np.concatenate([none, *threads.map(lambda part: self._paths(known.select(part)), parts)])
        keys = tuple(known.keys[row] for row in rows)
        return Forecast(origin=origin, keys=keys, paths=paths, kinds=(self.kind,) * len(keys), model=self.model)

    def _can_serve(self, panel: Panel) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        seen = np.isfinite(panel.values)
        old_enough = seen[:, : -MINIMUM_HISTORY_STEPS + 1].any(axis=1)
        known = None if self.vocabulary is None else set(self.vocabulary)
        in_vocabulary = np.array([known is None or key.metric in known for key in panel.keys], dtype=bool)
        return old_enough & seen[:, -STEPS_PER_DAY:].any(axis=1) & in_vocabulary

    def _paths(self, panel: Panel) -> Float32:
        device = next(self.network.parameters()).device
        names = self.network.identity.vocabulary
        history = History.from_panel(panel, self.zone, first_origin=panel.end, vocabulary=names).to(device)
        rows = torch.arange(len(panel.keys), device=device)
        with torch.inference_mode():
            windows = slice_windows(history, rows, torch.full_like(rows, history.columns - 1))
            paths = self.network(windows)
            if self.stretch is not None:
                paths = stretch_paths(paths, torch.tensor(self.stretch, device=device))
            z = windows.centre[:, None, None] + windows.scale[:, None, None] * paths
            values = history.in_units(z, rows).cpu().numpy()
        recent = panel.values[:, -RECENT_STEPS:]
        lowest, highest = np.fmin.reduce(recent, axis=1), np.fmax.reduce(recent, axis=1)
        # the residual of the network is never exactly 0, and such a series has this one value in all inputs
        values = np.where((lowest == highest)[:, None, None], highest[:, None, None], values)
        return within_range(values, *bounds(panel, self.metrics))
