import numpy as np

from daemon.core.series import STEP_SECONDS, Float32
from daemon.simulation.fleet import incident_of
from daemon.simulation.incident import KINDS
from daemon.simulation.outbreak import Outbreak

START = 1_767_571_200
KIND = KINDS["memory_leak"]
STEPS = 48
CALM = np.full(STEPS, 45, np.float32)  # critical is 95, so a tenth of the way is 5


def outbreak(ramp_seconds: float) -> Outbreak:
    return Outbreak(
        row=0,
        kind="memory_leak",
        start=START,
        end=START + (STEPS - 1) * STEP_SECONDS,
        ramp_seconds=ramp_seconds,
        knots=(0.0, 1.0),
        peak=99,
        cause="a leak",
        recovery_seconds=0,
    )


def precursor(contribution: Float32, ramp_seconds: float = 3600, calm: Float32 = CALM) -> bool:
    return incident_of(outbreak(ramp_seconds), "web-01", KIND, calm + contribution, calm).precursor


def stepped(early: float, before: int) -> Float32:
    """Return a contribution that is ``early`` for ``before`` steps and past critical from then on."""
    return np.where(np.arange(STEPS) < before, early, 60).astype(np.float32)


def test_the_record_is_that_of_the_outbreak() -> None:
    """Server, times, cause and metric are told, and the breach is the first step past critical, not on it."""
    contribution = np.zeros(STEPS, np.float32)
    contribution[7], contribution[9:] = 50, 50.5
    told = incident_of(outbreak(3600), "web-01", KIND, CALM + contribution, CALM)
    assert (told.server, told.kind, told.metric, told.cause) == ("web-01", "memory_leak", "mem_used_pct", "a leak")
    assert (told.start, told.end) == (START, START + (STEPS - 1) * STEP_SECONDS)
    assert told.breach == START + 9 * STEP_SECONDS
    assert incident_of(outbreak(3600), "web-01", KIND, CALM, CALM).breach is None


def test_what_shows_half_an_hour_before_is_a_precursor() -> None:
    """A contribution of a tenth of the way, seen 30 minutes before the breach, is one; seen 25 minutes before, not."""
    assert precursor(stepped(5, before=6))
    assert not precursor(stepped(5, before=5))


def test_less_than_a_tenth_of_the_way_shows_nothing() -> None:
    """Just below the share it is none, however long it lasts."""
    assert precursor(stepped(5.01, before=40))
    assert not precursor(stepped(4.99, before=40))


def test_what_the_server_does_by_itself_is_no_precursor() -> None:
    """A day that rises towards the threshold without the incident's doing is not counted for it."""
    rising = np.linspace(30, 80, STEPS).astype(np.float32)
    assert not precursor(np.where(np.arange(STEPS) < 40, 0, 60).astype(np.float32), calm=rising)


def test_without_a_breach_a_ramp_is_one() -> None:
    """What never broke anything had a precursor unless it came on within half an hour."""
    quiet = np.full(STEPS, 10, np.float32)
    assert precursor(quiet, ramp_seconds=1800)
    assert not precursor(quiet, ramp_seconds=1700)
