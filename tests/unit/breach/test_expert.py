"""What is learned of simulated incidents: the signs, the network that scores them, and where they come from."""

import json
from dataclasses import replace

import numpy as np
import pytest

from daemon.breach.features import FEATURES, LEADING_INDICATORS, RECURRENCE_FEATURES, leading_indicators
from daemon.breach.model import Calibrator, Logistic, PriorNetwork, sigmoid, unfitted
from daemon.breach.training import simulate_incident_set
from daemon.core.metric import Metric, Thresholds
from daemon.forecasting.baselines import Climatology
from daemon.network.prior_network import learn_base, train_prior_network
from daemon.simulation.spec import FleetSpec

METRICS = {"mem_used_pct": Metric(name="mem_used_pct", unit=0, minimum=100, thresholds=Thresholds(85, 95))}


def windows(count: int = 4_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and whether a breach followed: where two of the signs are on the same side."""
    features = np.random.default_rng(seed).normal(size=(count, len(FEATURES)))
    return features, features[:, -1] * features[:, -2] > 0


def test_signs_mean_the_same_in_any_unit() -> None:
    """A series in other units with its threshold in them has the same signs; nothing known gives finite ones."""
    random = np.random.default_rng(0)
    history = np.cumsum(random.normal(0.05, 1, (3, 300)), axis=1).astype(np.float32)
    paths = np.sort(random.normal(10, 5, (3, 96, 7)), axis=-1).astype(np.float32)
    limit = history.max(axis=1) + 5
    found = leading_indicators(history, paths, limit)
    assert found.shape == (3, len(LEADING_INDICATORS))
    assert leading_indicators(1000 * history, 1000 * paths, 1000 * limit) == pytest.approx(found, rel=1e-3, abs=1e-3)
    assert np.isfinite(leading_indicators(np.full_like(history, np.nan), paths, limit)).all()


def test_signs_of_a_rise() -> None:
    """Half of the way is left where half of it is gone, and the trend reaches the threshold when it would."""
    history = np.concatenate([np.full(200, 40.0), np.linspace(40, 60, 100)])[None].astype(np.float32)
    found = dict(
        zip(
            LEADING_INDICATORS,
            leading_indicators(history, np.full((1, 96, 7), 60, np.float32), np.array([80], np.float32))[0],
            strict=True,
        )
    )
    assert found["way left from the mean of 15 min"] == pytest.approx(0.5, abs=0.01)
    assert found["way left from highest of 6 h"] == pytest.approx(0.5, abs=0.01)
    # 20 to go at 0.2 a step are 100 steps, a little more than the forecast's 96
    assert found["nearness of the trend of 3 h"] == pytest.approx(np.log(96 / 100), abs=0.02)
    assert found["how far the path's 0.5 quantile gets past it"] == pytest.approx(-0.5, abs=0.01)


def test_an_expert_learns_what_no_line_tells_apart() -> None:
    """Of two signs that only mean something together; the same seed makes the same expert."""
    features, happened = windows()
    expert = train_prior_network(features, happened, np.ones(len(happened)), seed=1)
    others, followed = windows(seed=1)
    assert ((expert.score(others) > 0) == followed).mean() > 0.85
    assert train_prior_network(features, happened, np.ones(len(happened)), seed=1) == expert
    line = unfitted(features, happened).fitted(features, happened)
    assert ((line.probability(others) > 0.5) == followed).mean() < 0.6


def test_weights_stand_for_windows() -> None:
    """Windows that stand for ten each draw the chance towards theirs."""
    features, _ = windows()
    happened = np.arange(len(features)) % 2 == 0
    often = train_prior_network(features, happened, np.where(happened, 10.0, 1.0), seed=0)
    rarely = train_prior_network(features, happened, np.where(happened, 0.1, 1.0), seed=0)
    assert np.median(often.score(features)) > 1
    assert np.median(rarely.score(features)) < -1


def test_an_expert_survives_its_document() -> None:
    """Read back from JSON it scores the same; layers that do not fit, or numbers that are none, are refused."""
    features, happened = windows(500)
    expert = train_prior_network(features, happened, np.ones(500), seed=0)
    head = Calibrator.afresh(expert, features, happened)
    document = json.loads(json.dumps(head.document()))
    assert Calibrator.from_document(document) == head
    document["expert"]["weights"][1].pop()
    with pytest.raises(ValueError, match="breach network"):
        Calibrator.from_document(document)
    damaged = replace(expert, mean=(float("nan"), *expert.mean[1:]))
    with pytest.raises(ValueError, match="not finite"):
        PriorNetwork.from_document({"mean": damaged.mean, "deviation": damaged.deviation, "weights": damaged.weights})


def test_a_fleet_weighs_the_expert() -> None:
    """Where the expert's score says nothing of a fleet's breaches, learning on the fleet takes its weight away."""
    features, happened = windows()
    expert = train_prior_network(features, happened, np.ones(len(happened)), seed=0)
    head = Calibrator.afresh(expert, features, happened)
    elsewhere = features[:, 0] > 0
    fitted = head.fitted(features, elsewhere)
    position = len(RECURRENCE_FEATURES)
    assert head.logistic.weights[position] > 1
    assert abs(fitted.logistic.weights[position]) < 0.5 * head.logistic.weights[position]


def test_the_expert_adds_only_where_there_is_no_precedent() -> None:
    """What it says beyond the regression counts of a threshold without a breach in four weeks, and of no other."""
    features, happened = windows()
    expert = train_prior_network(features, happened, np.ones(len(happened)), seed=0)
    silent = Logistic((0.0,) * 11, (1.0,) * 11, (*[0.0] * 11, -5.0))
    since = RECURRENCE_FEATURES.index("hours since the last breach")
    for hours, weight in ((27 * 24, 0), (28 * 24, 1)):
        features[:, since] = np.log1p(hours)
        beyond = np.maximum(expert.score(features) + 5, 0)
        expected = sigmoid(-5 + weight * beyond)
        assert Calibrator(expert, silent).probability(features) == pytest.approx(expected)
    assert beyond.max() > 5


def test_a_rehearsal_is_about_incidents() -> None:
    """Windows about incidents are all there and stand for fewer; of the others a tenth stands for all."""
    rehearsal = simulate_incident_set(Climatology({}), METRICS, seed=3, servers=20, days=4)
    found, weight = rehearsal.examples, rehearsal.weight
    assert sorted(set(weight.tolist())) == [FleetSpec().incidents_per_server_week, 10]
    assert found.happened[weight < 1].mean() > 2 * found.happened[weight > 1].mean()
    usual = rehearsal.usual(2_000, seed=0)
    expected = (found.happened * weight).sum() / weight.sum()
    assert usual.happened.mean() == pytest.approx(expected, abs=0.02)
    model = learn_base([usual], [rehearsal], seed=0)
    assert model.head.probability(found.features[found.happened]).mean() > 2 * expected
