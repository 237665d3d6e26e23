"""The scores of incidents: the incident of a breach, whether it was predictable, and the lead time of its alert."""

from dataclasses import replace

import numpy as np

from daemon.breach.definition import MonitoredThreshold, Severity
from daemon.breach.features import FEATURES
from daemon.breach.windows import Examples
from daemon.config.alerting import AlertingConfig
from daemon.core.metric import Direction
from daemon.core.series import Panel, SeriesKey
from daemon.simulation.incident import Incident
from tests.benchmarks.incident_scores import (
    alerts_firing,
    causes,
    during_incidents,
    outcomes,
    predictable,
    without_repairs,
)

LEAK = Incident(
    server="a", kind="memory_leak", metric="m", start=6_000, breach=18_000, end=20_000, cause="", precursor=True
)
SURGE = Incident(
    server="b", kind="traffic_surge", metric="m", start=9_000, breach=9_000, end=12_000, cause="", precursor=False
)
CRITICAL = {"memory_leak": 1.0, "traffic_surge": 1.0}


def windows(*rows: tuple[str, int, int]) -> Examples:
    """Return windows of (server, origin, first step of the breach; 0 without one)."""
    monitored = tuple(
        MonitoredThreshold(SeriesKey(server, "m"), Severity.CRITICAL, 1, Direction.ABOVE, "generic")
        for server, _, _ in rows
    )
    onset, origins = np.array([row[2] for row in rows]), np.array([row[1] for row in rows])
    return Examples(np.zeros((len(rows), len(FEATURES))), onset, monitored, origins)


def test_a_breach_belongs_to_the_incident_of_its_time_and_server() -> None:
    """An incident of another server or one that has ended is not its cause."""
    found = windows(("a", 0, 60), ("a", 0, 0), ("b", 0, 30), ("b", 12_000, 10), ("c", 0, 60))
    assert causes(found, [LEAK, SURGE]) == [LEAK, None, SURGE, None, None]


def test_a_breach_of_a_started_incident_with_precursor_is_predictable() -> None:
    """A breach before the start of its incident, or without a precursor, is not predictable."""
    found = windows(("a", 3_000, 50), ("a", 6_000, 40), ("b", 9_000, 1), ("a", 6_000, 0))
    assert predictable(found, causes(found, [LEAK, SURGE])).tolist() == [False, True, False, False]


def test_the_first_alert_during_an_incident_counts() -> None:
    """An alert before its start or after its breach does not count."""
    found = windows(("a", 3_000, 50), ("a", 9_000, 30), ("a", 12_000, 20), ("b", 9_000, 1))
    results = outcomes(found, [LEAK, SURGE], CRITICAL, np.array([True, False, True, False]))
    assert {one.incident: (one.breached, one.lead_seconds) for one in results} == {
        LEAK: (True, 6_000),
        SURGE: (True, None),
    }


def test_an_alert_of_an_incident_without_a_breach_is_false() -> None:
    """A breach after its end is not its own; other thresholds and metrics have no outcome."""
    found = windows(("a", 9_000, 0), ("a", 19_000, 50), ("b", 9_000, 1))
    results = outcomes(found, [LEAK, SURGE], {"memory_leak": 1, "traffic_surge": 0.5}, np.array([True, True, True]))
    assert [(one.incident, one.breached, one.predicted) for one in results] == [(LEAK, False, True)]


def test_a_repaired_incident_is_scored_without_its_repair() -> None:
    """Without the repair it breaches; an incident without a repair does not change."""
    found = windows(("a", 9_000, 0), ("b", 9_000, 0))
    results = outcomes(found, [LEAK, SURGE], CRITICAL, np.array([True, True]))
    values = np.zeros((2, 100), np.float32)
    values[:, 80:] = 2
    panel = Panel((SeriesKey("a", "m"), SeriesKey("b", "m")), 0, values)
    unrepaired = without_repairs(results, panel, [replace(LEAK, end=29_000), SURGE])
    assert [(one.breach, one.lead_seconds) for one in unrepaired] == [(24_000, 15_000), (None, None)]


def test_an_alert_needs_enough_of_the_last_ticks() -> None:
    """Two of the last three ticks of one server are needed."""
    found = windows(*((server, 300 * step, 0) for step, server in enumerate("aabaabaaa")))
    predicted = np.array([True, True, True, False, True, False, True, True, False])
    fires = alerts_firing(found, predicted, AlertingConfig(raise_ticks=2, raise_window=3))
    assert np.flatnonzero(fires).tolist() == [1, 6, 7]


def test_active_incidents_are_scored_on_their_metric() -> None:
    """At a time without an incident there is no series; at others there are the series of the active incidents."""
    keys = (SeriesKey("a", "m"), SeriesKey("a", "other"), SeriesKey("b", "m"))
    panel = Panel(keys, 0, np.zeros((3, 100), np.float32))
    found = {at: part.keys for at, part in during_incidents(panel, [LEAK, SURGE], range(3_000, 21_001, 3_000))}
    alone, both = keys[:1], (keys[0], keys[2])
    assert found == {6_000: alone, 9_000: both, 12_000: both, 15_000: alone, 18_000: alone}
