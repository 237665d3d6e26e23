"""How well a forecaster foresees breaches: the one meaning of "accuracy"."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from daemon.domain.breach import QUIET_STEPS, breaches, past
from daemon.domain.forecast import Forecast
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS
from daemon.domain.metric import Metric
from daemon.domain.quantiles import MEDIAN
from daemon.domain.series import Panel


class IncidentCounts:
    """How well median paths foretell, per metric, whether it will breach its critical threshold within 8 h.

    Counted are the series that were not past the threshold in the 2 h before the origin. A metric without a threshold
    is left out.
    """

    def __init__(self, panel: Panel, metrics: Mapping[str, Metric]) -> None:
        self._panel = panel
        self._metrics = {name: each for name, each in metrics.items() if each.thresholds.critical is not None}
        self._row_of = {key: row for row, key in enumerate(panel.keys)}
        self._counts = {name: np.zeros(4, dtype=int) for name in self._metrics}

    def add(self, forecast: Forecast) -> None:
        """Judge a forecast by what came after it."""
        origin, panel = forecast.origin, self._panel
        after = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values
        before = panel.between(origin - (QUIET_STEPS - 1) * STEP_SECONDS, origin).values
        for name, metric in self._metrics.items():
            chosen = [row for row, key in enumerate(forecast.keys) if key.metric == name]
            rows = [self._row_of[forecast.keys[row]] for row in chosen]
            threshold, direction = float(metric.thresholds.critical or 0.0), metric.direction
            quiet = ~past(before[rows], threshold, direction).any(axis=1)
            actual = breaches(after[rows], threshold, direction)[quiet]
            foreseen = breaches(forecast.paths[chosen][..., MEDIAN], threshold, direction)[quiet]
            hits, false, missed = (foreseen & actual).sum(), (foreseen & ~actual).sum(), (~foreseen & actual).sum()
            self._counts[name] += [hits, false, missed, (~foreseen & ~actual).sum()]

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return the figures of each metric; a ratio that nothing was counted for is NaN."""
        return {name: _figures(*count.tolist()) for name, count in self._counts.items() if count.sum()}


def _figures(hits: int, false: int, missed: int, quiet: int) -> dict[str, Any]:
    recall, specificity = _ratio(hits, hits + missed), _ratio(quiet, quiet + false)
    return {
        "windows": hits + false + missed + quiet,
        "breaches": hits + missed,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": _ratio(hits, hits + false),
        "recall": recall,
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
