"""Training of the breach model on the history of a fleet."""

import json
from dataclasses import replace

import numpy as np
import pytest

from daemon.breach.definition import MonitoredThreshold, Severity
from daemon.breach.model import BreachModel, base_breach_model
from daemon.breach.training import learn, measure
from daemon.breach.windows import configured_thresholds, sampled_thresholds
from daemon.core.metric import Direction, Metric, Thresholds
from daemon.core.series import Panel, SeriesKey
from daemon.forecasting.baselines import Climatology
from tests.panels import START, noons

METRICS = {"load": Metric(name="load", thresholds=Thresholds(80, 90))}


def test_it_learns_what_is_likely() -> None:
    """After three weeks the daily breach is above 0.8, the occasional one between, and the absent one below 0.02."""
    panel = noons()
    until = START + 21 * 86_400
    model = learn(panel.between(START, until), until, Climatology({}), metrics=METRICS, base=base_breach_model())
    noon = START + 25 * 86_400 + 8 * 3600
    forecast = Climatology({}).forecast(panel, noon)
    monitored = [MonitoredThreshold(key, Severity.CRITICAL, 90.0, Direction.ABOVE, "generic") for key in panel.keys]
    daily, sometimes, never = (risk.probability or 0 for risk in model.risks(forecast, panel, monitored))
    assert daily > 0.8
    assert 0.1 < sometimes < 0.8
    assert never < 0.02
    figures = measure(model, panel, until, end=panel.end, forecaster=Climatology({}), metrics=METRICS)
    assert figures.incident_figures["load"].severity == "critical"
    reliability = figures.breach_reliability
    assert reliability.brier is not None
    assert reliability.brier_of_the_base_rate is not None
    assert reliability.brier < 0.6 * reliability.brier_of_the_base_rate
    assert sum(each.windows for each in reliability.bins) > 100


@pytest.mark.parametrize("seed", range(3))
def test_nothing_after_the_origin_is_used(seed: int) -> None:
    """Other samples after the origin change no risk, no sampled threshold, and no weight that was learned before."""
    panel = noons(seed=seed)
    origin = START + 24 * 86_400 + 5 * 3600
    values = panel.values.copy()
    values[:, (origin - START) // 300 + 1 :] = np.random.default_rng(seed).uniform(0, 100)
    changed = replace(panel, values=values)
    monitored = configured_thresholds(METRICS)(panel, origin, panel.keys)
    made = []
    for each in (panel, changed):
        model = learn(each, origin, Climatology({}), metrics=METRICS, base=base_breach_model())
        forecast = Climatology({}).forecast(each, origin)
        chosen = sampled_thresholds(seed)(each, origin, each.keys)
        made.append((model, model.risks(forecast, each, monitored), chosen))
    assert made[0] == made[1]


def learned(target: float) -> BreachModel:
    """Return the model that a month of ``noons`` gives for a target precision."""
    panel = noons()
    base = base_breach_model()
    return learn(panel, panel.end, Climatology({}), metrics=METRICS, base=base, target_precision=target)


def test_another_target_precision_needs_no_training() -> None:
    """A model read again for another target has the thresholds of a training with it."""
    low, high = learned(0.6), learned(0.9)
    read = BreachModel.from_document(json.loads(json.dumps(low.document())))
    assert read.at_target(0.9) == high
    assert read.at_target(0.9).at_target(0.6) == low
    for severity in (Severity.WARNING, Severity.CRITICAL):
        lower, higher = (each.decision_threshold("load", severity) for each in (low, high))
        assert lower.reached
        assert higher.reached
        assert lower.probability < higher.probability


def test_a_metric_with_few_breaches_takes_the_threshold_of_all_together() -> None:
    """A metric without a breach has no curve of its own, so that of all configured thresholds decides."""
    panel = noons()
    idle = tuple(SeriesKey(key.server, "idle") for key in panel.keys)
    both = Panel((*panel.keys, *idle), START, np.concatenate([panel.values, 0 * panel.values + 5]))
    metrics = {**METRICS, "idle": Metric(name="idle", thresholds=Thresholds(critical=90))}
    model = learn(both, both.end, Climatology({}), metrics=metrics, base=base_breach_model())
    together = model.decision_threshold("idle", Severity.CRITICAL)
    assert together.chosen_on == "all thresholds together"
    assert together.reached
    assert model.decision_threshold("load", Severity.CRITICAL).chosen_on == "its own threshold"
