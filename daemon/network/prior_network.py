"""Training the expert."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from daemon.breach.decision import choose_decision_threshold
from daemon.breach.model import BreachModel, Calibrator, PriorNetwork, standardised
from daemon.breach.training import TARGET_PRECISION, SimulatedIncidentSet
from daemon.breach.windows import Examples
from daemon.core.series import Bool, Float64

_HIDDEN = 64
_EPOCHS, _FEWEST_STEPS = 16, 1000
_BATCH = 1024
_HIGHEST_RATE, _WEIGHT_DECAY = 2e-3, 1e-4
_SMALLEST_DEVIATION = 1e-6
# a small network that sees incidents as seldom as they are learns little of them; the head weighs its scores anew
_EMPHASIS = 1 / 2


def train_prior_network(features: Float64, happened: Bool, weight: Float64, seed: int) -> PriorNetwork:
    """Return the expert that scores these windows best, by weighted cross-entropy.

    Args:
        features: ``(windows, FEATURES)``.
        happened: ``(windows,)``.
        weight: ``(windows,)`` how many windows each stands for.
        seed: of the weights and the order.
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


def learn_base(
    sampled_on_fleets: Sequence[Examples], rehearsals: Sequence[SimulatedIncidentSet], seed: int
) -> BreachModel:
    """Return a model for every metric alike.

    Args:
        sampled_on_fleets: windows of drawn thresholds: of them the expert learns what comes to nothing.
        rehearsals: simulated incidents: of them it learns how a breach without a precedent begins.
        seed: of the expert.
    """
    anything, rehearsal = Examples.concatenate(sampled_on_fleets), SimulatedIncidentSet.concatenate(rehearsals)
    everything = Examples.concatenate([anything, rehearsal.examples])
    weight = np.concatenate([np.ones(len(anything.onset)), rehearsal.weight**_EMPHASIS])
    expert = train_prior_network(everything.features, everything.happened, weight, seed)
    usual = Examples.concatenate([anything, rehearsal.usual(len(anything.onset), seed)])
    head = Calibrator.afresh(expert, usual.features, usual.happened)
    name = "random thresholds of the fleets that it was pretrained on"
    general = choose_decision_threshold(
        [(name, head.probability(anything.features), anything.happened)], TARGET_PRECISION
    )
    return BreachModel(head, {}, general, TARGET_PRECISION)
