"""What a fleet without incidents said before there were more kinds of them, it still says."""

import numpy as np

from daemon.domain.series import SeriesKey
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
# Steps 40, 112, 184 and 256 of the day, in METRICS' order of a server that has them all.
SAID = {
    "cpu_user_pct": (9.9344, 35.4888, 35.0721, 62.21),
    "cpu_system_pct": (1.2323, 3.8112, 3.7404, 6.4936),
    "cpu_iowait_pct": (0.9077, 0.9684, 0.8948, 0.8266),
    "cpu_busy_pct": (12.0744, 40.2684, 39.7073, 69.5302),
    "mem_used_pct": (49.5053, 52.1621, 53.204, 59.4114),
    "swap_used_pct": (0.8549, 0.7541, 0.7561, 0.7065),
    "disk_used_pct": (51.7101, 51.7725, 51.8832, 52.2042),
    "disk_busy_pct": (13.5735, 18.9372, 17.4105, 23.8312),
    "net_in_mb_s": (3.9542, 14.635, 14.9438, 39.6856),
    "net_out_mb_s": (1.5257, 6.0762, 7.4001, 4.8269),
    "load_per_core": (0.1895, 0.3505, 0.4899, 0.6845),
    "tcp_close_wait": (0.0, 2.0, 5.0, 1.0),
    "gpu_util_pct": (2.1638, 13.7875, 11.5002, 43.7668),
    "gpu_mem_used_pct": (7.262, 7.2015, 7.2027, 30.1819),
}


def test_a_fleet_without_incidents_is_what_it_was() -> None:
    """Traits, noise, work, fills, releases and gaps have the random numbers that they always had."""
    panel = Fleet(CALM).panel(TUESDAY, TUESDAY + 287 * STEP)
    for metric, values in SAID.items():
        # Not a hash: processors differ in the last bit of an exponential.
        said = panel.values[panel.keys.index(SeriesKey("risk-01", metric)), 40::72]
        np.testing.assert_allclose(said, values, rtol=1e-3, atol=2e-4, err_msg=metric)


def test_a_server_without_an_incident_does_not_feel_those_of_others() -> None:
    """On days on which nothing happens to it, its every bit is that of a fleet without incidents."""
    counts = {"database": 2, "web_api": 3, "data_ingest": 2, "risk_analytics": 2}
    bad = Fleet(FleetSpec(counts=counts, seed=7, incidents_per_server_week=1))
    calm = Fleet(FleetSpec(counts=counts, seed=7, incidents_per_server_week=0))
    untouched = 0
    for day in range(4):
        start, end = TUESDAY + day * 288 * STEP, TUESDAY + (day * 288 + 287) * STEP
        ours, theirs = bad.panel(start, end), calm.panel(start, end)
        troubled = {incident.server for incident in bad.incidents(start, end)}
        assert troubled
        rows = [row for row, key in enumerate(ours.keys) if key.server not in troubled]
        untouched += len(rows)
        np.testing.assert_array_equal(ours.values[rows], theirs.values[rows])
    assert untouched > 100
