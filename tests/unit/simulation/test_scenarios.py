import json
from pathlib import Path

import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Panel, SeriesKey
from daemon.simulation.fleet import Fleet
from daemon.simulation.scenario import (
    LONGEST_MINUTES,
    MOST_ACTIVE,
    MOST_STORED,
    RECOVERY_SECONDS,
    BadScenario,
    NoSimulator,
    NoSuchScenario,
    ScenarioKind,
    ScenarioRefused,
    ScenarioRequest,
    Scenarios,
    ScenariosNotWritten,
    ScenarioState,
)
from daemon.simulation.spec import FleetSpec
from tests.fakes.source import FakeClock

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
DAY = STEPS_PER_DAY * STEP_SECONDS
NOON = MONDAY + DAY // 2
COUNTS = {"database": 2, "web_api": 4, "generic": 2}
INJECTING = [kind for kind in ScenarioKind if kind is not ScenarioKind.HEALTHY]
MINUTE = 60


NO_EVENTS: dict[str, float] = {"incidents_per_server_week": 0, "missing_rate": 0, "outages_per_server_week": 0}


class Lab:
    """A fleet without lost samples, with its scenarios; the clock is 70 s after noon on Monday."""

    def __init__(self, folder: Path, counts: dict[str, int] | None = None, rate: float = 0, seed: int = 7) -> None:
        self.path = folder / "scenarios.json"
        spec = {"seed": seed, "incidents_per_server_week": rate, "missing_rate": 0, "outages_per_server_week": 0}
        self.spec = FleetSpec(**{"counts": counts or COUNTS} | spec)
        self.clock = FakeClock(NOON + 70)
        self.scenarios, self.fleet = self.again()
        self.untouched = Fleet(self.spec)

    def again(self) -> tuple[Scenarios, Fleet]:
        """Return new objects on the same file, like a restart of the service."""
        scenarios = Scenarios(self.path, self.clock.now)
        fleet = Fleet(self.spec, scenarios.known)
        scenarios.reconfigure(fleet.profiles)
        return scenarios, fleet

    def post(self, kind: ScenarioKind, *servers: str, ramp: float = 60, minutes: float | None = None) -> str:
        request = ScenarioRequest(
            kind=kind,
            servers=list(servers or self.fleet.profiles),
            profile=None,
            ramp_minutes=ramp,
            duration_minutes=minutes,
        )
        return self.scenarios.post(request).id

    def state(self, name: str) -> tuple[ScenarioState, bool]:
        (found,) = [each for each in self.scenarios.listed() if each.id == name]
        return found.state, found.cancelled

    def changed(self, start: int, end: int) -> np.ndarray:
        """Return which samples differ from the fleet without scenarios, ``(series, steps)``."""
        return self.fleet.panel(start, end).values != self.untouched.panel(start, end).values


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def row(panel: Panel, server: str, metric: str) -> np.ndarray:
    """Return one series of the panel."""
    return panel.values[panel.keys.index(SeriesKey(server, metric))]


@pytest.mark.parametrize("kind", INJECTING)
def test_only_later_steps_of_the_selected_servers_change(lab: Lab, kind: ScenarioKind) -> None:
    """Delivered steps and other servers keep every bit; the selected servers change from the next step on."""
    before = lab.fleet.panel(MONDAY, MONDAY + 2 * DAY)
    chosen = {"db-01", "web-02", "web-03"}
    lab.post(kind, *chosen)
    after = lab.fleet.panel(MONDAY, MONDAY + 2 * DAY)
    past = before.timestamps <= NOON
    np.testing.assert_array_equal(after.values[:, past], before.values[:, past])
    others = [index for index, key in enumerate(before.keys) if key.server not in chosen]
    np.testing.assert_array_equal(after.values[others], before.values[others])
    first = after.timestamps[(after.values != before.values).any(axis=0)][0]
    assert first == NOON + STEP_SECONDS
    for server in chosen:
        assert (row(after, server, "cpu_busy_pct") != row(before, server, "cpu_busy_pct")).any()


def test_samples_delivered_ahead_of_the_clock_stay(lab: Lab) -> None:
    """If samples after the clock are delivered, because it was set back, a scenario starts after them."""
    lab.scenarios.mark_delivered(NOON + 3600)
    name = lab.post(ScenarioKind.CRITICAL)
    assert not lab.changed(MONDAY, NOON + 3600).any()
    assert lab.changed(NOON + 3900, NOON + 3900).any()
    lab.scenarios.mark_delivered(NOON + 7200)
    delivered = lab.fleet.panel(MONDAY, NOON + 7200)
    lab.scenarios.cancel(name)
    np.testing.assert_array_equal(lab.fleet.panel(MONDAY, NOON + 7200).values, delivered.values)
    assert not lab.changed(NOON + 7200 + RECOVERY_SECONDS, NOON + DAY).any()


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [
        (ScenarioKind.MEMORY_LEAK, ("mem_used_pct",)),
        (ScenarioKind.DISK_FILL, ("disk_used_pct",)),
        (ScenarioKind.TRAFFIC_SURGE, ("cpu_busy_pct",)),
        (ScenarioKind.CRITICAL, ("mem_used_pct", "disk_used_pct", "cpu_busy_pct")),
    ],
)
def test_an_incident_is_past_critical_at_the_end_of_its_ramp(
    tmp_path: Path, kind: ScenarioKind, metrics: tuple[str, ...]
) -> None:
    """On every server of every profile, at every hour; and not in the first third of the ramp."""
    lab = Lab(tmp_path, dict.fromkeys(FleetSpec().counts, 3))
    lab.post(kind, ramp=180)
    panel = lab.fleet.panel(NOON + 3 * 3600, NOON + 3 * 3600 + DAY)
    early, without = (each.panel(NOON, NOON + 3600) for each in (lab.fleet, lab.untouched))
    for server in lab.fleet.profiles:
        for metric in metrics:
            assert row(panel, server, metric).min() > 95, (server, metric)
            passed = (row(early, server, metric) > 95) & (row(without, server, metric) <= 90)
            assert metric == "cpu_busy_pct" or not passed.any(), (server, metric)


def test_degrading_reaches_the_warning_levels_and_stays_there(tmp_path: Path) -> None:
    """Memory, disk and processor rise to 80 to 90 percent on most servers; few samples, with jobs on top, pass 95."""
    lab = Lab(tmp_path, dict.fromkeys(FleetSpec().counts, 3))
    lab.post(ScenarioKind.DEGRADING, ramp=480)
    panel = lab.fleet.panel(NOON + 8 * 3600, NOON + 8 * 3600 + DAY)
    for metric, most in {"mem_used_pct": 0.1, "disk_used_pct": 0.1, "cpu_busy_pct": 0.2}.items():
        levels = np.array([row(panel, server, metric) for server in lab.fleet.profiles])
        assert 78 < np.median(levels) < 90, metric
        assert np.mean(levels > 95) < most, metric
    sockets = np.array([row(panel, server, "tcp_close_wait") for server in lab.fleet.profiles])
    assert 150 < np.median(sockets) < 300


def test_a_cancelled_one_is_gone_within_twenty_minutes(lab: Lab) -> None:
    """Delivered steps stay; the next step is lower, and after four steps nothing is left."""
    name = lab.post(ScenarioKind.MEMORY_LEAK, "web-01", ramp=60)
    lab.clock.time = NOON + 7200 + 10
    disturbed = lab.fleet.panel(MONDAY, NOON + DAY)
    assert lab.state(name) == (ScenarioState.ACTIVE, False)
    assert lab.scenarios.cancel(name).state is ScenarioState.RECOVERING
    after = lab.fleet.panel(MONDAY, NOON + DAY)
    past = after.timestamps <= NOON + 7200
    np.testing.assert_array_equal(after.values[:, past], disturbed.values[:, past])
    falling = row(after, "web-01", "mem_used_pct")[after.timestamps > NOON + 7200][:4]
    assert (np.diff(falling) < 0).all()
    assert falling[0] < row(disturbed, "web-01", "mem_used_pct")[~past][0] - 1
    assert lab.changed(
        NOON + 7200 + RECOVERY_SECONDS - STEP_SECONDS, NOON + 7200 + RECOVERY_SECONDS - STEP_SECONDS
    ).any()
    assert not lab.changed(NOON + 7200 + RECOVERY_SECONDS, NOON + DAY).any()
    lab.clock.time = NOON + 7200 + RECOVERY_SECONDS
    assert lab.state(name) == (ScenarioState.ENDED, True)


def test_a_scenario_cancelled_before_its_start_changes_nothing(lab: Lab) -> None:
    """It waits for the next step; cancelled before it, it has ended."""
    name = lab.post(ScenarioKind.CRITICAL)
    assert lab.state(name) == (ScenarioState.WAITING, False)
    lab.scenarios.cancel(name)
    assert lab.state(name) == (ScenarioState.ENDED, True)
    assert not lab.changed(MONDAY, NOON + DAY).any()


def test_it_ends_by_itself_after_its_duration_or_a_week(lab: Lab) -> None:
    """It holds until the end of its duration, or of a week without one."""
    lab.post(ScenarioKind.MEMORY_LEAK, "web-01", minutes=120)
    changed = lab.changed(NOON, NOON + DAY).any(axis=0)
    steps = NOON + STEP_SECONDS * np.flatnonzero(changed)
    assert (steps[0], steps[-1]) == (NOON + STEP_SECONDS, NOON + 7200 + RECOVERY_SECONDS - STEP_SECONDS)
    lab.post(ScenarioKind.MEMORY_LEAK, "web-02")
    week = LONGEST_MINUTES * MINUTE
    assert lab.changed(NOON + week, NOON + week).any()
    assert not lab.changed(NOON + week + RECOVERY_SECONDS, NOON + 9 * DAY).any()


def test_a_restart_keeps_the_scenarios(lab: Lab) -> None:
    """Posted, released and cancelled scenarios are read from the file and give the same bits."""
    lab.post(ScenarioKind.CASCADE)
    lab.post(ScenarioKind.TRAFFIC_SURGE, "web-01")
    lab.clock.time = NOON + 3600
    lab.scenarios.cancel(lab.post(ScenarioKind.DISK_FILL, "db-01"))
    lab.post(ScenarioKind.HEALTHY, "web-01", "db-02")
    scenarios, fleet = lab.again()
    assert scenarios.known() == lab.scenarios.known()
    assert len(scenarios.known()) == 4
    start, end = MONDAY + DAY - 30 * STEP_SECONDS, MONDAY + DAY + 30 * STEP_SECONDS
    ticks = [fleet.panel(at, at).values for at in range(start, end + 1, STEP_SECONDS)]
    np.testing.assert_array_equal(np.concatenate(ticks, axis=1), lab.fleet.panel(start, end).values)
    assert lab.changed(start, end).any()


STORED = """[
 {
  "id": "memory_leak-7",
  "kind": "memory_leak",
  "servers": [
   "web-01",
   "web-02"
  ],
  "posted": 1767614470.5,
  "start": 1767614700,
  "ramp_seconds": 3600,
  "ending": [
   1767625200,
   1200
  ],
  "cancelled": false,
  "released": [
   [
    "web-01",
    [
     1767618000,
     600
    ]
   ]
  ]
 }
]
"""


def test_the_file_has_the_form_of_earlier_versions(lab: Lab) -> None:
    """A file of an earlier version is read with every value, and written again it is the same text."""
    lab.path.write_text(STORED)
    (scenario,) = Scenarios(lab.path, lab.clock.now).known()
    assert (scenario.id, scenario.kind, scenario.servers) == ("memory_leak-7", "memory_leak", ("web-01", "web-02"))
    assert (scenario.posted, scenario.start, scenario.ramp_seconds) == (1767614470.5, 1767614700, 3600)
    assert scenario.ending == (1767625200, 1200)
    assert scenario.released == (("web-01", (1767618000, 600)),)
    assert (scenario.ending.last_step, scenario.ending_on("web-01").last_step) == (1767626100, 1767618300)
    lab.scenarios, lab.fleet = lab.again()
    lab.post(ScenarioKind.DISK_FILL, "web-03")
    first, second = json.loads(lab.path.read_text())
    assert json.dumps([first], indent=1) + "\n" == STORED
    assert second["id"] == "disk_fill-8"


def onsets(lab: Lab) -> dict[str, int]:
    """Return the first changed step of each server."""
    changed = lab.changed(NOON, NOON + DAY)
    found = {}
    for server in lab.fleet.profiles:
        rows = [index for index, key in enumerate(lab.fleet.keys) if key.server == server]
        found[server] = NOON + int(changed[rows].any(axis=0).argmax()) * STEP_SECONDS
    return found


def test_a_cascade_with_another_id_has_other_lags(lab: Lab) -> None:
    """The lags follow from the id, so a second cascade differs from the first."""
    first = lab.post(ScenarioKind.CASCADE)
    before = onsets(lab)
    lab.scenarios.cancel(first)
    lab.post(ScenarioKind.CASCADE)
    assert onsets(lab) != before


def test_a_cascade_starts_at_a_database_and_accelerates(tmp_path: Path) -> None:
    """One database is first, for every id; then more servers at a time follow, and all get past critical."""
    lab = Lab(tmp_path, {"web_api": 20, "database": 3})
    for _ in range(5):
        name = lab.post(ScenarioKind.CASCADE, ramp=60)
        begins = sorted((at, server) for server, at in onsets(lab).items())
        assert begins[0][0] == NOON + STEP_SECONDS
        assert begins[0][1].startswith("db")
        hours = np.array([at - NOON for at, _ in begins]) / 3600
        assert hours[1] > hours[0] + 0.2
        assert hours[-1] < 2
        assert np.sum(hours <= 0.5) < np.sum(hours > 0.8)
        end = begins[-1][0] + 3600
        panel = lab.fleet.panel(end, end + 3600)
        assert min(row(panel, server, "cpu_busy_pct").min() for server in lab.fleet.profiles) > 95
        lab.scenarios.cancel(name)


def test_a_cascade_without_a_database_starts_at_one_server(tmp_path: Path) -> None:
    """Exactly one server is hit first."""
    lab = Lab(tmp_path, {"web_api": 6})
    lab.post(ScenarioKind.CASCADE)
    assert sum(at == NOON + STEP_SECONDS for at in onsets(lab).values()) == 1


def test_healthy_ends_and_prevents_incidents(tmp_path: Path) -> None:
    """From the end of its ramp to its own end the fleet has no incidents; then they start again."""
    lab = Lab(tmp_path, rate=4, seed=4)
    calm = Fleet(FleetSpec(counts=COUNTS, seed=4, **NO_EVENTS))
    own = lab.untouched.incidents(NOON, NOON + 6 * DAY)
    until = NOON + 2 * DAY
    assert [one for one in own if one.start <= NOON < one.end]
    assert [one for one in own if NOON < one.start <= until < one.end]
    assert [one for one in own if until < one.start]
    lab.post(ScenarioKind.HEALTHY, ramp=30, minutes=2 * 24 * 60)
    assert not lab.changed(MONDAY, NOON).any()
    assert lab.changed(NOON + STEP_SECONDS, NOON + STEP_SECONDS).any()
    span = (NOON + 30 * MINUTE, until)
    np.testing.assert_array_equal(lab.fleet.panel(*span).values, calm.panel(*span).values)
    later = [one for one in own if one.start > until]
    assert lab.fleet.incidents(until + STEP_SECONDS, NOON + 6 * DAY) == later


def test_a_prevented_incident_does_not_start_later(tmp_path: Path) -> None:
    """An incident of several days that would start in the last step of `healthy` does not happen at all."""
    lab = Lab(tmp_path, rate=4)
    own = lab.untouched.incidents(NOON, NOON + 6 * DAY)
    lasting = next(one for one in own if one.start > NOON and one.end // DAY > (one.start + RECOVERY_SECONDS) // DAY)
    lab.post(ScenarioKind.HEALTHY, lasting.server, minutes=(lasting.start - NOON) / MINUTE)
    assert lasting in lab.untouched.incidents(lasting.end, lasting.end)
    assert lasting not in lab.fleet.incidents(lasting.end, lasting.end)
    assert lab.changed(lasting.end, lasting.end).any()


def test_no_incident_starts_during_the_ramp_of_healthy(tmp_path: Path) -> None:
    """Also for a ramp of five days."""
    lab = Lab(tmp_path, rate=4)
    lab.post(ScenarioKind.HEALTHY, ramp=5 * 24 * 60)
    assert [one.start for one in lab.untouched.incidents(NOON, NOON + 5 * DAY) if one.start > NOON]
    assert not [one for one in lab.fleet.incidents(NOON, NOON + 5 * DAY) if one.start > NOON]


def test_healthy_recovers_over_its_ramp(tmp_path: Path) -> None:
    """After half of the ramp, about half of the incident is left."""
    lab = Lab(tmp_path)
    lab.post(ScenarioKind.DISK_FILL, "db-01", ramp=10)
    lab.clock.time = NOON + 7200
    lab.post(ScenarioKind.HEALTHY, "db-01", ramp=120)
    end = NOON + 7200
    full, half, gone = (
        row(lab.fleet.panel(at, at), "db-01", "disk_used_pct")[0]
        - row(lab.untouched.panel(at, at), "db-01", "disk_used_pct")[0]
        for at in (end, end + 3600, end + 7200)
    )
    assert full > 20
    assert 0.4 * full < half < 0.75 * full
    assert gone == 0


def test_healthy_cancels_the_scenarios_of_its_servers(lab: Lab) -> None:
    """A scenario without any server left is cancelled; from another one the servers are released."""
    alone = lab.post(ScenarioKind.MEMORY_LEAK, "web-01")
    shared = lab.post(ScenarioKind.MEMORY_LEAK, "web-01", "web-02")
    other = lab.post(ScenarioKind.MEMORY_LEAK, "web-03")
    lab.clock.time = NOON + 3600
    lab.post(ScenarioKind.HEALTHY, "web-01", ramp=20)
    assert [lab.state(name) for name in (alone, shared, other)] == [
        (ScenarioState.RECOVERING, True),
        (ScenarioState.ACTIVE, False),
        (ScenarioState.ACTIVE, False),
    ]
    later = NOON + 3600 + 20 * MINUTE
    changed = lab.changed(later, later + DAY)
    servers = {key.server for key, differs in zip(lab.fleet.keys, changed.any(axis=1), strict=True) if differs}
    assert servers == {"web-02", "web-03"}


def test_a_scenario_posted_after_healthy_happens(lab: Lab) -> None:
    """`healthy` does not prevent later scenarios."""
    lab.post(ScenarioKind.HEALTHY)
    lab.post(ScenarioKind.MEMORY_LEAK, "web-01")
    assert lab.changed(NOON, NOON + DAY).any()


def test_a_prevented_incident_does_not_return_after_a_cancellation(tmp_path: Path) -> None:
    """Prevented incidents stay away; incidents that start after the cancellation happen."""
    lab = Lab(tmp_path, rate=4)
    until = NOON + 2 * DAY
    own = lab.untouched.incidents(NOON, NOON + 6 * DAY)
    name = lab.post(ScenarioKind.HEALTHY)
    lab.clock.time = until
    delivered = lab.fleet.panel(NOON, until)
    lab.scenarios.cancel(name)
    np.testing.assert_array_equal(lab.fleet.panel(NOON, until).values, delivered.values)
    later = [one for one in own if one.start > until]
    assert later
    assert lab.fleet.incidents(until + STEP_SECONDS, NOON + 6 * DAY) == later


def test_the_truth_has_the_scenarios(lab: Lab) -> None:
    """A scenario is an incident of the fleet, with its id as cause and the step of the breach."""
    name = lab.post(ScenarioKind.MEMORY_LEAK, "web-01", ramp=120, minutes=180)
    (incident,) = lab.fleet.incidents(NOON, NOON + DAY)
    assert (incident.server, incident.kind, incident.cause) == ("web-01", "memory_leak", f"scenario {name}")
    assert incident.start == NOON + STEP_SECONDS
    assert incident.breach is not None
    panel = lab.fleet.panel(NOON, incident.breach)
    assert row(panel, "web-01", "mem_used_pct")[-1] > 95 >= row(panel, "web-01", "mem_used_pct")[-2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            ScenarioRequest(kind=ScenarioKind.CRITICAL, servers=["web-01", "web-9", "x\n"]),
            r"'web-9', 'x\\n'.* use db-01, db-02, .*web-04$",
        ),
        (
            ScenarioRequest(kind=ScenarioKind.CRITICAL, profile="ml_compute"),
            "'ml_compute'.*use database, generic, web_api",
        ),
        (ScenarioRequest(kind=ScenarioKind.CRITICAL, servers=["web-01"], profile="web_api"), "not both"),
        (
            ScenarioRequest(kind=ScenarioKind.DISK_FILL),
            "disk_fill needs servers or a profile; only healthy, degrading, critical, cascade",
        ),
    ],
)
def test_a_bad_request_is_rejected_with_the_choices(lab: Lab, wrong: ScenarioRequest, message: str) -> None:
    """The error names the value and the choices; nothing is stored."""
    with pytest.raises(BadScenario, match=message):
        lab.scenarios.post(wrong)
    assert lab.scenarios.known() == ()
    assert not lab.path.exists()


def test_a_profile_selects_its_servers_and_nothing_selects_all(lab: Lab) -> None:
    """The servers are selected when the scenario is posted."""
    chosen = [
        lab.scenarios.post(request).servers
        for request in (
            ScenarioRequest(kind=ScenarioKind.CRITICAL, profile="database"),
            ScenarioRequest(kind=ScenarioKind.CASCADE),
        )
    ]
    assert chosen == [("db-01", "db-02"), tuple(lab.fleet.profiles)]


def test_without_a_simulator_there_are_no_scenarios(lab: Lab) -> None:
    """Without a simulator every call is an error; stored scenarios still apply to a fleet with their servers."""
    name = lab.post(ScenarioKind.MEMORY_LEAK, "web-01", "web-02")
    lab.scenarios.reconfigure({})
    for ask in (
        lambda: lab.scenarios.post(ScenarioRequest(kind=ScenarioKind.HEALTHY)),
        lambda: lab.scenarios.cancel(name),
    ):
        with pytest.raises(NoSimulator, match="no source is of type simulator"):
            ask()
    with pytest.raises(NoSimulator):
        lab.scenarios.listed()
    smaller = Fleet(FleetSpec(counts={"web_api": 1}, seed=7, **NO_EVENTS), lab.scenarios.known)
    panel = smaller.panel(NOON, NOON + DAY)
    assert row(panel, "web-01", "mem_used_pct").max() > 95


def test_active_and_stored_scenarios_are_bounded(lab: Lab) -> None:
    """One more than the maximum is refused until one has ended; of ended ones the newest stay."""
    names = [lab.post(ScenarioKind.MEMORY_LEAK, "web-01") for _ in range(MOST_ACTIVE)]
    with pytest.raises(ScenarioRefused, match=f"{MOST_ACTIVE} scenarios are active"):
        lab.post(ScenarioKind.HEALTHY)
    lab.scenarios.cancel(names[0])
    for _ in range(MOST_STORED + 20):
        lab.scenarios.cancel(lab.post(ScenarioKind.MEMORY_LEAK, "web-01"))
    known = [each.id for each in lab.scenarios.known()]
    assert len(known) == len(set(known)) == MOST_STORED
    assert set(names[1:]) < set(known)
    assert names[0] not in known


def test_no_scenario_with_undelivered_steps_is_dropped(lab: Lab) -> None:
    """Its steps can still be requested."""
    lab.scenarios.mark_delivered(NOON)
    for _ in range(MOST_STORED // MOST_ACTIVE):
        for _ in range(MOST_ACTIVE):
            lab.post(ScenarioKind.MEMORY_LEAK, "web-01", minutes=5)
        lab.clock.time += 3600
    with pytest.raises(ScenarioRefused, match=f"last {MOST_STORED} scenarios are not over"):
        lab.post(ScenarioKind.MEMORY_LEAK, "web-01")
    lab.scenarios.mark_delivered(lab.clock.time)
    lab.post(ScenarioKind.MEMORY_LEAK, "web-01")
    assert len(lab.scenarios.known()) == MOST_STORED


def test_an_ended_or_unknown_scenario_cannot_be_cancelled(lab: Lab) -> None:
    """Each is an error with its reason."""
    name = lab.post(ScenarioKind.MEMORY_LEAK, "web-01", minutes=60)
    with pytest.raises(NoSuchScenario, match=r"'nothing-1'"):
        lab.scenarios.cancel("nothing-1")
    lab.clock.time = NOON + 3600 + 1
    with pytest.raises(ScenarioRefused, match=f"{name} has ended"):
        lab.scenarios.cancel(name)
    early = lab.post(ScenarioKind.MEMORY_LEAK, "web-01")
    lab.scenarios.cancel(early)
    with pytest.raises(ScenarioRefused, match=f"{early} has ended"):
        lab.scenarios.cancel(early)


@pytest.mark.parametrize(
    ("key", "value"),
    [("ramp_seconds", 0), ("start", 1767614701), ("ending", [1767625200, 0]), ("id", "leak"), ("x", 1)],
)
def test_a_record_with_a_wrong_value_is_not_read(lab: Lab, key: str, value: object) -> None:
    """A length of 0 s, a start between two steps, an id without a number and an unknown key are errors."""
    lab.path.write_text(json.dumps([json.loads(STORED)[0] | {key: value}]))
    assert Scenarios(lab.path, lab.clock.now).known() == ()


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 200_000, '[{"id": "a-1"}]', '[{"kind": "none"}]', "\ud800"])
def test_a_corrupt_file_is_an_empty_list(lab: Lab, content: str) -> None:
    """The next posted scenario replaces the file."""
    lab.path.write_bytes(content.encode("utf-8", "surrogatepass"))
    lab.scenarios, lab.fleet = lab.again()
    assert lab.scenarios.known() == ()
    name = lab.post(ScenarioKind.CRITICAL)
    assert [each["id"] for each in json.loads(lab.path.read_text())] == [name]


def test_a_scenario_that_cannot_be_stored_does_not_happen(lab: Lab) -> None:
    """If the file cannot be written, the request is an error and the fleet does not change."""
    lab.path.mkdir()
    with pytest.raises(ScenariosNotWritten, match=r"scenarios\.json"):
        lab.post(ScenarioKind.CRITICAL)
    assert lab.scenarios.known() == ()
