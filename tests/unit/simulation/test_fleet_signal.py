"""The simulated series have the properties of series of real servers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_WEEK, Float32
from daemon.simulation.fleet import Fleet
from daemon.simulation.response import METRICS
from daemon.simulation.spec import FleetSpec, counts_for

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
DAY = STEPS_PER_DAY * STEP_SECONDS
WEEKS = 4


@pytest.fixture(scope="module")
def month() -> dict[str, dict[str, Float32]]:
    """Four weeks without incidents or gaps: ``[profile][metric]`` as ``(servers, steps)``."""
    spec = FleetSpec(
        counts=counts_for(60),
        seed=11,
        incidents_per_server_week=0,
        missing_rate=0,
        outages_per_server_week=0,
        reboots_per_server_week=0,
    )
    panel = Fleet(spec).panel(MONDAY, MONDAY + 7 * WEEKS * DAY - STEP_SECONDS)
    return {
        profile: {
            metric: panel.values[[panel.profiles[key.server] == profile and key.metric == metric for key in panel.keys]]
            for metric in METRICS
        }
        for profile in spec.counts
    }


def autocorrelation(series: Float32, lag: int) -> Float32:
    """Return the autocorrelation of each row."""
    return np.array([np.corrcoef(one[:-lag], one[lag:])[0, 1] for one in series])


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), day=st.integers(-3000, 40_000), rate=st.floats(0, 5))
def test_every_value_is_physical(seed: int, day: int, rate: float) -> None:
    """Percentages are in 0 to 100, other metrics are 0 or more, sockets are whole, and the parts of CPU add up."""
    fleet = Fleet(FleetSpec(counts=counts_for(10), seed=seed, incidents_per_server_week=rate))
    panel = fleet.panel(day * DAY, day * DAY + DAY)
    for key, values in zip(panel.keys, panel.values, strict=True):
        seen = values[np.isfinite(values)]
        assert (seen >= 0).all(), key
        assert key.metric[-4:] != "_pct" or (seen <= 100).all(), key
        assert key.metric != "tcp_close_wait" or (seen == np.round(seen)).all(), key
    of = {metric: panel.values[[key.metric == metric for key in panel.keys]] for metric in METRICS[:4]}
    stolen = of["cpu_busy_pct"] - of["cpu_user_pct"] - of["cpu_system_pct"] - of["cpu_iowait_pct"]
    stolen = stolen[np.isfinite(stolen)]
    # a host steals at most 12 %, and another guest 60 % more
    assert ((stolen > -1e-3) & (stolen <= 72 + 1e-3)).all()


def test_web_servers_have_a_daily_rhythm(month: dict[str, dict[str, Float32]]) -> None:
    """The CPU of a web server correlates with that of 24 hours before, and not with that of 12 hours before."""
    cpu = month["web_api"]["cpu_busy_pct"]
    assert np.median(autocorrelation(cpu, STEPS_PER_DAY)) > 0.35
    assert np.median(autocorrelation(cpu, STEPS_PER_DAY // 2)) < 0.1


def test_risk_servers_have_less_load_at_the_weekend(month: dict[str, dict[str, Float32]]) -> None:
    """Their mean CPU on a weekend day is below 0.8 of that on a weekday."""
    days = month["risk_analytics"]["cpu_busy_pct"].reshape(-1, WEEKS, 7, STEPS_PER_DAY).mean(axis=(0, 1, 3))
    assert days[5:].max() < 0.8 * days[:5].min()
    assert np.median(autocorrelation(month["risk_analytics"]["cpu_busy_pct"], STEPS_PER_WEEK)) > 0.4


def test_the_rhythm_explains_only_a_part_of_the_variance(month: dict[str, dict[str, Float32]]) -> None:
    """The mean week of a server leaves more than 20 % of the variance."""
    for profile, metrics in month.items():
        cpu = metrics["cpu_busy_pct"].reshape(-1, WEEKS, STEPS_PER_WEEK)
        left = (cpu - cpu.mean(axis=1, keepdims=True)).var(axis=(1, 2)) * WEEKS / (WEEKS - 1)
        assert np.median(left / cpu.var(axis=(1, 2))) > 0.2, profile


def test_noise_has_memory_and_heavy_tails(month: dict[str, dict[str, Float32]]) -> None:
    """Neighbouring steps correlate, and their differences have a kurtosis far above 3."""
    for profile, metrics in month.items():
        cpu = metrics["cpu_busy_pct"]
        assert np.median(autocorrelation(cpu, 1)) > 0.7, profile
        change = np.diff(cpu, axis=1)
        kurtosis = (change**4).mean(axis=1) / (change**2).mean(axis=1) ** 2
        assert np.median(kurtosis) > 10, profile


def test_no_series_stands_still(month: dict[str, dict[str, Float32]]) -> None:
    """No metric is a constant or a straight line for a day, except for sockets and idle GPUs."""
    for profile, metrics in month.items():
        for metric in set(METRICS) - {"tcp_close_wait", "gpu_util_pct"}:
            days = np.diff(metrics[metric].reshape(-1, 7 * WEEKS, STEPS_PER_DAY), n=2, axis=2)
            assert (days.std(axis=2) > 0).all(), (profile, metric)


def test_servers_of_one_profile_differ(month: dict[str, dict[str, Float32]]) -> None:
    """The mean CPU of web servers differs, while their traffic rises and falls together."""
    cpu = month["web_api"]["cpu_busy_pct"]
    assert cpu.mean(axis=1).max() > 1.4 * cpu.mean(axis=1).min()
    alike = np.corrcoef(cpu)[np.triu_indices(len(cpu), 1)]
    assert 0.2 < np.median(alike) < 0.95


def test_traffic_drives_the_other_metrics(month: dict[str, dict[str, Float32]]) -> None:
    """On a web server cpu, network, load and sockets rise and fall together."""
    web = month["web_api"]
    for metric in ("net_in_mb_s", "net_out_mb_s", "load_per_core", "tcp_close_wait"):
        each = [np.corrcoef(a, b)[0, 1] for a, b in zip(web["cpu_busy_pct"], web[metric], strict=True)]
        assert np.median(each) > 0.5, metric


def test_disks_fill_slowly_and_are_cleaned(month: dict[str, dict[str, Float32]]) -> None:
    """Every ingest disk rises from day to day and drops when it is cleared; no disk is full without an incident."""
    disk = month["data_ingest"]["disk_used_pct"]
    assert (np.median(disk[:, 24:] - disk[:, :-24], axis=1) > 0).all()
    assert (np.diff(disk, axis=1).min(axis=1) < -1).all()
    for profile, metrics in month.items():
        assert metrics["disk_used_pct"].max() < 95, profile


def test_breaches_are_rare_without_incidents(month: dict[str, dict[str, Float32]]) -> None:
    """Without incidents, less than 0.5 % of the steps are past a critical level."""
    for metric, critical in (("cpu_busy_pct", 95), ("mem_used_pct", 95), ("tcp_close_wait", 200)):
        past = np.concatenate([metrics[metric] for metrics in month.values()]) > critical
        assert past.mean() < 0.005, metric
