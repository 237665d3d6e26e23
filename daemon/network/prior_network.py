"""Training of the breach model's prior network, and of the base network's breach model.

It is a multilayer perceptron trained with torch on the CPU; ``breach/model.py`` evaluates it without torch.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from daemon.breach.decision import choose_decision_threshold, precision_curves
from daemon.breach.model import BreachModel, Calibrator, PriorNetwork, standardised
from daemon.breach.training import SimulatedIncidentSet
from daemon.breach.windows import Examples
from daemon.config.alerting import TARGET_PRECISION
from daemon.core.series import Bool, Float64

_HIDDEN = 64
_EPOCHS, _FEWEST_STEPS = 16, 1000
_BATCH = 1024
_HIGHEST_RATE, _WEIGHT_DECAY = 2e-3, 1e-4
_SMALLEST_DEVIATION = 1e-6
# incidents weigh more than their frequency; the calibrator corrects the scores for that
_EMPHASIS = 1 / 2


def train_prior_network(features: Float64, happened: Bool, weight: Float64, seed: int) -> PriorNetwork:
    """Return a prior network trained for the least weighted cross-entropy on these windows.

    Trained with AdamW (Loshchilov and Hutter, 2019) and the one-cycle schedule (Smith, 2018).

    Args:
        features: ``(windows, FEATURES)``.
        happened: ``(windows,)``, whether a breach followed.
        weight: ``(windows,)``, number of windows that each represents.
        seed: seed of the initial weights and the order.
    """
    torch.manual_seed(seed)
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), _SMALLEST_DEVIATION)
    inputs = torch.from_numpy(standardised(features, mean, deviation)).float()
    target, share = (torch.from_numpy(each).float() for each in (happened.astype(float), weight / weight.mean()))
    linear = [
        torch.nn.Linear(features.shape[1], _HIDDEN),
        torch.nn.Linear(_HIDDEN, _HIDDEN),
        torch.nn.Linear(_HIDDEN, 1),
    ]
    silu = torch.nn.SiLU()
    network = torch.nn.Sequential(linear[0], silu, linear[1], silu, linear[2])
    optimizer = torch.optim.AdamW(network.parameters(), lr=_HIGHEST_RATE, weight_decay=_WEIGHT_DECAY)
    batches = math.ceil(len(inputs) / _BATCH)
    epochs = max(_EPOCHS, math.ceil(_FEWEST_STEPS / batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _HIGHEST_RATE, epochs * batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(_BATCH):
            scores = network(inputs[rows])[:, 0]
            losses = torch.nn.functional.binary_cross_entropy_with_logits(scores, target[rows], reduction="none")
            optimizer.zero_grad()
            (losses * share[rows]).mean().backward()
            optimizer.step()
            schedule.step()
    weights = [torch.cat([layer.weight.T, layer.bias[None]]).detach().tolist() for layer in linear]
    return PriorNetwork(
        tuple(mean.tolist()), tuple(deviation.tolist()), tuple(tuple(map(tuple, layer)) for layer in weights)
    )


def learn_base(sampled: Sequence[Examples], incident_sets: Sequence[SimulatedIncidentSet], seed: int) -> BreachModel:
    """Return the breach model of the base network, one for every metric.

    Args:
        sampled: windows of sampled thresholds; most rises in them end without a breach.
        incident_sets: windows before simulated breaches, most of them without an earlier breach.
        seed: seed of the prior network.
    """
    sampled_examples, incidents = Examples.concatenate(sampled), SimulatedIncidentSet.concatenate(incident_sets)
    everything = Examples.concatenate([sampled_examples, incidents.examples])
    weight = np.concatenate([np.ones(len(sampled_examples.onset)), incidents.weight**_EMPHASIS])
    prior_network = train_prior_network(everything.features, everything.happened, weight, seed)
    usual = Examples.concatenate([sampled_examples, incidents.at_usual_rate(len(sampled_examples.onset), seed)])
    calibrator = Calibrator.initial(prior_network, usual.features, usual.happened)
    name = "random thresholds of the fleets that it was pretrained on"
    curves = precision_curves([(name, calibrator.probability(sampled_examples.features), sampled_examples.happened)])
    return BreachModel(
        calibrator=calibrator,
        thresholds={},
        general=choose_decision_threshold(curves, TARGET_PRECISION),
        target_precision=TARGET_PRECISION,
        general_curves=curves,
    )
