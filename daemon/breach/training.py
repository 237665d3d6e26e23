"""Training of the breach model: the simulated-incident training set, the fit on a fleet's history, and its measurement.

The prior network is trained in ``network/prior_network.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from daemon.breach.decision import Candidate, choose_decision_threshold, precision_curves
from daemon.breach.definition import MonitoredThreshold, Severity, thresholded
from daemon.breach.model import BreachModel
from daemon.breach.scoring import average_precision, brier, decisions, reliability_bins
from daemon.breach.windows import Examples, configured_thresholds, examples, sampled_thresholds
from daemon.config.alerting import TARGET_PRECISION
from daemon.core.forecast import Forecaster
from daemon.core.metric import Metric
from daemon.core.series import (
    DAY_SECONDS,
    HORIZON_SECONDS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
    Float64,
    Panel,
    floor_to_grid,
)
from daemon.core.training_info import BreachReliability, IncidentFigures
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import Incident
from daemon.simulation.spec import FleetSpec, counts_for

SERVERS = 60
PER_SERVER_WEEK = 1.0
_START = 1_767_571_200  # 2026-01-05T00:00:00Z, a Monday
_HISTORY_DAYS, _DAYS = 28, 24
_INCIDENTS_APART_SECONDS = 1800
# of the windows far from any incident, because there are too many of them
_KEPT_SHARE = 0.1

_MOST_ORIGINS, _FEWEST_ORIGINS = 240, 24
_WINDOWS = 60_000
_APART_SECONDS = 2 * 3600
_FIRST_STEPS = 7 * STEPS_PER_DAY
_EVERY_STEPS = STEPS_PER_HOUR // 2
_SAMPLED_SEED = 20


@dataclass(frozen=True)
class SimulatedIncidentSet:
    """Windows of simulated fleets with many incidents: most of them are before or in an incident.

    Attributes:
        examples: the windows.
        weight: ``(windows,)``, number of windows of a fleet with the usual incident rate that each represents.
    """

    examples: Examples
    weight: Float64

    @classmethod
    def concatenate(cls, parts: Sequence["SimulatedIncidentSet"]) -> "SimulatedIncidentSet":
        """Return the windows of all parts."""
        weights = [np.empty(0), *(part.weight for part in parts)]
        return cls(Examples.concatenate([part.examples for part in parts]), np.concatenate(weights))

    def at_usual_rate(self, windows: int, seed: int) -> Examples:
        """Return ``windows`` samples, with replacement, in the proportions of a fleet with the usual incident rate.

        The sample of an empty set is empty.
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
    """Return the windows of the thresholds of ``metrics`` on one simulated fleet with many incidents.

    Args:
        forecaster: makes the paths that the features are computed from.
        metrics: their thresholds are evaluated.
        seed: seed of the fleet, and of the choice of windows.
        servers: number of servers.
        days: days with origins; four weeks of history come before them.
        on_progress: called with the finished share, 0 to 1.
    """
    fleet = Fleet(FleetSpec(seed=seed, counts=counts_for(servers), incidents_per_server_week=PER_SERVER_WEEK))
    first = _START + _HISTORY_DAYS * DAY_SECONDS
    end = first + days * DAY_SECONDS - STEP_SECONDS
    whole = fleet.panel(_START, end)
    panel = whole.select([row for row, key in enumerate(whole.keys) if key.metric in thresholded(metrics)])
    incidents = _by_server(fleet.incidents(first, end))
    generator = np.random.default_rng(seed)
    origins = range(first, end - HORIZON_SECONDS + 1, _INCIDENTS_APART_SECONDS)
    parts = []
    for number, origin in enumerate(origins):
        some = {
            server
            for server, kept in zip(fleet.profiles, generator.random(servers) < _KEPT_SHARE, strict=True)
            if kept or _near(incidents, server, origin)
        }
        part = panel.select([row for row, key in enumerate(panel.keys) if key.server in some])
        parts += examples(part, [origin], forecaster, [configured_thresholds(metrics)])
        on_progress((number + 1) / len(origins))
    found = Examples.concatenate(parts)
    near = [
        _near(incidents, each.key.server, origin)
        for each, origin in zip(found.monitored, found.origins.tolist(), strict=True)
    ]
    usual = FleetSpec().incidents_per_server_week / PER_SERVER_WEEK
    return SimulatedIncidentSet(found, np.where(near, usual, 1 / _KEPT_SHARE))


def _near(incidents: Mapping[str, Sequence[Incident]], server: str, origin: int) -> bool:
    """Return whether ``server`` has an incident at ``origin``, or one that starts within the horizon."""
    return any(one.start - HORIZON_SECONDS <= origin <= one.end for one in incidents.get(server, ()))


def _by_server(incidents: Sequence[Incident]) -> dict[str, list[Incident]]:
    found: dict[str, list[Incident]] = {}
    for one in incidents:
        found.setdefault(one.server, []).append(one)
    return found


def learning_origins(panel: Panel, until: int) -> list[int]:
    """Return training origins, epoch seconds, whose 8 h end by ``until``.

    The first one is a week after the start, or in the middle of a shorter history. They are at least two hours apart,
    and further apart the more series there are, which bounds the number of windows.
    """
    last = until - HORIZON_SECONDS
    first = min(panel.start + _FIRST_STEPS * STEP_SECONDS, (panel.start + last) // 2)
    count = min(
        _MOST_ORIGINS, max(_FEWEST_ORIGINS, _WINDOWS // max(1, len(panel.keys))), (last - first) // _APART_SECONDS
    )
    return sorted({floor_to_grid(each) for each in np.linspace(first, last, count)}) if last > first else []


def sampled_examples(panel: Panel, until: int, forecaster: Forecaster, seed: int = 0) -> Examples:
    """Return the windows of sampled thresholds on the history up to ``until`` (epoch seconds)."""
    return examples(panel, learning_origins(panel, until), forecaster, [sampled_thresholds(_SAMPLED_SEED + seed)])[0]


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
    """Return ``base`` with its calibrator fitted on the history up to ``until`` (epoch seconds).

    The decision threshold of a metric and severity is chosen on the first of these sets with enough breaches that
    reaches the target: its own threshold, all configured thresholds, sampled thresholds of its metric, sampled
    thresholds of all metrics.
    """
    origins = learning_origins(panel, until)
    samplers = [sampled_thresholds(_SAMPLED_SEED + seed), configured_thresholds(metrics)]
    anything, own = examples(panel, origins, forecaster, samplers)
    both = Examples.concatenate([anything, own])
    calibrator = base.calibrator.fitted(both.features, both.happened) if len(both.onset) else base.calibrator

    def candidate(name: str, some: Examples) -> Candidate:
        return name, calibrator.probability(some.features), some.happened

    everything = candidate("random thresholds of all metrics", anything)
    together = candidate("all thresholds together", own)
    curves = {}
    for metric, severity in sorted({(each.key.metric, each.severity) for each in own.monitored}):
        its_own, alike = own.where(partial(_is_of, metric, severity)), anything.where(partial(_is_of, metric, None))
        curves[metric, severity] = precision_curves(
            [
                candidate("its own threshold", its_own),
                together,
                candidate("random thresholds of the metric", alike),
                everything,
            ]
        )
    general_curves = precision_curves([everything]) if anything.happened.any() else None
    general = base.general if general_curves is None else choose_decision_threshold(general_curves, target_precision)
    return BreachModel(
        calibrator=calibrator,
        thresholds={kind: choose_decision_threshold(each, target_precision) for kind, each in curves.items()},
        general=general,
        target_precision=target_precision,
        curves=curves,
        general_curves=general_curves,
    )


@dataclass(frozen=True)
class BreachMeasurement:
    """How well the breaches of a held-out span were predicted.

    Attributes:
        incident_figures: by metric; a metric without a window is left out.
        breach_reliability: of the probabilities of all breaches.
    """

    incident_figures: Mapping[str, IncidentFigures]
    breach_reliability: BreachReliability


def measure(
    model: BreachModel, panel: Panel, start: int, *, end: int, forecaster: Forecaster, metrics: Mapping[str, Metric]
) -> BreachMeasurement:
    """Return how well breaches in ``start < t <= end`` (epoch seconds) are predicted, from origins every half hour.

    The figures of a metric are those of its critical threshold, or of its warning threshold if it has no critical one.
    """
    last = end - HORIZON_SECONDS
    monitored = {name: metric for name, metric in metrics.items() if _severity(metric) is not None}
    panel = panel.select([row for row, key in enumerate(panel.keys) if key.metric in monitored])
    origins = range(start, last + 1, _EVERY_STEPS * STEP_SECONDS)
    (seen,) = examples(panel, origins, forecaster, [configured_thresholds(monitored)])
    incidents = {}
    for name, metric in sorted(monitored.items()):
        severity = _severity(metric)
        some = seen.where(partial(_is_of, name, severity))
        if len(some.onset) and severity is not None:
            incidents[name] = _figures(model, some, name, severity)
    probability = model.calibrator.probability(seen.features)
    rate = float(seen.happened.mean()) if len(seen.onset) else float("nan")
    reliability = BreachReliability(
        windows=len(seen.onset),
        breaches=int(seen.happened.sum()),
        brier=brier(probability, seen.happened),
        brier_of_the_base_rate=rate * (1 - rate),
        average_precision=average_precision(probability, seen.happened),
        bins=reliability_bins(probability, seen.happened),
    )
    return BreachMeasurement(incidents, reliability)


def _is_of(metric: str, severity: Severity | None, monitored: MonitoredThreshold) -> bool:
    return monitored.key.metric == metric and severity in (None, monitored.severity)


def _severity(metric: Metric) -> Severity | None:
    if metric.thresholds.critical is not None:
        return Severity.CRITICAL
    return Severity.WARNING if metric.thresholds.warning is not None else None


def _figures(model: BreachModel, some: Examples, name: str, severity: Severity) -> IncidentFigures:
    probability, threshold = model.calibrator.probability(some.features), model.decision_threshold(name, severity)
    return IncidentFigures(
        **vars(decisions(probability >= threshold.probability, some.happened)),
        severity=severity.value,
        cut=threshold.probability,
        cut_reaches_target=threshold.reached,
        cut_chosen_on=threshold.chosen_on,
        cut_precision=threshold.precision,
        cut_recall=threshold.recall,
        brier=brier(probability, some.happened),
        average_precision=average_precision(probability, some.happened),
    )
