"""What a fleet without incidents says, it goes on saying when kinds of incident are added."""

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
    "cpu_user_pct": (4.7256, 24.0675, 20.5695, 29.8114),
    "cpu_system_pct": (0.6797, 3.4471, 2.9242, 4.105),
    "cpu_iowait_pct": (0.2231, 0.8968, 0.734, 0.6202),
    "cpu_busy_pct": (5.6284, 28.4114, 24.2277, 34.5365),
    "mem_used_pct": (52.4484, 57.3427, 57.266, 63.1901),
    "swap_used_pct": (0.7586, 0.7401, 0.7106, 0.6681),
    "disk_used_pct": (47.8064, 47.859, 48.2338, 48.7462),
    "disk_busy_pct": (3.3767, 16.4612, 12.9739, 12.1496),
    "net_in_mb_s": (1.5111, 13.0616, 11.5765, 20.7193),
    "net_out_mb_s": (0.1527, 1.4312, 1.5558, 0.9536),
    "load_per_core": (0.0723, 0.2552, 0.293, 0.3366),
    "tcp_close_wait": (0.0, 5.0, 7.0, 2.0),
    "gpu_util_pct": (0.8842, 12.8342, 10.0131, 50.2727),
    "gpu_mem_used_pct": (13.4362, 13.4142, 13.3778, 36.3347),
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
