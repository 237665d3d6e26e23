"""Breaches predicted on simulated fleets, where every incident is known.

The model is of level production. The fleets have other seeds than the training fleet. Metric thresholds are those of
the default configuration; training chooses the decision thresholds. All metric thresholds are scored every half hour.
Those of active incidents are scored at every tick, and an alert fires as in the service.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from daemon.breach.definition import thresholded
from daemon.breach.model import BASE_FOLDER, BreachModel
from daemon.breach.scoring import average_precision, decisions
from daemon.breach.windows import Examples, configured_thresholds, examples
from daemon.config.alerting import AlertingConfig
from daemon.config.loading import default_text, parse_config
from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, Float64, Panel
from daemon.network.artifact import load_network
from daemon.network.training import train
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import CASCADE, KINDS, Incident, IncidentTuning
from daemon.simulation.spec import FleetSpec, counts_for
from tests.benchmarks.bench_accuracy import UTC, say
from tests.benchmarks.fleets import START
from tests.benchmarks.incident_scores import (
    Bools,
    Outcome,
    alerts_firing,
    causes,
    during_incidents,
    outcomes,
    predictable,
    without_repairs,
)

TRAINED_SEED, TESTED_SEEDS = 41, (55, 56, 57)
TRAINING_DAYS, TRAINING_SERVERS = 36, 20
TESTED_DAYS, HISTORY_DAYS, TESTED_SERVERS = 12, 28, 60
HALF_HOUR = 1800
FIRST = START + HISTORY_DAYS * 86_400
UNREPAIRED = {name: IncidentTuning(repair_chance=0) for name in KINDS if name != CASCADE}
_COLUMNS = (
    *("with a breach", "predicted before it", "without a breach", "false alarms"),
    *("precision", "median lead", "quartiles"),
)
_BALANCED = ("breaches", "predicted", "without a breach", "false alarms", "balanced accuracy", "precision")


def main() -> None:
    """Print the figures by window, by incident and by kind of incident."""
    metrics = dict(parse_config(default_text(), "default.yaml", Path.cwd()).domain_metrics())
    fleet = Fleet(FleetSpec(seed=TRAINED_SEED, counts=counts_for(TRAINING_SERVERS)))
    say("training at production level")
    model = train(
        fleet.panel(START, START + TRAINING_DAYS * 86_400 - STEP_SECONDS),
        metrics,
        UTC,
        LEVELS[LevelName.PRODUCTION],
        start=load_network(BASE_FOLDER)[0],
    )
    print(f"best epoch: {model.fit.best_epoch}; None is the base network, if no epoch has a lower loss")
    forecaster = model.forecaster("")
    parts, alerts, caused, results, unrepaired = [], [], [], [], []
    for seed in TESTED_SEEDS:
        say(f"forecasting the fleet of seed {seed}")
        spec = FleetSpec(seed=seed, counts=counts_for(TESTED_SERVERS))
        panel, incidents = _history(spec, metrics)
        last = panel.end - HORIZON_STEPS * STEP_SECONDS
        (found,) = examples(panel, range(FIRST, last + 1, HALF_HOUR), forecaster, [configured_thresholds(metrics)])
        parts.append(found)
        alerts.append(_predicted(model.breach, found))
        caused += causes(found, incidents)
        ticks = Examples.concatenate(
            [
                examples(part, [at], forecaster, [configured_thresholds(metrics)])[0]
                for at, part in during_incidents(panel, incidents, range(FIRST, last + 1, STEP_SECONDS))
            ]
        )
        firing = alerts_firing(ticks, _predicted(model.breach, ticks), AlertingConfig())
        own = outcomes(ticks, incidents, {name: kind.critical for name, kind in KINDS.items()}, firing)
        results += own
        unrepaired += without_repairs(own, *_history(replace(spec, incidents=UNREPAIRED), metrics))
    windows, alerted = Examples.concatenate(parts), np.concatenate(alerts)
    probabilities = model.breach.calibrator.probability(windows.features)
    started = predictable(windows, caused)
    clear = ~windows.happened
    before = _percent(float(windows.happened.mean()), 2)
    print(f'{len(clear):,} windows, {before} of them before a breach; {started.sum():,} are "incident started"')
    print("| by window | balanced accuracy | precision | recall | average precision |\n| --- | --- | --- | --- | --- |")
    _by_window("all", alerted, windows.happened, probabilities)
    of_incidents = np.array([cause is not None for cause in caused])
    for name, breaches in (("breaches of incidents", of_incidents), ("with a precursor, incident started", started)):
        rows = clear | breaches
        _by_window(name, alerted[rows], windows.happened[rows], probabilities[rows])
    print(f"| by incident | {' | '.join(_COLUMNS)} |\n| --- |{' --- |' * len(_COLUMNS)}")
    _by_incident("all", results)
    with_precursor = [one for one in results if one.incident.precursor]
    _by_incident("with a precursor", with_precursor)
    _by_incident("without a precursor", [one for one in results if not one.incident.precursor])
    unrepaired = [one for one in unrepaired if one.incident.precursor]
    _by_incident("with a precursor, without repairs", unrepaired)
    for kind, _ in Counter(one.incident.kind for one in unrepaired).most_common():
        _by_incident(f"`{kind}`, without repairs", [one for one in unrepaired if one.incident.kind == kind])
    print(f"| with a precursor | {' | '.join(_BALANCED)} |\n| --- |{' --- |' * len(_BALANCED)}")
    precision = _percent(float(windows.happened[alerted].mean()))
    predicted = np.array([one.predicted for one in with_precursor if one.breached], bool)
    _balanced("breaches, and windows without a breach at any threshold", predicted, alerted[clear], precision)
    _balanced("windows before a breach, and windows without a breach", alerted[started], alerted[clear], precision)
    for name, some in (("", with_precursor), (", if there were no repairs", unrepaired)):
        predicted, false_alarms = (
            np.array([one.predicted for one in some if one.breached is each], bool) for each in (True, False)
        )
        precision = _percent(predicted.sum() / max(1, predicted.sum() + false_alarms.sum()))
        _balanced(f"incidents with and without a breach{name}", predicted, false_alarms, precision)


def _predicted(model: BreachModel, windows: Examples) -> Bools:
    thresholds = [model.decision_threshold(one.key.metric, one.severity).probability for one in windows.monitored]
    return np.asarray(model.calibrator.probability(windows.features) >= np.array(thresholds))


def _history(spec: FleetSpec, metrics: Mapping[str, Metric]) -> tuple[Panel, list[Incident]]:
    """Return the series with thresholds and the incidents; server names differ from those of the training fleet."""
    fleet = Fleet(spec)
    panel = fleet.panel(START, FIRST + TESTED_DAYS * 86_400 - STEP_SECONDS)
    monitored = panel.select([row for row, key in enumerate(panel.keys) if key.metric in thresholded(metrics)])
    keys = tuple(key._replace(server=f"new-{key.server}") for key in monitored.keys)
    profiles = {f"new-{server}": profile for server, profile in monitored.profiles.items()}
    incidents = [replace(one, server=f"new-{one.server}") for one in fleet.incidents(FIRST, panel.end)]
    return replace(monitored, keys=keys, profiles=profiles), incidents


def _by_window(name: str, alerted: Bools, happened: Bools, probabilities: Float64) -> None:
    found = decisions(alerted, happened)
    shares = " | ".join(_percent(each) for each in (found.balanced_accuracy, found.precision, found.recall))
    print(f"| {name} | {shares} | {average_precision(probabilities, happened):.3f} |")


def _by_incident(name: str, some: Sequence[Outcome]) -> None:
    breached, others = ([one for one in some if one.breached is each] for each in (True, False))
    leads = [one.lead_seconds / 3600 for one in breached if one.lead_seconds is not None]
    low, middle, high = np.quantile(leads, [0.25, 0.5, 0.75]) if leads else (np.nan,) * 3
    predicted, false_alarms = (sum(one.predicted for one in each) for each in (breached, others))
    precision = _percent(predicted / (predicted + false_alarms)) if predicted + false_alarms else ""
    hours = f"{middle:.1f} h | {low:.1f} to {high:.1f} h" if leads else " | "
    print(f"| {name} | {len(breached)} | {predicted} | {len(others)} | {false_alarms} | {precision} | {hours} |")


def _balanced(name: str, predicted: Bools, false_alarms: Bools, precision: str) -> None:
    accuracy = _percent(float(predicted.mean() + 1 - false_alarms.mean()) / 2)
    counts = f"{len(predicted)} | {predicted.sum()} | {len(false_alarms)} | {false_alarms.sum()}"
    print(f"| {name} | {counts} | {accuracy} | {precision} |")


def _percent(ratio: float, digits: int = 1) -> str:
    return "" if np.isnan(ratio) else f"{100 * ratio:.{digits}f} %"


if __name__ == "__main__":
    main()
