"""Logistic regression, drawn towards weights that are known already."""

from dataclasses import dataclass

import numpy as np

from daemon.domain.breach import Bool
from daemon.learning.breach.exceedance import Float64

_WIDEST = 4.0
_NEWTON_STEPS = 12
_PRIOR_STRENGTH = 30.0


@dataclass(frozen=True)
class Logistic:
    """Weights of standardised features.

    Attributes:
        mean: ``(features,)`` of each feature.
        deviation: ``(features,)`` of each feature.
        weights: ``(features + 1,)``, the last one that of the constant.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]

    def probability(self, features: Float64) -> Float64:
        """Return ``(windows,)`` for ``features`` ``(windows, features)``."""
        chances: Float64 = _sigmoid(self._inputs(features) @ np.asarray(self.weights))
        return chances

    def fitted(self, features: Float64, happened: Bool) -> "Logistic":
        """Return the weights that fit best (Newton's method) of those near these: a Gaussian prior about them.

        Args:
            features: ``(windows, features)``.
            happened: ``(windows,)``.
        """
        inputs, prior = self._inputs(features), np.asarray(self.weights)
        weights = prior.copy()
        for _ in range(_NEWTON_STEPS):
            chances = _sigmoid(inputs @ weights)
            gradient = inputs.T @ (chances - happened) + _PRIOR_STRENGTH * (weights - prior)
            curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs
            weights = weights - np.linalg.solve(curvature + _PRIOR_STRENGTH * np.eye(len(weights)), gradient)
        return Logistic(self.mean, self.deviation, tuple(weights.tolist()))

    def _inputs(self, features: Float64) -> Float64:
        scaled = (features - np.asarray(self.mean)) / np.asarray(self.deviation)
        return np.concatenate([np.clip(scaled, -_WIDEST, _WIDEST), np.ones((len(features), 1))], axis=1)


def unfitted(features: Float64, happened: Bool) -> Logistic:
    """Return weights that know the scale of the features, and otherwise no more than how often it happened."""
    deviation = np.maximum(features.std(axis=0), 1e-6)
    rate = (happened.sum() + 0.5) / (len(happened) + 1)
    weights = (*[0.0] * features.shape[1], float(np.log(rate / (1 - rate))))
    return Logistic(tuple(features.mean(axis=0).tolist()), tuple(deviation.tolist()), weights)


def _sigmoid(values: Float64) -> Float64:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))
