import numpy as np
import pandas as pd
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Panel, SeriesKey
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import CASCADE, KINDS, Incident, to_frame
from daemon.simulation.outbreak import UPSTREAM
from daemon.simulation.profile import PROFILES
from daemon.simulation.spec import FleetSpec

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
DAY = STEPS_PER_DAY * STEP_SECONDS
END = MONDAY + 14 * DAY


def without_gaps(incidents_per_server_week: float) -> Fleet:
    """Return a default fleet without lost samples."""
    rates = {"missing_rate": 0.0, "outages_per_server_week": 0.0, "reboots_per_server_week": 0.0}
    return Fleet(FleetSpec(seed=5, incidents_per_server_week=incidents_per_server_week, **rates))


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """A default fleet with many incidents, without gaps."""
    return without_gaps(2)


@pytest.fixture(scope="module")
def incidents(fleet: Fleet) -> list[Incident]:
    """The truth of two weeks."""
    return fleet.incidents(MONDAY, END)


@pytest.fixture(scope="module")
def panel(fleet: Fleet) -> Panel:
    """The values of these weeks, and of two days before and after."""
    return fleet.panel(MONDAY - 2 * DAY, END + 2 * DAY)


def metric_of(panel: Panel, incident: Incident, start: int, end: int) -> np.ndarray:
    """Return the critical metric of the incident in ``start .. end``."""
    key = SeriesKey(incident.server, incident.metric)
    return panel.between(start, end).values[panel.keys.index(key)]


def test_most_kinds_happen_and_not_all_of_them_breach(incidents: list[Incident]) -> None:
    """In two weeks nearly all kinds occur; many breach, others are repaired or stay below critical."""
    assert len({incident.kind for incident in incidents}) >= len(KINDS) - 3
    breached = np.mean([incident.breach is not None for incident in incidents])
    assert 0.3 < breached < 0.9


def test_a_precursor_is_visible_half_an_hour_before_the_breach(incidents: list[Incident], panel: Panel) -> None:
    """Against the fleet without incidents, the contribution is a tenth of the distance or more, or it is not."""
    without = without_gaps(0).panel(panel.start, panel.end)
    breached = [incident for incident in incidents if incident.breach is not None]
    for incident in breached:
        notice = incident.breach - 1800
        here = metric_of(panel, incident, incident.start, notice) - metric_of(without, incident, incident.start, notice)
        usual = metric_of(without, incident, incident.start, incident.breach).mean()
        share = here.max(initial=0) / (KINDS[incident.kind].critical - usual)
        assert abs(share - 0.1) < 1e-3 or (share > 0.1) == incident.precursor, incident
    assert 0.4 < np.mean([incident.precursor for incident in breached]) < 0.95


def test_leaks_have_a_precursor_and_surges_do_not(incidents: list[Incident]) -> None:
    """Most memory leaks have a precursor; surges and neighbours that breach within half an hour do not."""
    seen = {kind: [i for i in incidents if i.kind == kind and i.breach is not None] for kind in KINDS}
    assert np.mean([incident.precursor for incident in seen["memory_leak"]]) > 0.8
    sudden = [i for i in seen["traffic_surge"] + seen["noisy_neighbour"] if i.breach - i.start < 1800]
    assert sudden
    assert not any(incident.precursor for incident in sudden)


def test_the_breach_is_the_first_step_past_critical(incidents: list[Incident], panel: Panel) -> None:
    """The metric is past its critical level at the breach, and not between start and breach."""
    for incident in incidents:
        critical = KINDS[incident.kind].critical
        if incident.breach is None:
            assert not (metric_of(panel, incident, incident.start, incident.end) > critical).any()
        else:
            assert incident.start <= incident.breach <= incident.end
            assert metric_of(panel, incident, incident.breach, incident.breach)[0] > critical
            before = metric_of(panel, incident, incident.start, incident.breach - STEP_SECONDS)
            assert not (before > critical).any()


def test_an_incident_changes_its_span_and_nothing_else(incidents: list[Incident], panel: Panel) -> None:
    """Against the fleet without incidents, the metric differs only from start to end."""
    without = without_gaps(0).panel(panel.start, panel.end)
    differs = np.isclose(panel.values, without.values, rtol=1e-4, atol=1e-3)
    for server in {incident.server for incident in incidents}:
        own = [incident for incident in incidents if incident.server == server]
        outside = np.ones(panel.steps, dtype=bool)
        for incident in own:
            outside &= (panel.timestamps < incident.start) | (panel.timestamps > incident.end)
        outside &= (panel.timestamps >= MONDAY) & (panel.timestamps <= END)
        rows = [i for i, key in enumerate(panel.keys) if key.server == server]
        assert differs[rows][:, outside].all()
    for incident in incidents:
        here = metric_of(panel, incident, incident.start, incident.end)
        assert not np.array_equal(here, metric_of(without, incident, incident.start, incident.end))


def test_leaks_breach_after_hours_and_surges_within_one(incidents: list[Incident]) -> None:
    """The median time from start to breach is above 3 h for leaks and fills, and below 1 h for surges."""
    lead = {
        kind: np.median([i.breach - i.start for i in incidents if i.kind == kind and i.breach is not None]) / 3600
        for kind in ("memory_leak", "disk_fill", "traffic_surge")
    }
    assert lead["memory_leak"] > 3
    assert lead["disk_fill"] > 3
    assert lead["traffic_surge"] < 1


def test_a_profile_has_only_its_kinds(fleet: Fleet, incidents: list[Incident]) -> None:
    """Every incident is of a kind of its profile, or a cascade on a caller."""
    for incident in incidents:
        profile = fleet.profiles[incident.server]
        assert incident.kind in PROFILES[profile].incidents or (incident.kind == CASCADE and profile in UPSTREAM)


def test_the_truth_does_not_depend_on_the_span(fleet: Fleet, incidents: list[Incident]) -> None:
    """The incidents of single days are those of the two weeks."""
    by_day = {
        incident for day in range(14) for incident in fleet.incidents(MONDAY + day * DAY, MONDAY + (day + 1) * DAY)
    }
    assert by_day == set(incidents)


def test_the_rate_is_that_of_the_spec() -> None:
    """The number of incidents without cascades is about servers times weeks times rate; 0 for a rate of 0."""
    fleet = Fleet(FleetSpec(seed=2, incidents_per_server_week=0.35))
    found = fleet.incidents(MONDAY, MONDAY + 10 * 7 * DAY)
    count = sum(incident.kind != CASCADE for incident in found)
    assert 0.6 * 70 < count < 1.4 * 70
    assert Fleet(FleetSpec(incidents_per_server_week=0)).incidents(MONDAY, END) == []


def test_the_frame_has_utc_timestamps(incidents: list[Incident]) -> None:
    """The columns are those of docs/simulator.md, times are UTC, and a missing breach is NaT."""
    frame = to_frame(incidents)
    assert list(frame.columns) == ["server", "kind", "metric", "start", "breach", "end", "cause", "precursor"]
    for column in ("start", "breach", "end"):
        assert str(frame[column].dtype) == "datetime64[ms, UTC]"
    assert frame["breach"].isna().sum() == sum(incident.breach is None for incident in incidents)
    assert frame["start"][0] == pd.Timestamp(incidents[0].start, unit="s", tz="UTC")
    assert str(to_frame([])["breach"].dtype) == "datetime64[ms, UTC]"
    assert frame["precursor"].dtype == to_frame([])["precursor"].dtype == bool
