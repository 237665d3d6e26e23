"""From the features of a threshold to the probability that it is breached."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from daemon.domain.grid import STEPS_PER_HOUR
from daemon.domain.series import Bool, Float64
from daemon.learning.breach.expert import Expert
from daemon.learning.breach.features import PRECEDENTS
from daemon.learning.breach.logistic import Logistic, unfitted
from daemon.learning.breach.past_days import HISTORY_STEPS

_SINCE = PRECEDENTS.index("hours since the last breach")
_WITHOUT_PRECEDENT = np.log1p(HISTORY_STEPS / STEPS_PER_HOUR) - 1e-3
_SCALE = 4.0
# what the logistic regression says, and as much of the expert's excess over it
TRUSTED = Logistic((0.0, 0.0), (_SCALE, _SCALE), (_SCALE, _SCALE, 0.0))


@dataclass(frozen=True)
class Head:
    """An expert that is the same for all fleets, and two logistic regressions that weigh it for one of them.

    Attributes:
        expert: scores all features.
        logistic: of the PRECEDENTS and the expert's score.
        trust: of the logit of that, and of what the expert says beyond it of a threshold without any precedent.
    """

    expert: Expert
    logistic: Logistic
    trust: Logistic = TRUSTED

    def probability(self, features: Float64) -> Float64:
        """Return ``(windows,)`` for ``features`` ``(windows, FEATURES)``."""
        weighed = _with_score(self.expert, features)
        return self.trust.probability(_beyond(self.logistic, weighed))

    def fitted(self, features: Float64, happened: Bool) -> "Head":
        """Return the head that fits these windows, drawn towards this one; the expert stays as it is."""
        weighed = _with_score(self.expert, features)
        logistic = self.logistic.fitted(weighed, happened)
        return Head(self.expert, logistic, self.trust.fitted(_beyond(logistic, weighed), happened))

    def document(self) -> dict[str, Any]:
        """Return what ``from_document`` reads."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Head":
        """Return the head that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        logistic = _logistic(document["logistic"], len(PRECEDENTS) + 1)
        return cls(Expert.from_document(document["expert"]), logistic, _logistic(document["trust"], 2))

    @classmethod
    def afresh(cls, expert: Expert, features: Float64, happened: Bool) -> "Head":
        """Return the head that fits these windows, and trusts ``expert`` until a fleet shows otherwise."""
        weighed = _with_score(expert, features)
        return cls(expert, unfitted(weighed, happened).fitted(weighed, happened))


def _with_score(expert: Expert, features: Float64) -> Float64:
    """Return what the first regression weighs, ``(windows, PRECEDENTS and one)``."""
    return np.concatenate([features[:, : len(PRECEDENTS)], expert.score(features)[:, None]], axis=1)


def _beyond(logistic: Logistic, weighed: Float64) -> Float64:
    """Return what the second regression weighs, ``(windows, 2)``."""
    logit = logistic.logit(weighed)
    unprecedented = weighed[:, _SINCE] >= _WITHOUT_PRECEDENT
    return np.stack([logit, unprecedented * np.maximum(weighed[:, -1] - logit, 0)], axis=1)


def _logistic(given: Mapping[str, Any], features: int) -> Logistic:
    mean, deviation, weights = (tuple(map(float, given[name])) for name in ("mean", "deviation", "weights"))
    if {len(mean), len(deviation), len(weights) - 1} != {features} or not np.isfinite(
        [*mean, *deviation, *weights]
    ).all():
        raise ValueError("the weights of the breach probability are not of the features, or not finite")
    return Logistic(mean, deviation, weights)
