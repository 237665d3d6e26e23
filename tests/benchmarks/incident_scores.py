"""How well breaches are foretold, by window and by incident, where the truth of every incident is known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS
from daemon.learning.breach.examples import Examples
from daemon.simulation.incident import Incident

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """What became of one incident at the threshold that it is judged on, and whether it was foretold.

    Attributes:
        incident: the incident.
        breached: whether a breach of that threshold began while it was under way.
        lead_seconds: from the first alert while it was under way to the breach, or to its end where none came; None
            without one.
    """

    incident: Incident
    breached: bool
    lead_seconds: int | None

    @property
    def told(self) -> bool:
        """Whether there was such an alert."""
        return self.lead_seconds is not None


def causes(windows: Examples, incidents: Iterable[Incident]) -> list[Incident | None]:
    """Return of each window the incident on its server in whose time the breach began; None for no breach or none."""
    by_server: dict[str, list[Incident]] = {}
    for incident in incidents:
        by_server.setdefault(incident.server, []).append(incident)
    at = windows.origins + windows.onset * STEP_SECONDS
    return [
        next((one for one in by_server.get(watch.key.server, ()) if step and one.start <= breach <= one.end), None)
        for watch, step, breach in zip(windows.watched, windows.onset.tolist(), at.tolist(), strict=True)
    ]


def foreseeable(windows: Examples, caused: Sequence[Incident | None]) -> Bools:
    """Return which windows come before a breach of an incident that has a precursor and is under way."""
    return np.array(
        [
            cause is not None and cause.precursor and cause.start <= origin
            for cause, origin in zip(caused, windows.origins.tolist(), strict=True)
        ],
        dtype=bool,
    )


def outcomes(
    windows: Examples, incidents: Iterable[Incident], critical: Mapping[str, float], alerted: Bools
) -> list[Outcome]:
    """Return what became of each incident, and whether an alert told of it in time.

    An incident is judged on the metric of its kind, at the highest threshold that is watched up to the level at which
    the incident breaks something. One that was under way at no quiet window of that threshold is left out.

    Args:
        windows: quiet windows of all thresholds.
        incidents: of the same servers.
        critical: by kind, that level.
        alerted: ``(windows,)`` whether there is an alert at the window.
    """
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, watch in enumerate(windows.watched):
        rows_of.setdefault((watch.key.server, watch.key.metric), []).append(row)
    thresholds = np.array([watch.threshold for watch in windows.watched], dtype=np.float64)
    found = []
    for one in incidents:
        rows = np.array(rows_of.get((one.server, one.metric), []), dtype=np.intp)
        rows = rows[(windows.origins[rows] >= one.start) & (windows.origins[rows] <= one.end)]
        rows = rows[thresholds[rows] <= critical[one.kind]]
        rows = rows[thresholds[rows] == thresholds[rows].max(initial=-np.inf)]
        if not len(rows):
            continue
        at = windows.origins[rows] + windows.onset[rows] * STEP_SECONDS
        hit = (windows.onset[rows] > 0) & (at <= one.end)
        until = int(at[hit].min()) if hit.any() else one.end
        told = windows.origins[rows][alerted[rows] & (windows.origins[rows] < until)]
        found.append(Outcome(one, bool(hit.any()), until - int(told.min()) if len(told) else None))
    return found
