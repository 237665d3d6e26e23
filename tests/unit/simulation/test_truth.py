import numpy as np

from daemon.core.series import STEP_SECONDS, Float32
from daemon.simulation.fleet import incident_of
from daemon.simulation.incident import KINDS
from daemon.simulation.outbreak import Outbreak

START = 1_767_571_200
KIND = KINDS["memory_leak"]
STEPS = 48
CALM = np.full(STEPS, 45, np.float32)  # the critical level is 95, so a tenth of the distance is 5


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


def test_the_incident_has_the_values_of_its_outbreak() -> None:
    """The breach is the first step above the critical level, not at it."""
    contribution = np.zeros(STEPS, np.float32)
    contribution[7], contribution[9:] = 50, 50.5
    incident = incident_of(outbreak(3600), "web-01", KIND, CALM + contribution, CALM)
    assert (incident.server, incident.kind, incident.metric, incident.cause) == (
        "web-01",
        "memory_leak",
        "mem_used_pct",
        "a leak",
    )
    assert (incident.start, incident.end) == (START, START + (STEPS - 1) * STEP_SECONDS)
    assert incident.breach == START + 9 * STEP_SECONDS
    assert incident_of(outbreak(3600), "web-01", KIND, CALM, CALM).breach is None


def test_a_contribution_half_an_hour_before_is_a_precursor() -> None:
    """A tenth of the distance 30 minutes before the breach is a precursor; 25 minutes before it is not."""
    assert precursor(stepped(5, before=6))
    assert not precursor(stepped(5, before=5))


def test_a_smaller_contribution_is_no_precursor() -> None:
    """A contribution just below a tenth of the distance does not count, even for hours."""
    assert precursor(stepped(5.01, before=40))
    assert not precursor(stepped(4.99, before=40))


def test_a_rise_without_the_incident_is_no_precursor() -> None:
    """A daily rise towards the critical level is not a contribution of the incident."""
    rising = np.linspace(30, 80, STEPS).astype(np.float32)
    assert not precursor(np.where(np.arange(STEPS) < 40, 0, 60).astype(np.float32), calm=rising)


def test_without_a_breach_the_ramp_decides() -> None:
    """Without a breach, a ramp of at least half an hour is a precursor."""
    small = np.full(STEPS, 10, np.float32)
    assert precursor(small, ramp_seconds=1800)
    assert not precursor(small, ramp_seconds=1700)
