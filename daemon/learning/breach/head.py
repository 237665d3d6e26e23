"""From the features of a threshold to the probability that it is breached."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from daemon.domain.breach import Bool
from daemon.learning.breach.exceedance import Float64
from daemon.learning.breach.expert import Expert
from daemon.learning.breach.features import PRECEDENTS
from daemon.learning.breach.logistic import Logistic

_LOGISTIC_FEATURES = len(PRECEDENTS) + 1


@dataclass(frozen=True)
class Head:
    """An expert that is the same for all fleets, and a logistic regression that weighs it for one of them.

    Attributes:
        expert: scores all features.
        logistic: of the PRECEDENTS and the expert's score.
    """

    expert: Expert
    logistic: Logistic

    def probability(self, features: Float64) -> Float64:
        """Return ``(windows,)`` for ``features`` ``(windows, FEATURES)``."""
        return self.logistic.probability(weighed(self.expert, features))

    def fitted(self, features: Float64, happened: Bool) -> "Head":
        """Return the head whose logistic regression fits these windows, drawn towards that of this one."""
        return replace(self, logistic=self.logistic.fitted(weighed(self.expert, features), happened))

    def document(self) -> dict[str, Any]:
        """Return what ``from_document`` reads."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Head":
        """Return the head that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        given = document["logistic"]
        mean, deviation, weights = (tuple(map(float, given[name])) for name in ("mean", "deviation", "weights"))
        sizes = {len(mean), len(deviation), len(weights) - 1}
        if sizes != {_LOGISTIC_FEATURES} or not np.isfinite([*mean, *deviation, *weights]).all():
            raise ValueError("the weights of the breach probability are not of the features, or not finite")
        return cls(Expert.from_document(document["expert"]), Logistic(mean, deviation, weights))


def weighed(expert: Expert, features: Float64) -> Float64:
    """Return what the logistic regression weighs, ``(windows, PRECEDENTS and one)``."""
    return np.concatenate([features[:, : len(PRECEDENTS)], expert.score(features)[:, None]], axis=1)
