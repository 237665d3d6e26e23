"""Logistic regression, drawn towards weights that are known already."""

from dataclasses import dataclass

import numpy as np

from daemon.domain.series import Bool, Float64

_WIDEST = 4.0
_NEWTON_STEPS = 30
_HALVINGS = 20
_SMALLEST_GAIN = 1e-9
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
        return sigmoid(self.logit(features))

    def logit(self, features: Float64) -> Float64:
        """Return the logarithm of the odds, likewise."""
        logit: Float64 = self._inputs(features) @ np.asarray(self.weights)
        return logit

    def fitted(self, features: Float64, happened: Bool) -> "Logistic":
        """Return the weights that fit best of those near these: a Gaussian prior about them.

        By Newton's method; a step that would make the fit worse, as the first ones from afar may, is halved until it
        does not.

        Args:
            features: ``(windows, features)``.
            happened: ``(windows,)``.
        """
        inputs, prior = self._inputs(features), np.asarray(self.weights)
        weights = prior.copy()
        loss = _loss(inputs, happened, weights, prior)
        for _ in range(_NEWTON_STEPS):
            chances = sigmoid(inputs @ weights)
            gradient = inputs.T @ (chances - happened) + _PRIOR_STRENGTH * (weights - prior)
            curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs
            step = np.linalg.solve(curvature + _PRIOR_STRENGTH * np.eye(len(weights)), gradient)
            for _ in range(_HALVINGS):
                next_loss = _loss(inputs, happened, weights - step, prior)
                if next_loss <= loss:
                    break
                step = step / 2
            else:
                break
            gained, loss, weights = loss - next_loss, next_loss, weights - step
            if gained <= _SMALLEST_GAIN * loss:
                break
        return Logistic(self.mean, self.deviation, tuple(weights.tolist()))

    def _inputs(self, features: Float64) -> Float64:
        scaled = standardised(features, np.asarray(self.mean), np.asarray(self.deviation))
        return np.concatenate([scaled, np.ones((len(features), 1))], axis=1)


def unfitted(features: Float64, happened: Bool) -> Logistic:
    """Return weights that know the scale of the features, and otherwise no more than how often it happened."""
    deviation = np.maximum(features.std(axis=0), 1e-6)
    rate = (happened.sum() + 0.5) / (len(happened) + 1)
    weights = (*[0.0] * features.shape[1], float(np.log(rate / (1 - rate))))
    return Logistic(tuple(features.mean(axis=0).tolist()), tuple(deviation.tolist()), weights)


def _loss(inputs: Float64, happened: Bool, weights: Float64, prior: Float64) -> float:
    scores = inputs @ weights
    away = weights - prior
    return float((np.logaddexp(0, scores) - happened * scores).sum() + _PRIOR_STRENGTH / 2 * (away @ away))


def standardised(features: Float64, mean: Float64, deviation: Float64) -> Float64:
    """Return ``(windows, features)`` in deviations from the mean, at most four."""
    return np.asarray(np.clip((features - mean) / deviation, -_WIDEST, _WIDEST))


def sigmoid(values: Float64) -> Float64:
    """Return the probabilities of these logarithms of odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))
