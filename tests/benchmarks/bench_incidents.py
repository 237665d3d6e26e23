"""Are breaches foretold? On simulated fleets of other seeds than those trained on, where every incident is known.

The level is production; thresholds are those of the default configuration; the cuts are those that training chose. All
thresholds are looked at every half hour; those of incidents under way at every tick, as the service does, and an alert
is raised as the service raises it.
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
    causes,
    foreseeable,
    left_alone,
    outcomes,
    raised,
    under_way,
)

TRAINED_SEED, TESTED_SEEDS = 41, (55, 56, 57)
TRAINING_DAYS, TRAINING_SERVERS = 36, 20
TESTED_DAYS, HISTORY_DAYS, TESTED_SERVERS = 12, 28, 60
HALF_HOUR = 1800
FIRST = START + HISTORY_DAYS * 86_400
UNREPAIRED = {name: IncidentTuning(repair_chance=0) for name in KINDS if name != CASCADE}
_COLUMNS = ("breached", "told before", "did not", "told falsely", "precision", "median lead", "quartiles")
_BALANCED = ("breaches", "told", "without", "alarmed", "balanced accuracy", "precision")


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
    print(f"best epoch of the training: {model.fit.best_epoch}; None is the base network, which no epoch bettered")
    forecaster = model.forecaster("")
    parts, alarms, caused, results, alone = [], [], [], [], []
    for seed in TESTED_SEEDS:
        say(f"forecasting the fleet of seed {seed}")
        spec = FleetSpec(seed=seed, counts=counts_for(TESTED_SERVERS))
        panel, incidents = _history(spec, metrics)
        last = panel.end - HORIZON_STEPS * STEP_SECONDS
        (found,) = examples(panel, range(FIRST, last + 1, HALF_HOUR), forecaster, [configured_thresholds(metrics)])
        parts.append(found)
        alarms.append(_predicted(model.breach, found))
        caused += causes(found, incidents)
        ticks = Examples.concatenate(
            [
                examples(part, [at], forecaster, [configured_thresholds(metrics)])[0]
                for at, part in under_way(panel, incidents, range(FIRST, last + 1, STEP_SECONDS))
            ]
        )
        told = raised(ticks, _predicted(model.breach, ticks), AlertingConfig())
        own = outcomes(ticks, incidents, {name: kind.critical for name, kind in KINDS.items()}, told)
        results += own
        alone += left_alone(own, *_history(replace(spec, incidents=UNREPAIRED), metrics))
    windows, alerted = Examples.concatenate(parts), np.concatenate(alarms)
    chances = model.breach.calibrator.probability(windows.features)
    seen = foreseeable(windows, caused)
    quiet = ~windows.happened
    print(f"{len(chances)} windows, {windows.happened.mean():.2%} before a breach; {seen.sum()} foreseeable")
    print("| by window | balanced accuracy | precision | recall | average precision |\n| --- | --- | --- | --- | --- |")
    _by_window("all", alerted, windows.happened, chances)
    of_incidents = np.array([cause is not None for cause in caused])
    _by_window("breaches of incidents", *(each[quiet | of_incidents] for each in (alerted, windows.happened, chances)))
    _by_window("with a precursor, under way", *(each[quiet | seen] for each in (alerted, windows.happened, chances)))
    print(f"| by incident | {' | '.join(_COLUMNS)} |\n| --- |{' --- |' * len(_COLUMNS)}")
    _by_incident("all", results)
    seen_coming = [one for one in results if one.incident.precursor]
    _by_incident("with a precursor", seen_coming)
    _by_incident("without", [one for one in results if not one.incident.precursor])
    alone = [one for one in alone if one.incident.precursor]
    _by_incident("with a precursor, had nobody repaired them", alone)
    for kind, _ in Counter(one.incident.kind for one in alone).most_common():
        _by_incident(f"`{kind}`, the same", [one for one in alone if one.incident.kind == kind])
    print(f"| with a precursor | {' | '.join(_BALANCED)} |\n| --- |{' --- |' * len(_BALANCED)}")
    precision = _share(float(windows.happened[alerted].mean()))
    told_of = np.array([one.told for one in seen_coming if one.breached], bool)
    _balanced("breaches, and quiet windows of any threshold", told_of, alerted[quiet], precision)
    _balanced("windows before a breach, and quiet ones", alerted[seen], alerted[quiet], precision)
    for name, some in (("", seen_coming), (", had nobody repaired them", alone)):
        told_of, falsely = (
            np.array([one.told for one in some if one.breached is each], bool) for each in (True, False)
        )
        of_told = _share(told_of.sum() / max(1, told_of.sum() + falsely.sum()))
        _balanced(f"incidents that came to a breach, and those that did not{name}", told_of, falsely, of_told)


def _predicted(model: BreachModel, windows: Examples) -> Bools:
    cuts = [model.decision_threshold(watch.key.metric, watch.severity).probability for watch in windows.monitored]
    return np.asarray(model.calibrator.probability(windows.features) >= np.array(cuts))


def _history(spec: FleetSpec, metrics: Mapping[str, Metric]) -> tuple[Panel, list[Incident]]:
    """Return the metrics that have thresholds, and the incidents; all fleets name their servers alike, these do not."""
    fleet = Fleet(spec)
    panel = fleet.panel(START, FIRST + TESTED_DAYS * 86_400 - STEP_SECONDS)
    monitored = panel.select([row for row, key in enumerate(panel.keys) if key.metric in thresholded(metrics)])
    keys = tuple(key._replace(server=f"new-{key.server}") for key in monitored.keys)
    profiles = {f"new-{server}": profile for server, profile in monitored.profiles.items()}
    incidents = [replace(one, server=f"new-{one.server}") for one in fleet.incidents(FIRST, panel.end)]
    return replace(monitored, keys=keys, profiles=profiles), incidents


def _by_window(name: str, alerted: Bools, happened: Bools, chances: Float64) -> None:
    found = decisions(alerted, happened)
    shares = " | ".join(_share(each) for each in (found.balanced_accuracy, found.precision, found.recall))
    print(f"| {name} | {shares} | {average_precision(chances, happened):.3f} |")


def _by_incident(name: str, some: Sequence[Outcome]) -> None:
    breached, others = ([one for one in some if one.breached is each] for each in (True, False))
    leads = [one.lead_seconds / 3600 for one in breached if one.lead_seconds is not None]
    low, middle, high = np.quantile(leads, [0.25, 0.5, 0.75]) if leads else (np.nan,) * 3
    told, falsely = (sum(one.told for one in each) for each in (breached, others))
    precision = _share(told / (told + falsely)) if told + falsely else ""
    hours = f"{middle:.1f} h | {low:.1f} to {high:.1f} h" if leads else " | "
    print(f"| {name} | {len(breached)} | {told} | {len(others)} | {falsely} | {precision} | {hours} |")


def _balanced(name: str, told: Bools, falsely: Bools, precision: str) -> None:
    accuracy = _share(float(told.mean() + 1 - falsely.mean()) / 2)
    print(f"| {name} | {len(told)} | {told.sum()} | {len(falsely)} | {falsely.sum()} | {accuracy} | {precision} |")


def _share(ratio: float) -> str:
    return "" if np.isnan(ratio) else f"{ratio:.1%}"


if __name__ == "__main__":
    main()
