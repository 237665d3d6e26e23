from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_WEEK
from daemon.simulation.incident import CASCADE, KINDS, SUDDEN_HOURS, IncidentTuning
from daemon.simulation.outbreak import UPSTREAM, Outbreak, Outbreaks, callers
from daemon.simulation.profile import PROFILES
from daemon.simulation.spec import FleetSpec, Server, counts_for, servers_of

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
DAY = STEPS_PER_DAY * STEP_SECONDS
WEEK = STEPS_PER_WEEK * STEP_SECONDS
SPEC = FleetSpec(counts=counts_for(40), seed=5)
SERVERS = servers_of(SPEC)


@pytest.fixture(scope="module")
def year() -> list[Outbreak]:
    """The outbreaks of forty servers in a year with many incidents."""
    return Outbreaks(SERVERS, 2).between(MONDAY, MONDAY + 52 * WEEK)


def tuned(**changes: IncidentTuning) -> list[Outbreak]:
    """Return the outbreaks of ten weeks with many incidents, with overrides of some kinds."""
    spec = FleetSpec(counts=SPEC.counts, seed=SPEC.seed, incidents=changes)
    return Outbreaks(SERVERS, 2, spec.kinds).between(MONDAY, MONDAY + 10 * WEEK)


def hours(one: Outbreak) -> float:
    return one.ramp_seconds / 3600


def test_every_kind_happens_on_every_profile_that_names_it(year: list[Outbreak]) -> None:
    """Each profile has exactly its kinds; profiles that call others have cascades too."""
    found: dict[str, set[str]] = {profile: set() for profile in PROFILES}
    for one in year:
        found[SERVERS[one.row].profile].add(one.kind)
    for name, profile in PROFILES.items():
        assert found[name] == set(profile.incidents) | ({CASCADE} if name in UPSTREAM else set()), name
    assert set().union(*found.values()) == set(KINDS)


def test_a_server_without_gpu_or_swap_has_no_incident_of_it(year: list[Outbreak]) -> None:
    """A server has only incidents of metrics that it has."""
    for one in year:
        assert KINDS[one.kind].metric != "gpu_mem_used_pct" or SERVERS[one.row].has_gpu
        assert KINDS[one.kind].metric != "swap_used_pct" or SERVERS[one.row].has_swap


def test_no_two_at_once_on_one_server(year: list[Outbreak]) -> None:
    """Each outbreak starts after the previous one of its server has ended, also over weeks."""
    for row in range(len(SERVERS)):
        own = [one for one in year if one.row == row]
        assert len(own) > 10
        assert all(after.start > before.end for before, after in pairwise(own))


def test_every_span_has_the_same_outbreaks() -> None:
    """Single days, each from a new object, add up to the month."""
    by_day = {one for day in range(28) for one in Outbreaks(SERVERS, 2).between(MONDAY + day * DAY, MONDAY + day * DAY)}
    whole = Outbreaks(SERVERS, 2).between(MONDAY, MONDAY + 27 * DAY)
    midnights = [MONDAY + day * DAY for day in range(28)]
    assert by_day == {one for one in whole if any(one.start <= at <= one.end for at in midnights)}
    assert any(one.kind == CASCADE for one in by_day)


def test_a_cascade_follows_a_called_server_and_names_it(year: list[Outbreak]) -> None:
    """It has the time course of its origin, 10 to 60 minutes later for each hop; its cause names the origin."""
    upstream = {row: called for called, rows in callers(SERVERS).items() for row in rows}
    by_name = {server.id: row for row, server in enumerate(SERVERS)}
    cascades = [one for one in year if one.kind == CASCADE]
    hops: Counter[int] = Counter()
    for one in cascades:
        kind, _, rest = one.cause.partition(" on ")
        name, _, cause = rest.partition(": ")
        path = [one.row]
        while path[-1] != by_name[name]:
            path.append(upstream[path[-1]])
        count = len(path) - 1
        hops[count] += 1
        (origin,) = [
            each
            for each in year
            if each.row == by_name[name] and 600 * count <= one.start - each.start <= 3600 * count and each.kind == kind
        ]
        assert origin.cause == cause in KINDS[kind].causes
        assert one.end - one.start == origin.end - origin.start
        assert (one.ramp_seconds, one.knots) == (origin.ramp_seconds, origin.knots)
    assert hops[1] > hops[2] > 0
    lags = {one.start % 3600 for one in cascades}
    assert len(lags) > 5


def test_one_origin_reaches_several_servers(year: list[Outbreak]) -> None:
    """One cause reaches at least four servers."""
    reached = Counter(one.cause for one in year if one.kind == CASCADE)
    assert max(reached.values()) >= 4


def test_dependencies_do_not_change_when_the_fleet_grows() -> None:
    """New servers do not change the dependencies of the others."""
    grown = servers_of(FleetSpec(counts=counts_for(80), seed=5))

    def pairs(servers: tuple[Server, ...]) -> set[tuple[str, str]]:
        calling = callers(servers)
        return {(servers[called].id, servers[row].id) for called, rows in calling.items() for row in rows}

    assert {("db-01", "web-01"), ("db-01", "web-02"), ("db-02", "web-03")} <= pairs(SERVERS) < pairs(grown)
    assert callers(servers_of(FleetSpec(counts={"web_api": 3}))) == {}


def test_a_failed_batch_starts_at_the_end_of_the_batch_run(year: list[Outbreak]) -> None:
    """It starts at the usual end of the first batch run of its server."""
    failed = [one for one in year if one.kind == "failed_batch"]
    assert len(failed) > 20
    for one in failed:
        run = SERVERS[one.row].work[0]
        late = (one.start / 3600 - run.start_hour - run.hours) % 24
        assert late < 1e-3 or late > 24 - STEP_SECONDS / 3600


def test_a_share_of_a_kind_is_sudden(year: list[Outbreak]) -> None:
    """The share of sudden slow_io incidents is that of the kind; noisy neighbours are always fast."""
    slow = [hours(one) for one in year if one.kind == "slow_io"]
    sudden = np.mean([time <= SUDDEN_HOURS[1] for time in slow])
    assert len(slow) > 100
    assert abs(sudden - KINDS["slow_io"].sudden_chance) < 0.1
    assert max(hours(one) for one in year if one.kind == "noisy_neighbour") < 0.5
    assert min(hours(one) for one in year if one.kind in {"memory_leak", "disk_fill"}) < 0.5


def test_the_rate_is_that_of_the_fleet() -> None:
    """The mean number per server and week without cascades is near the rate; 0 for a rate of 0."""
    ones = Outbreaks(SERVERS, 0.35).between(MONDAY, MONDAY + 52 * WEEK)
    own = [one for one in ones if one.kind != CASCADE]
    assert 0.31 < len(own) / len(SERVERS) / 52 < 0.38
    assert 0.02 < (len(ones) - len(own)) / len(own) < 0.5
    assert Outbreaks(SERVERS, 0).between(MONDAY, MONDAY + 52 * WEEK) == []


def test_weights_change_the_mix() -> None:
    """A kind of weight 0 never happens, one of weight 1000 nearly always; without kinds there is no incident."""
    never = Counter(one.kind for one in tuned(memory_leak=IncidentTuning(weight=0), cascade=IncidentTuning(weight=0)))
    assert never["disk_fill"] > never["memory_leak"] == never[CASCADE] == 0
    often = tuned(runaway_job=IncidentTuning(weight=1000), cascade=IncidentTuning(weight=0))
    assert np.mean([one.kind == "runaway_job" for one in often]) > 0.95
    assert tuned(**dict.fromkeys(KINDS, IncidentTuning(weight=0))) == []


def test_ramps_holds_and_repairs_are_as_given() -> None:
    """Overridden hours apply to every incident of the kind; one that is always repaired never holds."""
    ones = tuned(
        disk_fill=IncidentTuning(ramp_hours=(40, 50), hold_hours=(8, 9), recovery_hours=(2, 3), repair_chance=0),
        memory_leak=IncidentTuning(repair_chance=1, sudden_chance=0),
        slow_io=IncidentTuning(sudden_chance=1, weight=10),
    )
    by_kind = {kind: [one for one in ones if one.kind == kind] for kind in ("disk_fill", "memory_leak", "slow_io")}
    assert min(len(each) for each in by_kind.values()) > 5
    for one in by_kind["disk_fill"]:
        assert 40 <= hours(one) <= 50
        assert 2 * 3600 <= one.recovery_seconds <= 3 * 3600
        held = one.end - one.recovery_seconds - one.start - one.ramp_seconds
        assert 8 * 3600 - STEP_SECONDS <= held <= 9 * 3600 + STEP_SECONDS
        falling = one.size(np.arange(one.end - one.recovery_seconds, one.end + 2 * STEP_SECONDS, STEP_SECONDS))
        assert falling[0] == 1
        assert (np.diff(falling) < 0).all()
        assert falling[-1] == 0
    assert all(one.end - one.recovery_seconds - one.start < one.ramp_seconds for one in by_kind["memory_leak"])
    assert all(hours(one) <= SUDDEN_HOURS[1] for one in by_kind["slow_io"])
