"""Simulated incidents to learn from: on real servers they are too few, and nobody has written down which they were."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS
from daemon.domain.metric import Metric
from daemon.domain.ports import Forecaster
from daemon.domain.risk import thresholded
from daemon.domain.series import Float64
from daemon.learning.breach.examples import Examples, configured, examples
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import Incident
from daemon.simulation.spec import FleetSpec, counts_for

SERVERS = 60
PER_SERVER_WEEK = 1.0
_START = 1_767_571_200  # 2026-01-05T00:00:00Z, a Monday
_DAY_SECONDS = 86_400
_HISTORY_DAYS, _DAYS = 28, 24
_APART_SECONDS = 1800
_HORIZON_SECONDS = HORIZON_STEPS * STEP_SECONDS
# of the servers far from any incident, of which there are too many
_KEPT = 0.1


@dataclass(frozen=True)
class Rehearsal:
    """Windows at the thresholds of simulated fleets, most of them about an incident.

    Attributes:
        examples: the windows.
        weight: ``(windows,)`` how many of a fleet with the usual number of incidents each stands for.
    """

    examples: Examples
    weight: Float64

    @classmethod
    def concatenate(cls, parts: Sequence["Rehearsal"]) -> "Rehearsal":
        """Return the windows of all parts."""
        weights = [np.empty(0), *(part.weight for part in parts)]
        return cls(Examples.concatenate([part.examples for part in parts]), np.concatenate(weights))

    def usual(self, windows: int, seed: int) -> Examples:
        """Return so many windows as a fleet with the usual number of incidents has them, drawn with replacement.

        Of no windows there are none.
        """
        if not len(self.weight):
            return self.examples
        rows = np.random.default_rng(seed).choice(len(self.weight), windows, p=self.weight / self.weight.sum())
        return self.examples.select(rows)


def rehearse(
    forecaster: Forecaster,
    metrics: Mapping[str, Metric],
    seed: int,
    servers: int = SERVERS,
    days: int = _DAYS,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Rehearsal:
    """Return windows of the thresholds of ``metrics`` on a simulated fleet that has many incidents.

    Args:
        forecaster: whose paths the features are taken from.
        metrics: those with thresholds are looked at.
        seed: of the fleet, and of which windows are kept.
        servers: of the fleet.
        days: from which windows are taken; four weeks come before them.
        on_progress: called with the share that is done.
    """
    fleet = Fleet(FleetSpec(seed=seed, counts=counts_for(servers), incidents_per_server_week=PER_SERVER_WEEK))
    first = _START + _HISTORY_DAYS * _DAY_SECONDS
    end = first + days * _DAY_SECONDS - STEP_SECONDS
    whole = fleet.panel(_START, end)
    panel = whole.select([row for row, key in enumerate(whole.keys) if key.metric in thresholded(metrics)])
    incidents = _by_server(fleet.incidents(first, end))
    generator = np.random.default_rng(seed)
    origins = range(first, end - _HORIZON_SECONDS + 1, _APART_SECONDS)
    parts = []
    for number, origin in enumerate(origins):
        some = {
            server
            for server, kept in zip(fleet.profiles, generator.random(servers) < _KEPT, strict=True)
            if kept or _near(incidents, server, origin)
        }
        part = panel.select([row for row, key in enumerate(panel.keys) if key.server in some])
        parts += examples(part, [origin], forecaster, [configured(metrics)])
        on_progress((number + 1) / len(origins))
    found = Examples.concatenate(parts)
    near = [
        _near(incidents, watch.key.server, origin)
        for watch, origin in zip(found.watched, found.origins.tolist(), strict=True)
    ]
    usual = FleetSpec().incidents_per_server_week / PER_SERVER_WEEK
    return Rehearsal(found, np.where(near, usual, 1 / _KEPT))


def _near(incidents: Mapping[str, Sequence[Incident]], server: str, origin: int) -> bool:
    """Return whether ``server`` has an incident under way, or one that begins within the forecast's hours."""
    return any(one.start - _HORIZON_SECONDS <= origin <= one.end for one in incidents.get(server, ()))


def _by_server(incidents: Sequence[Incident]) -> dict[str, list[Incident]]:
    found: dict[str, list[Incident]] = {}
    for one in incidents:
        found.setdefault(one.server, []).append(one)
    return found
