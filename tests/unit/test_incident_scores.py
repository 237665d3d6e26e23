"""Which incident a breach is put down to, whether it could be foreseen, and how long before it was told of."""

from dataclasses import replace

import numpy as np

from daemon.breach.definition import MonitoredThreshold, Severity
from daemon.breach.features import FEATURES
from daemon.breach.windows import Examples
from daemon.config.alerting import AlertingConfig
from daemon.core.metric import Direction
from daemon.core.series import Panel, SeriesKey
from daemon.simulation.incident import Incident
from tests.benchmarks.incident_scores import causes, foreseeable, left_alone, outcomes, raised, under_way

LEAK = Incident(
    server="a", kind="memory_leak", metric="m", start=6_000, breach=18_000, end=20_000, cause="", precursor=True
)
SURGE = Incident(
    server="b", kind="traffic_surge", metric="m", start=9_000, breach=9_000, end=12_000, cause="", precursor=False
)
CRITICAL = {"memory_leak": 1.0, "traffic_surge": 1.0}


def windows(*rows: tuple[str, int, int]) -> Examples:
    """Return windows of (server, origin, step at which the breach begins; 0 for none)."""
    monitored = tuple(
        MonitoredThreshold(SeriesKey(server, "m"), Severity.CRITICAL, 1, Direction.ABOVE, "generic")
        for server, _, _ in rows
    )
    onset, origins = np.array([row[2] for row in rows]), np.array([row[1] for row in rows])
    return Examples(np.zeros((len(rows), len(FEATURES))), onset, monitored, origins)


def test_a_breach_is_put_down_to_the_incident_of_its_time_and_server() -> None:
    """Not to that of another server, not to one that is over, and no breach to none."""
    found = windows(("a", 0, 60), ("a", 0, 0), ("b", 0, 30), ("b", 12_000, 10), ("c", 0, 60))
    assert causes(found, [LEAK, SURGE]) == [LEAK, None, SURGE, None, None]


def test_foreseeable_is_what_has_begun_and_shows() -> None:
    """Before an incident has begun nobody can know; one without a precursor never shows."""
    found = windows(("a", 3_000, 50), ("a", 6_000, 40), ("b", 9_000, 1), ("a", 6_000, 0))
    assert foreseeable(found, causes(found, [LEAK, SURGE])).tolist() == [False, True, False, False]


def test_an_incident_is_told_of_by_the_first_alert_while_it_is_under_way() -> None:
    """An alert before it began was for something else, and one after its breach comes too late."""
    found = windows(("a", 3_000, 50), ("a", 9_000, 30), ("a", 12_000, 20), ("b", 9_000, 1))
    results = outcomes(found, [LEAK, SURGE], CRITICAL, np.array([True, False, True, False]))
    assert {one.incident: (one.breached, one.lead_seconds) for one in results} == {
        LEAK: (True, 6_000),
        SURGE: (True, None),
    }


def test_an_alert_of_an_incident_that_comes_to_nothing_is_false() -> None:
    """A breach after its end is not its own; of a threshold above its level, or another metric, nothing is judged."""
    found = windows(("a", 9_000, 0), ("a", 19_000, 50), ("b", 9_000, 1))
    results = outcomes(found, [LEAK, SURGE], {"memory_leak": 1, "traffic_surge": 0.5}, np.array([True, True, True]))
    assert [(one.incident, one.breached, one.told) for one in results] == [(LEAK, False, True)]


def test_what_was_repaired_is_judged_by_what_it_would_have_come_to() -> None:
    """It would have breached after its repair; one that nobody repaired stays what it was, whatever came after."""
    found = windows(("a", 9_000, 0), ("b", 9_000, 0))
    results = outcomes(found, [LEAK, SURGE], CRITICAL, np.array([True, True]))
    values = np.zeros((2, 100), np.float32)
    values[:, 80:] = 2
    panel = Panel((SeriesKey("a", "m"), SeriesKey("b", "m")), 0, values)
    alone = left_alone(results, panel, [replace(LEAK, end=29_000), SURGE])
    assert [(one.breach, one.lead_seconds) for one in alone] == [(24_000, 15_000), (None, None)]


def test_an_alert_needs_enough_of_the_last_ticks() -> None:
    """Two of the last three: not the first, not one whose fellow was of another server or too long ago."""
    found = windows(*((server, 300 * step, 0) for step, server in enumerate("aabaabaaa")))
    predicted = np.array([True, True, True, False, True, False, True, True, False])
    fires = raised(found, predicted, AlertingConfig(raise_ticks=2, raise_window=3))
    assert np.flatnonzero(fires).tolist() == [1, 6, 7]


def test_what_is_under_way_is_looked_at_on_its_own_metric() -> None:
    """At times without an incident nothing is; at the others only the series that the incidents are judged on."""
    keys = (SeriesKey("a", "m"), SeriesKey("a", "other"), SeriesKey("b", "m"))
    panel = Panel(keys, 0, np.zeros((3, 100), np.float32))
    found = {at: part.keys for at, part in under_way(panel, [LEAK, SURGE], range(3_000, 21_001, 3_000))}
    alone, both = keys[:1], (keys[0], keys[2])
    assert found == {6_000: alone, 9_000: both, 12_000: both, 15_000: alone, 18_000: alone}
