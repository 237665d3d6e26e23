"""A fleet without incidents keeps its values when kinds of incident are added."""

import numpy as np

from daemon.core.series import SeriesKey
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec

TUESDAY = 1_767_657_600  # 2026-01-06T00:00:00Z
STEP = 300
CALM = FleetSpec(
    counts={"risk_analytics": 1, "web_api": 2},
    seed=7,
    incidents_per_server_week=0,
    month_turn_ratio=1,
    holidays=(),
    growth_pct_month=0,
    reboots_per_server_week=0,
)
# steps 40, 112, 184 and 256 of the day, in the order of METRICS, of a server with all metrics
RECORDED = {
    "cpu_user_pct": (3.4061, 17.4151, 17.5502, 26.3549),
    "cpu_system_pct": (0.4973, 2.5354, 2.5296, 3.6507),
    "cpu_iowait_pct": (0.1875, 0.8165, 0.7475, 0.628),
    "cpu_busy_pct": (4.0909, 20.767, 20.8273, 30.6336),
    "mem_used_pct": (49.1384, 53.8517, 54.593, 60.3464),
    "swap_used_pct": (0.7586, 0.7401, 0.7106, 0.6681),
    "disk_used_pct": (44.8474, 44.8595, 45.133, 45.5144),
    "disk_busy_pct": (2.8048, 13.9661, 12.803, 11.8241),
    "net_in_mb_s": (0.69, 10.6772, 11.3869, 19.9942),
    "net_out_mb_s": (0.0697, 1.1699, 1.5303, 0.8871),
    "load_per_core": (0.0537, 0.191, 0.257, 0.3014),
    "tcp_close_wait": (0.0, 5.0, 7.0, 2.0),
    "gpu_util_pct": (0.4038, 10.4913, 9.8491, 49.672),
    "gpu_mem_used_pct": (13.4362, 13.4142, 13.3778, 36.3347),
}


def test_a_fleet_without_incidents_has_the_recorded_values() -> None:
    """The random numbers of traits, noise, work, fills, releases and gaps do not change."""
    panel = Fleet(CALM).panel(TUESDAY, TUESDAY + 287 * STEP)
    for metric, values in RECORDED.items():
        # values and not a hash, because processors differ in the last bit of an exponential
        found = panel.values[panel.keys.index(SeriesKey("risk-01", metric)), 40::72]
        np.testing.assert_allclose(found, values, rtol=1e-3, atol=2e-4, err_msg=metric)


def test_an_incident_does_not_change_other_servers() -> None:
    """On days without an incident, every bit of a server equals that of a fleet without incidents."""
    counts = {"database": 2, "web_api": 3, "data_ingest": 2, "risk_analytics": 2}
    bad = Fleet(FleetSpec(counts=counts, seed=7, incidents_per_server_week=1))
    calm = Fleet(FleetSpec(counts=counts, seed=7, incidents_per_server_week=0))
    untouched = 0
    for day in range(4):
        start, end = TUESDAY + day * 288 * STEP, TUESDAY + (day * 288 + 287) * STEP
        ours, theirs = bad.panel(start, end), calm.panel(start, end)
        affected = {incident.server for incident in bad.incidents(start, end)}
        assert affected
        rows = [row for row, key in enumerate(ours.keys) if key.server not in affected]
        untouched += len(rows)
        np.testing.assert_array_equal(ours.values[rows], theirs.values[rows])
    assert untouched > 100
