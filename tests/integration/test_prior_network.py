"""Training of the prior network, the calibrator that weighs it, and the simulated-incident training set."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from daemon.breach.features import FEATURES, RECURRENCE_FEATURES
from daemon.breach.model import Calibrator, Logistic, PriorNetwork, unfitted
from daemon.breach.training import simulate_incident_set
from daemon.core.metric import Metric, Thresholds
from daemon.forecasting.baselines import Climatology
from daemon.network.prior_network import learn_base, train_prior_network
from daemon.simulation.spec import FleetSpec

METRICS = {"mem_used_pct": Metric(name="mem_used_pct", unit=0, minimum=100, thresholds=Thresholds(85, 95))}


def windows(count: int = 4_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and whether a breach followed: if the last two indicators have the same sign."""
    features = np.random.default_rng(seed).normal(size=(count, len(FEATURES)))
    return features, features[:, -1] * features[:, -2] > 0


def test_the_prior_network_learns_an_interaction() -> None:
    """Two indicators that matter only together, where a linear model fails; the same seed gives the same network."""
    features, happened = windows()
    prior_network = train_prior_network(features, happened, np.ones(len(happened)), seed=1)
    others, followed = windows(seed=1)
    assert ((prior_network.score(others) > 0) == followed).mean() > 0.85
    assert train_prior_network(features, happened, np.ones(len(happened)), seed=1) == prior_network
    line = unfitted(features, happened).fitted(features, happened)
    assert ((line.probability(others) > 0.5) == followed).mean() < 0.6


def test_a_weight_is_a_number_of_windows() -> None:
    """Breaches of weight 10 raise the score above 1, breaches of weight 0.1 lower it below −1."""
    features, _ = windows()
    happened = np.arange(len(features)) % 2 == 0
    often = train_prior_network(features, happened, np.where(happened, 10.0, 1.0), seed=0)
    rarely = train_prior_network(features, happened, np.where(happened, 0.1, 1.0), seed=0)
    assert np.median(often.score(features)) > 1
    assert np.median(rarely.score(features)) < -1


def test_a_calibrator_is_read_from_its_document() -> None:
    """Read from JSON it is equal; layers of the wrong shape and NaN are refused."""
    features, happened = windows(500)
    prior_network = train_prior_network(features, happened, np.ones(500), seed=0)
    calibrator = Calibrator.initial(prior_network, features, happened)
    document = json.loads(json.dumps(calibrator.document()))
    assert Calibrator.from_document(document) == calibrator
    document["expert"]["weights"][1].pop()
    with pytest.raises(ValueError, match="breach network"):
        Calibrator.from_document(document)
    damaged = replace(prior_network, mean=(float("nan"), *prior_network.mean[1:]))
    with pytest.raises(ValueError, match="not finite"):
        PriorNetwork.from_document({"mean": damaged.mean, "deviation": damaged.deviation, "weights": damaged.weights})


def test_a_fleet_weighs_the_prior_network() -> None:
    """If the prior network's score does not predict a fleet's breaches, fitting on the fleet halves its weight."""
    features, happened = windows()
    prior_network = train_prior_network(features, happened, np.ones(len(happened)), seed=0)
    calibrator = Calibrator.initial(prior_network, features, happened)
    elsewhere = features[:, 0] > 0
    fitted = calibrator.fitted(features, elsewhere)
    position = len(RECURRENCE_FEATURES)
    assert calibrator.logistic.weights[position] > 1
    assert abs(fitted.logistic.weights[position]) < 0.5 * calibrator.logistic.weights[position]


def test_the_excess_of_the_prior_network_counts_only_without_recurrence() -> None:
    """Its score beyond the regression's logit counts for a threshold without a breach in four weeks, and no other."""
    features, happened = windows()
    prior_network = train_prior_network(features, happened, np.ones(len(happened)), seed=0)
    constant = Logistic((0.0,) * 11, (1.0,) * 11, (*[0.0] * 11, -5.0))
    since = RECURRENCE_FEATURES.index("hours since the last breach")
    for hours, weight in ((27 * 24, 0), (28 * 24, 1)):
        features[:, since] = np.log1p(hours)
        beyond = np.maximum(prior_network.score(features) + 5, 0)
        expected = expit(-5 + weight * beyond)
        assert Calibrator(prior_network, constant).probability(features) == pytest.approx(expected)
    assert beyond.max() > 5


def test_a_simulated_set_oversamples_incidents() -> None:
    """All windows near incidents have a weight below 1; a tenth of the others has weight 10."""
    incidents = simulate_incident_set(Climatology({}), METRICS, seed=3, servers=20, days=4)
    found, weight = incidents.examples, incidents.weight
    assert sorted(set(weight.tolist())) == [FleetSpec().incidents_per_server_week, 10]
    assert found.happened[weight < 1].mean() > 2 * found.happened[weight > 1].mean()
    usual = incidents.at_usual_rate(2_000, seed=0)
    expected = (found.happened * weight).sum() / weight.sum()
    assert usual.happened.mean() == pytest.approx(expected, abs=0.02)
    model = learn_base([usual], [incidents], seed=0)
    assert model.calibrator.probability(found.features[found.happened]).mean() > 2 * expected
