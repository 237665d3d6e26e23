"""Training the expert."""

import math

import numpy as np
import torch

from daemon.breach.model import Expert, standardised
from daemon.core.series import Bool, Float64

_HIDDEN = 64
_EPOCHS, _FEWEST_STEPS = 16, 1000
_BATCH = 1024
_HIGHEST_RATE, _WEIGHT_DECAY = 2e-3, 1e-4
_SMALLEST_DEVIATION = 1e-6


def train_expert(features: Float64, happened: Bool, weight: Float64, seed: int) -> Expert:
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
    return Expert(tuple(mean.tolist()), tuple(deviation.tolist()), tuple(tuple(map(tuple, layer)) for layer in weights))
