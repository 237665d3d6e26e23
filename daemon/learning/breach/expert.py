"""A small network that scores how likely a breach is: what it learned of simulated incidents, no fleet has enough of.

Applying it needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from daemon.domain.series import Float64
from daemon.learning.breach.features import FEATURES
from daemon.learning.breach.logistic import sigmoid, standardised

_MOST_LOGIT = 10.0

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Expert:
    """A perceptron of standardised features, with SiLU between its layers.

    Attributes:
        mean: of each feature.
        deviation: of each feature.
        weights: by layer, ``(inputs + 1, outputs)``; the last row is the constant.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[Matrix, ...]

    def score(self, features: Float64) -> Float64:
        """Return the logit of the probability, ``(windows,)``, for ``features`` ``(windows, features)``."""
        values = standardised(features, np.asarray(self.mean), np.asarray(self.deviation))
        *hidden, last = self._layers
        for layer in hidden:
            sums = values @ layer[:-1] + layer[-1]
            values = sums * sigmoid(sums)
        return np.asarray(np.clip((values @ last[:-1] + last[-1])[:, 0], -_MOST_LOGIT, _MOST_LOGIT))

    @cached_property
    def _layers(self) -> list[Float64]:
        return [np.asarray(layer, dtype=np.float64) for layer in self.weights]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Expert":
        """Return the expert that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        mean, deviation = (tuple(map(float, document[name])) for name in ("mean", "deviation"))
        weights = tuple(_matrix(layer) for layer in document["weights"])
        expert = cls(mean, deviation, weights)
        sizes = [len(FEATURES), *(len(layer[0]) for layer in weights)]
        shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]
        fitting = [layer.shape for layer in expert._layers] == shapes and sizes[-1] == 1 and len(sizes) > 1
        finite = np.isfinite([*mean, *deviation, *(each for layer in expert._layers for each in layer.flat)]).all()
        if not fitting or not finite or {len(mean), len(deviation)} != {len(FEATURES)} or min(deviation) <= 0:
            raise ValueError("the weights of the breach network are not of the features, or not finite")
        return expert


def _matrix(rows: Sequence[Sequence[Any]]) -> Matrix:
    return tuple(tuple(map(float, row)) for row in rows)
