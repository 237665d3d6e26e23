"""From which probability on an alert is raised: the lowest at which enough of the alerts would have come true."""

from collections.abc import Sequence

import numpy as np

from daemon.breach.definition import DecisionThreshold
from daemon.core.series import Bool, Float64

_FEWEST_WINDOWS = 20
_FEWEST_BREACHES = 10
# where many alerts are sure, a target precision would let in some that are almost never right
_LEAST_LIKELY = 0.5
WITHOUT_KNOWLEDGE = DecisionThreshold(
    probability=0.8,
    precision=None,
    recall=None,
    reached=False,
    chosen_on="nothing: no breach was seen to choose it on",
    windows=0,
)


def choose_decision_threshold(candidates: Sequence[tuple[str, Float64, Bool]], target: float) -> DecisionThreshold:
    """Return the cut for a ``target`` precision, chosen on the first of the candidates that reaches it.

    It is reached where the precision less its standard error is no lower: weights fit the windows that they were
    learned on a little better than any others. A candidate with too few breaches is passed over. No cut that reaches
    it is below one half, however often the surer alerts come true. Where none reaches it, the cut is the one of the
    highest precision, and says that it does not.

    Args:
        candidates: each with what it is, in words, the probabilities ``(windows,)``, and whether a breach followed.
        target: precision, 0 to 1.
    """
    best = WITHOUT_KNOWLEDGE
    for name, probability, happened in candidates:
        if happened.sum() < _FEWEST_BREACHES or len(happened) < _FEWEST_WINDOWS:
            continue
        cut = _cut(name, probability, happened, target)
        if cut.reached:
            return cut
        if best.precision is None or (cut.precision or 0) > best.precision:
            best = cut
    return best


def _cut(name: str, probability: Float64, happened: Bool, target: float) -> DecisionThreshold:
    order = np.argsort(-probability, kind="stable")
    ordered, hits = probability[order], happened[order].cumsum()
    count = np.arange(1, len(hits) + 1)
    precision = hits / count
    surely = precision - np.sqrt(precision * (1 - precision) / count)
    # windows of the same probability are alerted on together, and a handful of them says nothing
    possible = np.append(ordered[1:] < ordered[:-1], True) & (count >= _FEWEST_WINDOWS)
    reached = possible & (surely >= target) & (ordered >= _LEAST_LIKELY)
    best = np.where(possible, precision, -1).argmax()
    last = int(np.flatnonzero(reached)[-1] if reached.any() else best)
    recall = float(hits[last] / hits[-1])
    return DecisionThreshold(
        probability=float(ordered[last]),
        precision=float(precision[last]),
        recall=recall,
        reached=bool(reached.any()),
        chosen_on=name,
        windows=last + 1,
    )
