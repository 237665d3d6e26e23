from dataclasses import dataclass

import numpy as np
import pytest

from daemon.domain.forecast import Forecast, ForecastSource
from daemon.domain.metric import Metric, Thresholds
from daemon.domain.series import Panel, SeriesKey
from daemon.learning.incidents import IncidentCounts
from tests.panels import START

METRICS = {"cpu": Metric("cpu", thresholds=Thresholds(critical=90)), "net": Metric("net")}
KEYS = (*(SeriesKey(f"s{number}", "cpu") for number in range(5)), SeriesKey("s0", "net"))


@dataclass(frozen=True)
class Case:
    """A history of 3 h and 8 h of future, in which some series breach."""

    panel: Panel
    origin: int


def case() -> Case:
    values = np.full((6, 36 + 96), 50, dtype=np.float32)
    values[0, 60:70] = 95
    values[1, 60:70] = 95
    values[4, 20:70] = 95
    return Case(Panel(KEYS, START, values), START + 35 * 300)


def test_accuracy_is_counted_where_nothing_was_wrong_yet() -> None:
    """One breach foreseen, one missed, one false alarm, one quiet; a series already past the threshold is left out."""
    given = case()
    paths = np.full((6, 96, 7), 50, dtype=np.float32)
    paths[0, 10:20] = 95
    paths[2, 10:20] = 95
    counts = IncidentCounts(given.panel, METRICS)
    counts.add(Forecast(given.origin, KEYS, paths, (ForecastSource.MODEL,) * 6))
    figures = counts.figures()
    assert set(figures) == {"cpu"}
    assert figures["cpu"] == {
        "windows": 4,
        "breaches": 2,
        "balanced_accuracy": pytest.approx(0.5),
        "precision": 0.5,
        "recall": 0.5,
    }
