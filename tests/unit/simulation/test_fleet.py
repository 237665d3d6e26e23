import json

import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Panel, SeriesKey
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import IncidentTuning
from daemon.simulation.response import METRICS
from daemon.simulation.spec import FleetSpec

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
DAY = STEPS_PER_DAY * STEP_SECONDS
SMALL = FleetSpec(counts={"ml_compute": 1, "database": 1, "web_api": 2, "risk_analytics": 2}, seed=7)
NO_GAPS = {"missing_rate": 0.0, "outages_per_server_week": 0.0, "reboots_per_server_week": 0.0}


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """A small fleet of four profiles."""
    return Fleet(SMALL)


def row(panel: Panel, server: str, metric: str) -> np.ndarray:
    """Return one series of the panel."""
    return panel.values[panel.keys.index(SeriesKey(server, metric))]


def test_same_seed_is_the_same_fleet(fleet: Fleet) -> None:
    """Two fleets of one spec agree in every bit, gaps included."""
    again = Fleet(SMALL)
    ours, theirs = fleet.panel(MONDAY, MONDAY + DAY), again.panel(MONDAY, MONDAY + DAY)
    assert ours.keys == theirs.keys
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_another_seed_is_another_fleet(fleet: Fleet) -> None:
    """The seed changes every server."""
    other = Fleet(FleetSpec(counts=SMALL.counts, seed=8))
    ours, theirs = fleet.panel(MONDAY, MONDAY + DAY), other.panel(MONDAY, MONDAY + DAY)
    for server in fleet.profiles:
        assert not np.allclose(row(ours, server, "cpu_busy_pct"), row(theirs, server, "cpu_busy_pct"), equal_nan=True)


def test_live_ticks_equal_the_batch_over_midnight(fleet: Fleet) -> None:
    """A fleet asked for one tick after the other says what one asked for the whole span says, exactly."""
    start, end = MONDAY + DAY - 40 * STEP_SECONDS, MONDAY + DAY + 40 * STEP_SECONDS
    live = Fleet(SMALL)
    ticks = [live.panel(at, at).values for at in range(start, end + 1, STEP_SECONDS)]
    whole = fleet.panel(start - 3 * DAY, end + 2 * DAY).between(start, end)
    np.testing.assert_array_equal(np.concatenate(ticks, axis=1), whole.values)


def test_live_ticks_equal_the_batch_when_everything_happens() -> None:
    """The same over the end of a month, a holiday, incidents, cascades, reboots and outages."""
    spec = FleetSpec(
        counts={"database": 2, "web_api": 4, "data_ingest": 3, "risk_analytics": 3},
        seed=7,
        incidents_per_server_week=2,
        incidents={"cascade": IncidentTuning(weight=10)},
        reboots_per_server_week=4,
        outages_per_server_week=4,
    )
    start = 1_777_564_800  # 2026-04-30T16:00:00Z: the first of May is a holiday
    end = start + 14 * 3600
    live = Fleet(spec)
    ticks = [live.panel(at, at).values for at in range(start, end + 1, STEP_SECONDS)]
    batch = Fleet(spec)
    whole = batch.panel(start - 5 * DAY, end + 2 * DAY).between(start, end)
    np.testing.assert_array_equal(np.concatenate(ticks, axis=1), whole.values)
    kinds = {incident.kind for incident in batch.incidents(start, end)}
    assert "cascade" in kinds
    assert len(kinds) >= 4
    assert live.incidents(start, end) == batch.incidents(start, end)


def test_the_order_of_asking_does_not_matter(fleet: Fleet) -> None:
    """A day asked for after a later one is the day it always was."""
    other = Fleet(SMALL)
    other.panel(MONDAY + 30 * DAY, MONDAY + 31 * DAY)
    np.testing.assert_array_equal(other.panel(MONDAY, MONDAY + 3600).values, fleet.panel(MONDAY, MONDAY + 3600).values)


def test_a_server_keeps_its_history_when_the_fleet_grows(fleet: Fleet) -> None:
    """Adding servers changes nothing for those that were there."""
    grown = Fleet(FleetSpec(counts={**SMALL.counts, "database": 5, "generic": 3}, seed=7)).panel(MONDAY, MONDAY + DAY)
    ours = fleet.panel(MONDAY, MONDAY + DAY)
    rows = [grown.keys.index(key) for key in ours.keys]
    np.testing.assert_allclose(grown.values[rows], ours.values, rtol=1e-4, atol=1e-4)


def test_bounds_off_the_grid_take_the_grid_times_between(fleet: Fleet) -> None:
    """Only grid times inside the span are returned, and none for a span that holds none."""
    panel = fleet.panel(MONDAY + 1, MONDAY + 2 * STEP_SECONDS + 1)
    assert (panel.start, panel.steps) == (MONDAY + STEP_SECONDS, 2)
    assert fleet.panel(MONDAY + 1, MONDAY + 2).steps == 0


def test_only_servers_with_a_gpu_have_its_series(fleet: Fleet) -> None:
    """All of ml_compute and every other server of risk_analytics have a GPU; the rest have no series for it."""
    servers = {key.server for key in fleet.keys if key.metric == "gpu_util_pct"}
    assert servers == {"ml-compute-01", "risk-01"}
    assert servers == {key.server for key in fleet.keys if key.metric == "gpu_mem_used_pct"}


def test_some_servers_have_no_swap() -> None:
    """Swap is absent on some servers of a default fleet and present on others; all else is everywhere."""
    fleet = Fleet(FleetSpec())
    with_swap = {key.server for key in fleet.keys if key.metric == "swap_used_pct"}
    assert 0 < len(with_swap) < len(fleet.servers) == 20
    for metric in set(METRICS) - {"swap_used_pct", "gpu_util_pct", "gpu_mem_used_pct"}:
        assert len({key.server for key in fleet.keys if key.metric == metric}) == 20


def test_profiles_come_with_the_panel(fleet: Fleet) -> None:
    """Every server of the panel names its profile."""
    panel = fleet.panel(MONDAY, MONDAY)
    assert panel.profiles["web-02"] == "web_api"
    assert {key.server for key in panel.keys} == set(panel.profiles)


def test_a_lost_sample_is_nan_and_only_lost(fleet: Fleet) -> None:
    """What a lossy fleet reports equals what a lossless one does, or is missing; nothing is filled in."""
    lossy = Fleet(
        FleetSpec(counts=SMALL.counts, seed=7, missing_rate=0.05, outages_per_server_week=3, reboots_per_server_week=0)
    )
    sound = Fleet(
        FleetSpec(counts=SMALL.counts, seed=7, missing_rate=0, outages_per_server_week=0, reboots_per_server_week=0)
    )
    ours, truth = (each.panel(MONDAY, MONDAY + 7 * DAY).values for each in (lossy, sound))
    missing = np.isnan(ours)
    assert np.isfinite(truth).all()
    assert 0.04 < missing.mean() < 0.1
    np.testing.assert_array_equal(ours[~missing], truth[~missing])


def test_the_default_loss_is_small_and_has_outages() -> None:
    """About two samples in a thousand are lost alone; whole servers fall silent for 15 to 90 minutes at a time."""
    fleet = Fleet(
        FleetSpec(counts={"generic": 30}, seed=1, missing_rate=0, outages_per_server_week=1, reboots_per_server_week=0)
    )
    panel = fleet.panel(MONDAY, MONDAY + 7 * DAY)
    silent = np.isnan(panel.values[[key.metric == "cpu_busy_pct" for key in panel.keys]])
    edges = np.diff(np.pad(silent, ((0, 0), (1, 1))).astype(int), axis=1)
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    assert 10 < len(lengths) < 60
    assert np.median(lengths) >= 3
    alone = Fleet(FleetSpec(seed=1, outages_per_server_week=0, reboots_per_server_week=0)).panel(
        MONDAY, MONDAY + 7 * DAY
    )
    assert 0.001 < np.isnan(alone.values).mean() < 0.003


def test_no_seam_at_midnight() -> None:
    """The step over midnight, where one day's making ends, is no larger than the steps around it."""
    fleet = Fleet(
        FleetSpec(counts={"web_api": 10}, seed=3, missing_rate=0, outages_per_server_week=0, reboots_per_server_week=0)
    )
    panel = fleet.panel(MONDAY, MONDAY + 28 * DAY)
    steps = np.abs(np.diff(panel.values[[key.metric == "cpu_busy_pct" for key in panel.keys]], axis=1))
    by_time = np.median(steps[:, : 28 * STEPS_PER_DAY].reshape(10, 28, STEPS_PER_DAY), axis=(0, 1))
    assert by_time[-1] < 1.5 * np.median(np.concatenate([by_time[-12:], by_time[:12]]))


def test_json_has_the_spec_and_every_server(fleet: Fleet) -> None:
    """The parameters can be read back, those of each server with them."""
    document = json.loads(fleet.to_json())
    assert document["spec"]["seed"] == 7
    assert [server["id"] for server in document["servers"]] == [server.id for server in fleet.servers]
    assert document["servers"][0]["traits"]["rhythm"]["peak_hour"] == fleet.servers[0].traits.rhythm.peak_hour
