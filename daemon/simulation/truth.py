"""What an outbreak came to, judged on what the servers truly did: no lost sample changes it."""

from daemon.domain.grid import STEP_SECONDS
from daemon.domain.series import Float32
from daemon.simulation.incident import Incident, IncidentKind
from daemon.simulation.outbreak import Outbreak

NOTICE_SECONDS = 1800
NOTICE_STEPS = NOTICE_SECONDS // STEP_SECONDS
VISIBLE_SHARE = 0.1


def judged(one: Outbreak, server: str, kind: IncidentKind, actual: Float32, calm: Float32) -> Incident:
    """Return the record of an outbreak.

    Args:
        one: the outbreak.
        server: the id of the server that it is on.
        kind: its kind, as tuned for the fleet.
        actual: the metric of the kind at every step from the outbreak's start to its end.
        calm: what the metric would have been without incidents, at the same steps.
    """
    past = actual > kind.critical
    step = int(past.argmax()) if past.any() else None
    breach = None if step is None else one.start + step * STEP_SECONDS
    precursor = had_precursor(one, kind.critical, actual, calm, step)
    return Incident(server, one.kind, kind.metric, one.start, breach, one.end, one.cause, precursor)


def had_precursor(one: Outbreak, critical: float, actual: Float32, calm: Float32, breach: int | None) -> bool:
    """Return whether the outbreak showed itself at least half an hour before its breach at step ``breach``.

    With a breach: at some step NOTICE_SECONDS or more before it, the outbreak's own contribution to the metric (with
    it less without it) was at least VISIBLE_SHARE of the way from the metric's mean without it, taken from the start
    to the breach, to the critical level. Without a breach: its ramp takes at least NOTICE_SECONDS.
    """
    if breach is None:
        return one.ramp_seconds >= NOTICE_SECONDS
    early = slice(0, max(0, breach - NOTICE_STEPS + 1))
    way = critical - float(calm[: breach + 1].mean())
    return bool(((actual - calm)[early] >= VISIBLE_SHARE * way).any())
