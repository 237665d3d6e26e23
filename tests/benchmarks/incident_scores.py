"""How well breaches are foretold, by window and by incident, where the truth of every incident is known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS
from daemon.learning.breach.examples import Examples
from daemon.simulation.incident import Incident

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Told:
    """What became of one incident that breached some threshold.

    Attributes:
        incident: the incident.
        lead_seconds: from the first alert while it was under way to the breach; None without one.
    """

    incident: Incident
    lead_seconds: int | None


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


def told(windows: Examples, caused: Sequence[Incident | None], alerted: Bools) -> list[Told]:
    """Return how each incident that breached was told of, by the alerts between its start and its first breach."""
    first: dict[Incident, int] = {}
    warned: dict[Incident, int] = {}
    breaches = (windows.origins + windows.onset * STEP_SECONDS).tolist()
    for cause, breach in zip(caused, breaches, strict=True):
        if cause is not None:
            first[cause] = min(breach, first.get(cause, breach))
    for cause, origin, alert in zip(caused, windows.origins.tolist(), alerted.tolist(), strict=True):
        if alert and cause is not None and cause.start <= origin < first[cause]:
            warned[cause] = min(origin, warned.get(cause, origin))
    return [Told(one, breach - warned[one] if one in warned else None) for one, breach in first.items()]
