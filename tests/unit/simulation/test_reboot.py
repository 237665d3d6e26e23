import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_WEEK, Panel
from daemon.simulation.events import DOWN_STEPS, Reboots
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import KINDS
from daemon.simulation.noise import Key
from daemon.simulation.outbreak import Outbreaks
from daemon.simulation.spec import FleetSpec, counts_for, servers_of

MONDAY_NUMBER = 20_458  # 2026-01-05
DAY = STEPS_PER_DAY * STEP_SECONDS
MONDAY = MONDAY_NUMBER * DAY
WEEK = STEPS_PER_WEEK * STEP_SECONDS
KEYS = [Key.of(1, f"web-{number:02d}") for number in range(50)]
COUNTS = {"database": 4, "web_api": 4}


def fleet(reboots_per_server_week: float) -> Fleet:
    """Return eight servers with reboots and nothing else."""
    spec = FleetSpec(
        counts=COUNTS,
        seed=3,
        incidents_per_server_week=0,
        missing_rate=0,
        outages_per_server_week=0,
        reboots_per_server_week=reboots_per_server_week,
    )
    return Fleet(spec)


@pytest.fixture(scope="module")
def panels() -> tuple[Panel, Panel]:
    """A week with about one reboot per server, and the same week without."""
    often, never = (fleet(rate).panel(MONDAY, MONDAY + WEEK - STEP_SECONDS) for rate in (1, 0))
    return often, never


def test_the_rate_is_that_of_the_spec() -> None:
    """The number of reboots is near the rate, each takes 5 to 15 minutes; none for a rate of 0."""
    reboots = Reboots(KEYS, 0.7)
    down = np.concatenate([reboots.uptime(MONDAY_NUMBER + day).down for day in range(70)], axis=1)
    edges = np.diff(np.pad(down, ((0, 0), (1, 1))).astype(int), axis=1)
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    assert 0.8 * 350 < len(lengths) < 1.2 * 350
    assert set(lengths) == set(range(DOWN_STEPS[0], DOWN_STEPS[1] + 1))
    none = Reboots(KEYS, 0).uptime(MONDAY_NUMBER)
    assert not none.down.any()
    assert (none.warmth == 1).all()


def test_a_server_has_no_samples_while_it_is_off(panels: tuple[Panel, Panel]) -> None:
    """All its metrics are missing in the same steps, and no other sample is missing."""
    often, never = panels
    assert np.isfinite(never.values).all()
    off = 0
    for server in often.profiles:
        missing = np.isnan(often.values[[key.server == server for key in often.keys]])
        assert (missing.all(axis=0) == missing.any(axis=0)).all()
        off += missing.any(axis=0).sum()
    assert 4 < off < 60


def test_a_reboot_empties_caches(panels: tuple[Panel, Panel]) -> None:
    """Memory and swap are far lower after it and as usual a day later; traffic does not change."""
    often, never = panels
    checked = 0
    for row, key in enumerate(often.keys):
        missing = np.isnan(often.values[row])
        starts = np.flatnonzero(~missing[1:] & missing[:-1]) + 1
        if key.metric not in {"mem_used_pct", "swap_used_pct", "net_in_mb_s"} or not len(starts):
            continue
        back = int(starts[0])
        down = int(missing.argmax())
        ours, theirs = often.values[row], never.values[row]
        # the caches of a reboot at the weekend are not full yet
        if (ours[:down] != theirs[:down]).any():
            continue
        if key.metric == "net_in_mb_s":
            np.testing.assert_array_equal(ours[~missing], theirs[~missing])
            continue
        checked += 1
        assert ours[back] < 0.75 * theirs[back], key
        hole = theirs - ours
        if not missing[back : back + 144].any():
            assert 0.2 * hole[back] < hole[back + 60] < 0.6 * hole[back], key
            assert hole[back + 143] < 0.15 * hole[back], key
        later = slice(back + STEPS_PER_DAY, back + STEPS_PER_DAY + 12)
        if not missing[back : later.stop].any() and later.stop <= often.steps:
            np.testing.assert_allclose(ours[later], theirs[later], rtol=0.02)
    assert checked >= 4


def test_a_single_day_has_the_reboots_of_the_days_before() -> None:
    """A single day equals the same day of a long span, also after a reboot over midnight."""
    whole = fleet(3).panel(MONDAY, MONDAY + 10 * DAY - STEP_SECONDS)
    for day in (0, 4, 9):
        start = MONDAY + day * DAY
        alone = fleet(3).panel(start, start + DAY - STEP_SECONDS)
        np.testing.assert_array_equal(alone.values, whole.between(start, start + DAY - STEP_SECONDS).values)
    reboots = Reboots(KEYS, 5)
    ends = np.stack([reboots.uptime(day).down[:, -1] for day in range(MONDAY_NUMBER, MONDAY_NUMBER + 300)])
    begins = np.stack([reboots.uptime(day).down[:, 0] for day in range(MONDAY_NUMBER + 1, MONDAY_NUMBER + 301)])
    assert (ends & begins).any()


def test_a_reboot_ends_a_leak_and_not_a_full_disk() -> None:
    """No incident of a kind with ``reboot_ends`` continues over a reboot; others do."""
    servers = servers_of(FleetSpec(counts=counts_for(40), seed=5))
    reboots = Reboots([server.key for server in servers], 2)
    ones = Outbreaks(servers, 2, KINDS, reboots).between(MONDAY, MONDAY + 12 * WEEK)
    during = {one.kind for one in ones if reboots.first_between(one.row, one.start, one.end) is not None}
    ended = {one.kind for one in ones if reboots.first_between(one.row, one.end + STEP_SECONDS, one.end + STEP_SECONDS)}
    ending = {name for name, kind in KINDS.items() if kind.reboot_ends}
    assert not during & ending
    assert "disk_fill" in during
    assert "memory_leak" in ended
