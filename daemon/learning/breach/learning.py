"""Learning how likely breaches are, choosing the cuts, and measuring both."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from daemon.domain.breach_scores import average_precision, brier, decisions, reliability_bins
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_HOUR, floor_to_grid
from daemon.domain.metric import Metric
from daemon.domain.ports import Forecaster
from daemon.domain.risk import Severity, Watch
from daemon.domain.series import Panel
from daemon.learning.breach.cuts import choose_cut
from daemon.learning.breach.drawn import drawn
from daemon.learning.breach.examples import Examples, configured, examples
from daemon.learning.breach.expert_training import train_expert
from daemon.learning.breach.head import Head
from daemon.learning.breach.model import BreachModel
from daemon.learning.breach.rehearsal import Rehearsal

TARGET_PRECISION = 0.8
_MOST_ORIGINS, _FEWEST_ORIGINS = 240, 24
_WINDOWS = 60_000
_APART_SECONDS = 2 * 3600
_FIRST_STEPS = 7 * STEPS_PER_DAY
_EVERY_STEPS = STEPS_PER_HOUR // 2
_DRAWN_SEED = 20
# a small network that sees incidents as seldom as they are learns little of them; the head weighs its scores anew
_EMPHASIS = 1 / 2


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


def learn_base(drawn_on_fleets: Sequence[Examples], rehearsals: Sequence[Rehearsal], seed: int) -> BreachModel:
    """Return a model for every metric alike.

    Args:
        drawn_on_fleets: windows of drawn thresholds: of them the expert learns what comes to nothing.
        rehearsals: simulated incidents: of them it learns how a breach without a precedent begins.
        seed: of the expert.
    """
    anything, rehearsal = Examples.concatenate(drawn_on_fleets), Rehearsal.concatenate(rehearsals)
    everything = Examples.concatenate([anything, rehearsal.examples])
    weight = np.concatenate([np.ones(len(anything.onset)), rehearsal.weight**_EMPHASIS])
    expert = train_expert(everything.features, everything.happened, weight, seed)
    usual = Examples.concatenate([anything, rehearsal.usual(len(anything.onset), seed)])
    head = Head.afresh(expert, usual.features, usual.happened)
    name = "random thresholds of the fleets that it was pretrained on"
    general = choose_cut([(name, head.probability(anything.features), anything.happened)], TARGET_PRECISION)
    return BreachModel(head, {}, general, TARGET_PRECISION)


def drawn_examples(panel: Panel, until: int, forecaster: Forecaster, seed: int = 0) -> Examples:
    """Return windows of random thresholds on all that is known ``until`` (epoch seconds)."""
    return examples(panel, learning_origins(panel, until), forecaster, [drawn(_DRAWN_SEED + seed)])[0]


def learn(
    panel: Panel,
    until: int,
    forecaster: Forecaster,
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
    anything, own = examples(panel, origins, forecaster, [drawn(_DRAWN_SEED + seed), configured(metrics)])
    both = Examples.concatenate([anything, own])
    head = base.head.fitted(both.features, both.happened) if len(both.onset) else base.head

    def judged(name: str, some: Examples) -> tuple[str, Any, Any]:
        return name, head.probability(some.features), some.happened

    everything = judged("random thresholds of all metrics", anything)
    together = judged("all thresholds together", own)
    cuts = {}
    for metric, severity in sorted({(watch.key.metric, watch.severity) for watch in own.watched}):
        its_own, alike = own.where(partial(_is_of, metric, severity)), anything.where(partial(_is_of, metric, None))
        candidates = [
            judged("its own threshold", its_own),
            together,
            judged("random thresholds of the metric", alike),
            everything,
        ]
        cuts[metric, severity] = choose_cut(candidates, target_precision)
    general = choose_cut([everything], target_precision) if everything[2].any() else base.general
    return BreachModel(head, cuts, general, target_precision)


def measure(
    model: BreachModel, panel: Panel, start: int, end: int, forecaster: Forecaster, metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """Return how well breaches in ``start < t <= end`` (epoch seconds) are foretold, from origins every half hour.

    Of each metric, the figures of its critical threshold, or of the warning where it has no other.
    """
    last = end - HORIZON_STEPS * STEP_SECONDS
    watched = {name: metric for name, metric in metrics.items() if _severity(metric) is not None}
    panel = panel.select([row for row, key in enumerate(panel.keys) if key.metric in watched])
    origins = range(start, last + 1, _EVERY_STEPS * STEP_SECONDS)
    (seen,) = examples(panel, origins, forecaster, [configured(watched)])
    incidents = {}
    for name, metric in sorted(watched.items()):
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


def _is_of(metric: str, severity: Severity | None, watch: Watch) -> bool:
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
