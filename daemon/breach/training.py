"""Learning how likely breaches are, choosing the cuts, and measuring both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from daemon.breach.decision import choose_decision_threshold
from daemon.breach.definition import MonitoredThreshold, Severity, thresholded
from daemon.breach.model import BreachModel
from daemon.breach.scoring import average_precision, brier, decisions, reliability_bins
from daemon.breach.windows import Examples, configured, examples, sampled
from daemon.core.forecast import Forecaster
from daemon.core.metric import Metric
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_HOUR, Float64, Panel, floor_to_grid
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import Incident
from daemon.simulation.spec import FleetSpec, counts_for

SERVERS = 60
PER_SERVER_WEEK = 1.0
_START = 1_767_571_200  # 2026-01-05T00:00:00Z, a Monday
_DAY_SECONDS = 86_400
_HISTORY_DAYS, _DAYS = 28, 24
_INCIDENTS_APART_SECONDS = 1800
_HORIZON_SECONDS = HORIZON_STEPS * STEP_SECONDS
# of the servers far from any incident, of which there are too many
_KEPT = 0.1


@dataclass(frozen=True)
class SimulatedIncidentSet:
    """Windows at the thresholds of simulated fleets, most of them about an incident.

    Attributes:
        examples: the windows.
        weight: ``(windows,)`` how many of a fleet with the usual number of incidents each stands for.
    """

    examples: Examples
    weight: Float64

    @classmethod
    def concatenate(cls, parts: Sequence["SimulatedIncidentSet"]) -> "SimulatedIncidentSet":
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


def simulate_incident_set(
    forecaster: Forecaster,
    metrics: Mapping[str, Metric],
    seed: int,
    *,
    servers: int = SERVERS,
    days: int = _DAYS,
    on_progress: Callable[[float], None] = lambda done: None,
) -> SimulatedIncidentSet:
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
    origins = range(first, end - _HORIZON_SECONDS + 1, _INCIDENTS_APART_SECONDS)
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
        for watch, origin in zip(found.monitored, found.origins.tolist(), strict=True)
    ]
    usual = FleetSpec().incidents_per_server_week / PER_SERVER_WEEK
    return SimulatedIncidentSet(found, np.where(near, usual, 1 / _KEPT))


def _near(incidents: Mapping[str, Sequence[Incident]], server: str, origin: int) -> bool:
    """Return whether ``server`` has an incident under way, or one that begins within the forecast's hours."""
    return any(one.start - _HORIZON_SECONDS <= origin <= one.end for one in incidents.get(server, ()))


def _by_server(incidents: Sequence[Incident]) -> dict[str, list[Incident]]:
    found: dict[str, list[Incident]] = {}
    for one in incidents:
        found.setdefault(one.server, []).append(one)
    return found


TARGET_PRECISION = 0.8
_MOST_ORIGINS, _FEWEST_ORIGINS = 240, 24
_WINDOWS = 60_000
_APART_SECONDS = 2 * 3600
_FIRST_STEPS = 7 * STEPS_PER_DAY
_EVERY_STEPS = STEPS_PER_HOUR // 2
_SAMPLED_SEED = 20


def learning_origins(panel: Panel, until: int) -> list[int]:
    """Return origins from a week after the start, or the middle of a shorter history, whose 8 h end by ``until``.

    They are two hours apart, or further where there are many series, so that all is learned in seconds.
    """
    last = until - HORIZON_STEPS * STEP_SECONDS
    first = min(panel.start + _FIRST_STEPS * STEP_SECONDS, (panel.start + last) // 2)
    count = min(
        _MOST_ORIGINS, max(_FEWEST_ORIGINS, _WINDOWS // max(1, len(panel.keys))), (last - first) // _APART_SECONDS
    )
    return sorted({floor_to_grid(each) for each in np.linspace(first, last, count)}) if last > first else []


def sampled_examples(panel: Panel, until: int, forecaster: Forecaster, seed: int = 0) -> Examples:
    """Return windows of random thresholds on all that is known ``until`` (epoch seconds)."""
    return examples(panel, learning_origins(panel, until), forecaster, [sampled(_SAMPLED_SEED + seed)])[0]


def learn(
    panel: Panel,
    until: int,
    forecaster: Forecaster,
    *,
    metrics: Mapping[str, Metric],
    base: BreachModel,
    target_precision: float = TARGET_PRECISION,
    seed: int = 0,
) -> BreachModel:
    """Return the model that the history up to ``until`` (epoch seconds) makes of ``base``.

    A cut is chosen on the breaches of its own threshold; where there were too few, on those of all thresholds
    together; where there were too few of those too, on random thresholds of its metric, and then of all metrics.
    """
    origins = learning_origins(panel, until)
    anything, own = examples(panel, origins, forecaster, [sampled(_SAMPLED_SEED + seed), configured(metrics)])
    both = Examples.concatenate([anything, own])
    head = base.head.fitted(both.features, both.happened) if len(both.onset) else base.head

    def judged(name: str, some: Examples) -> tuple[str, Any, Any]:
        return name, head.probability(some.features), some.happened

    everything = judged("random thresholds of all metrics", anything)
    together = judged("all thresholds together", own)
    cuts = {}
    for metric, severity in sorted({(watch.key.metric, watch.severity) for watch in own.monitored}):
        its_own, alike = own.where(partial(_is_of, metric, severity)), anything.where(partial(_is_of, metric, None))
        candidates = [
            judged("its own threshold", its_own),
            together,
            judged("random thresholds of the metric", alike),
            everything,
        ]
        cuts[metric, severity] = choose_decision_threshold(candidates, target_precision)
    general = choose_decision_threshold([everything], target_precision) if everything[2].any() else base.general
    return BreachModel(head, cuts, general, target_precision)


def measure(
    model: BreachModel, panel: Panel, start: int, *, end: int, forecaster: Forecaster, metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """Return how well breaches in ``start < t <= end`` (epoch seconds) are foretold, from origins every half hour.

    Of each metric, the figures of its critical threshold, or of the warning where it has no other.
    """
    last = end - HORIZON_STEPS * STEP_SECONDS
    monitored = {name: metric for name, metric in metrics.items() if _severity(metric) is not None}
    panel = panel.select([row for row, key in enumerate(panel.keys) if key.metric in monitored])
    origins = range(start, last + 1, _EVERY_STEPS * STEP_SECONDS)
    (seen,) = examples(panel, origins, forecaster, [configured(monitored)])
    incidents = {}
    for name, metric in sorted(monitored.items()):
        severity = _severity(metric)
        some = seen.where(partial(_is_of, name, severity))
        if len(some.onset) and severity is not None:
            incidents[name] = _figures(model, some, name, severity)
    probability = model.head.probability(seen.features)
    rate = float(seen.happened.mean()) if len(seen.onset) else float("nan")
    return {
        "incident_figures": incidents,
        "breach_reliability": {
            "windows": len(seen.onset),
            "breaches": int(seen.happened.sum()),
            "brier": brier(probability, seen.happened),
            "brier_of_the_base_rate": rate * (1 - rate),
            "average_precision": average_precision(probability, seen.happened),
            "bins": reliability_bins(probability, seen.happened),
        },
    }


def _is_of(metric: str, severity: Severity | None, watch: MonitoredThreshold) -> bool:
    return watch.key.metric == metric and severity in (None, watch.severity)


def _severity(metric: Metric) -> Severity | None:
    if metric.thresholds.critical is not None:
        return Severity.CRITICAL
    return Severity.WARNING if metric.thresholds.warning is not None else None


def _figures(model: BreachModel, some: Examples, name: str, severity: Severity) -> dict[str, Any]:
    probability, cut = model.head.probability(some.features), model.cut(name, severity)
    return {
        **decisions(probability >= cut.probability, some.happened),
        "severity": severity.value,
        "cut": cut.probability,
        "cut_reaches_target": cut.reached,
        "cut_chosen_on": cut.chosen_on,
        "cut_precision": cut.precision,
        "cut_recall": cut.recall,
        "brier": brier(probability, some.happened),
        "average_precision": average_precision(probability, some.happened),
    }
