"""The effect of each kind of incident on a server, compared with the same day without it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Float32
from daemon.simulation.disturbance import disturb
from daemon.simulation.events import Reboots
from daemon.simulation.fleet import Day, DayMaker
from daemon.simulation.incident import KINDS
from daemon.simulation.outbreak import Outbreak, Outbreaks
from daemon.simulation.profile import stack
from daemon.simulation.response import METRICS
from daemon.simulation.spec import FleetSpec, servers_of

DAY_NUMBER = 20_458  # 2026-01-05, a Monday
START = DAY_NUMBER * 86_400 + 6 * 3600
END = START + 10 * 3600
RAMP_HOURS = 5
SPEC = FleetSpec(counts={"ml_compute": 1, "web_api": 1}, seed=1, incidents_per_server_week=0)
SERVERS = servers_of(SPEC)
INSIDE = slice(6 * 12, 16 * 12 + 1)


class Only(Outbreaks):
    """The outbreaks of a fleet with a single one."""

    def __init__(self, one: Outbreak) -> None:
        super().__init__(SERVERS, 0)
        self._one = one

    def between(self, start: int, end: int) -> list[Outbreak]:
        """Return the outbreak if it touches the span."""
        return [self._one] if self._one.start <= end and self._one.end >= start else []


def outbreak(kind: str, row: int = 1, peak: float | None = None) -> Outbreak:
    """Return an outbreak from 06:00 UTC that grows evenly for five hours and holds for five hours."""
    height = peak if peak is not None else KINDS[kind].peak[1]
    knots = tuple(float(knot) for knot in np.linspace(0, 1, 9))
    return Outbreak(
        row=row,
        kind=kind,
        start=START,
        end=END,
        ramp_seconds=RAMP_HOURS * 3600,
        knots=knots,
        peak=height,
        cause="a test",
        recovery_seconds=0,
    )


def day(one: Outbreak) -> Day:
    """Return the day of the outbreak."""
    return DayMaker(SPEC, SERVERS, Only(one), Reboots([server.key for server in SERVERS], 0)).make(DAY_NUMBER)


def added(one: Outbreak) -> dict[str, Float32]:
    """Return what the outbreak adds to each metric of its server in its span; check that nothing else changes."""
    made = day(one)
    difference = made.complete - made.calm
    untouched = np.ones(difference.shape, dtype=bool)
    untouched[one.row, :, INSIDE] = False
    assert not difference[untouched].any()
    return dict(zip(METRICS, difference[one.row, :, INSIDE], strict=True))


MOVED = {
    "memory_leak": {"mem_used_pct", "cpu_busy_pct"},
    "disk_fill": {"disk_used_pct", "disk_busy_pct"},
    "log_storm": {"disk_used_pct", "disk_busy_pct", "cpu_busy_pct", "cpu_iowait_pct"},
    "traffic_surge": {"cpu_busy_pct", "net_in_mb_s", "net_out_mb_s", "load_per_core", "tcp_close_wait"},
    "connection_leak": {"tcp_close_wait", "mem_used_pct"},
    "runaway_job": {"cpu_busy_pct", "cpu_user_pct", "load_per_core"},
    "gc_pressure": {"cpu_busy_pct", "cpu_user_pct", "mem_used_pct", "load_per_core"},
    "swap_thrash": {"mem_used_pct", "swap_used_pct", "cpu_iowait_pct", "disk_busy_pct", "load_per_core"},
    "slow_io": {"cpu_iowait_pct", "cpu_busy_pct", "disk_busy_pct", "load_per_core", "tcp_close_wait"},
    "gpu_memory_exhaustion": {"gpu_mem_used_pct"},
    "noisy_neighbour": {"cpu_busy_pct", "cpu_iowait_pct", "load_per_core"},
    "failed_batch": {"cpu_busy_pct", "disk_busy_pct", "mem_used_pct", "load_per_core"},
    "cascade": {"tcp_close_wait", "cpu_busy_pct", "load_per_core"},
}
UNMOVED = {
    "slow_io": {"net_in_mb_s", "net_out_mb_s", "mem_used_pct", "disk_used_pct"},
    "noisy_neighbour": {"net_in_mb_s", "net_out_mb_s", "mem_used_pct", "disk_busy_pct"},
    "gpu_memory_exhaustion": set(METRICS) - {"gpu_mem_used_pct"},
    "cascade": {"net_in_mb_s", "disk_used_pct", "disk_busy_pct"},
    "gc_pressure": {"net_in_mb_s", "disk_used_pct", "disk_busy_pct"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_moves_its_metrics(kind: str) -> None:
    """Its metrics rise by more than 0.1 on average; unrelated metrics move by less than 0.7."""
    change = added(outbreak(kind, row=0 if kind == "gpu_memory_exhaustion" else 1))
    for metric in MOVED[kind]:
        assert change[metric].mean() > 0.1, metric
    assert KINDS[kind].metric in MOVED[kind]
    for metric in UNMOVED.get(kind, set()):
        assert abs(change[metric]).max() < 0.7, metric


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [0, 1])
def test_every_value_is_in_range_at_twice_the_largest_peak(kind: str, row: int) -> None:
    """Percentages are in 0 to 100, and the parts of CPU add up to at most the busy part."""
    values = dict(zip(METRICS, day(outbreak(kind, row, 2 * KINDS[kind].peak[1])).complete[row], strict=True))
    for metric, series in values.items():
        assert np.isfinite(series).all()
        assert (series >= 0).all(), metric
        assert metric[-4:] != "_pct" or (series <= 100).all(), metric
    stolen = values["cpu_busy_pct"] - values["cpu_user_pct"] - values["cpu_system_pct"] - values["cpu_iowait_pct"]
    assert (stolen > -1e-3).all()


def peaks(series: Float32) -> int:
    """Return the number of times that the series rises above the middle of its range."""
    high = series > (series.max() + series.min()) / 2
    return int((np.diff(high.astype(int)) == 1).sum())


def test_gc_pressure_is_a_growing_sawtooth() -> None:
    """CPU follows memory in a growing sawtooth, until the collector works all the time."""
    change = added(outbreak("gc_pressure", peak=90))
    cpu = change["cpu_busy_pct"]
    assert (np.diff(cpu[20:50]) < -10).sum() >= 3
    assert cpu[40:60].max() > cpu[20:40].max() > cpu[:20].max()
    assert np.corrcoef(cpu[20:50], change["mem_used_pct"][20:50])[0, 1] > 0.75
    assert np.median(cpu[62:]) > cpu[20:50].max()


def test_a_failed_batch_returns_several_times() -> None:
    """Its load comes in runs; between them the server has its usual load."""
    cpu = added(outbreak("failed_batch", peak=90))["cpu_busy_pct"]
    assert peaks(cpu[48:]) >= 3
    assert (abs(cpu[48:]) < 0.5).mean() > 0.15


def test_memory_is_short_before_swap_fills() -> None:
    """At half of the added memory, less than 17 % of the added swap is used."""
    change = added(outbreak("swap_thrash", peak=100))
    half = int((change["mem_used_pct"] > change["mem_used_pct"].max() / 2).argmax())
    assert change["swap_used_pct"][half] < 0.17 * change["swap_used_pct"].max()
    assert change["swap_used_pct"].max() > 70


def test_a_log_storm_writes_from_its_first_minutes() -> None:
    """The disk is busy in the second step, and full only hours later."""
    change = added(outbreak("log_storm"))
    assert change["disk_busy_pct"][1] > 25
    assert change["disk_used_pct"][1] < 0.1 * change["disk_used_pct"].max()


def test_a_noisy_neighbour_steals_cpu() -> None:
    """The busy part that is neither user, system nor iowait grows; user and system do not."""
    change = added(outbreak("noisy_neighbour"))
    stolen = change["cpu_busy_pct"] - change["cpu_user_pct"] - change["cpu_system_pct"] - change["cpu_iowait_pct"]
    assert stolen[-60:].mean() > 25
    assert (change["cpu_user_pct"] + change["cpu_system_pct"]).max() < 0.1


def test_an_unknown_kind_is_an_error() -> None:
    """The error names the kind."""
    traits = stack([server.traits for server in SERVERS])
    times: npt.NDArray[np.int64] = START + np.arange(STEPS_PER_DAY, dtype=np.int64) * STEP_SECONDS
    unknown = replace(outbreak("memory_leak"), kind="meteorite")
    with pytest.raises(ValueError, match="'meteorite' is no kind"):
        disturb([outbreak("memory_leak"), unknown], traits, times)
