"""The decision threshold of an alert: the lowest probability at which the target precision is reached on held-out time.

A ``PrecisionCurve`` keeps all that the choice needs, so another target precision needs no training.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daemon.breach.definition import DecisionThreshold
from daemon.core.series import Bool, Float64

_FEWEST_WINDOWS = 20
_FEWEST_BREACHES = 10
# beside many alerts that are almost certain, a target precision admits some that almost never come true
_LOWEST_PROBABILITY = 0.5
# a curve keeps one point for each of these targets and the most precise one: 100 points
_KEPT_TARGETS = tuple(percent / 100 for percent in range(1, 100))

WITHOUT_KNOWLEDGE = DecisionThreshold(
    probability=0.8,
    precision=None,
    recall=None,
    reached=False,
    chosen_on="nothing: no breach was seen to choose it on",
    windows=0,
)

Candidate = tuple[str, Float64, Bool]
"""Name of a set of windows, their probabilities ``(windows,)``, and whether a breach followed ``(windows,)``."""


class CurvePoint(NamedTuple):
    """What alerts at or above one probability would have been.

    Attributes:
        probability: 0 to 1.
        windows: at or above it.
        breaches: windows at or above it that a breach followed.
    """

    probability: float
    windows: int
    breaches: int

    @property
    def precision(self) -> float:
        """Share of the windows that a breach followed."""
        return self.breaches / self.windows

    @property
    def lower_bound(self) -> float:
        """The precision less its standard error, because weights fit the windows that they were learned on best."""
        return self.precision - math.sqrt(self.precision * (1 - self.precision) / self.windows)


@dataclass(frozen=True)
class PrecisionCurve:
    """Precision by decision threshold on one set of windows.

    Attributes:
        chosen_on: name of the set.
        breaches: windows of the whole set that a breach followed.
        points: at most 100, by falling probability.
    """

    chosen_on: str
    breaches: int
    points: tuple[CurvePoint, ...]

    @classmethod
    def measured(cls, name: str, probability: Float64, happened: Bool) -> "PrecisionCurve | None":
        """Return the curve of one candidate; None with less than 20 windows or 10 breaches.

        Of all probabilities it keeps those that a target of a whole percent chooses, and the most precise one.
        """
        if happened.sum() < _FEWEST_BREACHES or len(happened) < _FEWEST_WINDOWS:
            return None
        order = np.argsort(-probability, kind="stable")
        ordered, hits = probability[order], happened[order].cumsum()
        count = np.arange(1, len(hits) + 1)
        precision = hits / count
        lower_bound = precision - np.sqrt(precision * (1 - precision) / count)
        # windows of one probability are alerted on together
        possible = np.append(ordered[1:] < ordered[:-1], True) & (count >= _FEWEST_WINDOWS)
        alerting = np.flatnonzero(possible & (ordered >= _LOWEST_PROBABILITY))
        rows = {int(np.where(possible, precision, -1).argmax())}
        for target in _KEPT_TARGETS:
            rows |= set(alerting[lower_bound[alerting] >= target][-1:].tolist())
        points = tuple(CurvePoint(float(ordered[row]), row + 1, int(hits[row])) for row in sorted(rows))
        return cls(name, int(hits[-1]), points)

    def reaching(self, target: float) -> CurvePoint | None:
        """Return the point of the lowest probability at which the ``target`` precision is reached; None without one."""
        points = [point for point in self.alerting if point.lower_bound >= target]
        return points[-1] if points else None

    @property
    def alerting(self) -> tuple[CurvePoint, ...]:
        """The points that can be chosen for a target."""
        return tuple(point for point in self.points if point.probability >= _LOWEST_PROBABILITY)

    @property
    def most_precise(self) -> CurvePoint:
        """The point of the highest precision, the most probable one of several."""
        return max(self.points, key=lambda point: point.precision)

    def threshold(self, point: CurvePoint, reached: bool) -> DecisionThreshold:
        """Return ``point`` as a decision threshold."""
        return DecisionThreshold(
            probability=point.probability,
            precision=point.precision,
            recall=point.breaches / self.breaches,
            reached=reached,
            chosen_on=self.chosen_on,
            windows=point.windows,
        )

    def document(self) -> dict[str, Any]:
        """Return the JSON form that ``from_document`` reads."""
        return {"chosen_on": self.chosen_on, "breaches": self.breaches, "points": [list(each) for each in self.points]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "PrecisionCurve":
        """Return the curve that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        points = tuple(CurvePoint(float(at), int(windows), int(hits)) for at, windows, hits in document["points"])
        curve = cls(str(document["chosen_on"]), int(document["breaches"]), points)
        if not points or not all(0 < point.windows >= point.breaches >= 0 for point in points) or curve.breaches < 1:
            raise ValueError("a curve has no points, or more breaches than windows")
        return curve


def precision_curves(candidates: Sequence[Candidate]) -> tuple[PrecisionCurve, ...]:
    """Return the curves of ``candidates``, in their order, without points that no target would choose."""
    curves: list[PrecisionCurve] = []
    highest_bound = highest_precision = 0.0
    for candidate in candidates:
        curve = PrecisionCurve.measured(*candidate)
        if curve is None:
            continue
        points = tuple(
            point
            for point in curve.points
            if (point in curve.alerting and point.lower_bound > highest_bound) or point.precision > highest_precision
        )
        if points:
            curves.append(PrecisionCurve(curve.chosen_on, curve.breaches, points))
        highest_bound = max([highest_bound, *(point.lower_bound for point in curve.alerting)])
        highest_precision = max(highest_precision, curve.most_precise.precision)
    return tuple(curves)


def choose_decision_threshold(curves: Sequence[PrecisionCurve], target: float) -> DecisionThreshold:
    """Return the decision threshold for a ``target`` precision, 0 to 1, by the first of ``curves`` that reaches it.

    A curve reaches it where the precision less its standard error is at least the target, at a probability of at least
    one half. If none reaches it, the result is the most precise point of all, and its ``reached`` is False.
    """
    best = WITHOUT_KNOWLEDGE
    for curve in curves:
        if point := curve.reaching(target):
            return curve.threshold(point, reached=True)
        if curve.most_precise.precision > (best.precision or 0):
            best = curve.threshold(curve.most_precise, reached=False)
    return best
