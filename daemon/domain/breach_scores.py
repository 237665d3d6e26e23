"""Scores of breach probabilities, as the field defines them; pure functions of arrays."""

from typing import Any

import numpy as np

from daemon.domain.series import Bool, Float64

BIN_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)


def brier(probability: Float64, happened: Bool) -> float:
    """Return the mean squared error of ``probability`` (Brier, 1950), ``(windows,)``; NaN of nothing."""
    return float(((probability - happened) ** 2).mean()) if len(happened) else float("nan")


def reliability_bins(probability: Float64, happened: Bool) -> list[dict[str, Any]]:
    """Return, for each bin of probabilities that has a window, what was claimed there and what happened."""
    index = np.clip(np.searchsorted(BIN_EDGES, probability, side="right") - 1, 0, len(BIN_EDGES) - 2)
    found = []
    for number in range(len(BIN_EDGES) - 1):
        inside = index == number
        if inside.any():
            found.append(
                {
                    "from": BIN_EDGES[number],
                    "to": BIN_EDGES[number + 1],
                    "windows": int(inside.sum()),
                    "claimed": float(probability[inside].mean()),
                    "happened": float(happened[inside].mean()),
                }
            )
    return found


def average_precision(score: Float64, happened: Bool) -> float:
    """Return the area under precision over recall, by its steps; NaN where nothing happened."""
    if not happened.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], happened[order].cumsum()
    ends = np.append(ordered[1:] < ordered[:-1], True)
    precision, recall = (hits / np.arange(1, len(hits) + 1))[ends], (hits / hits[-1])[ends]
    return float((np.diff(recall, prepend=0) * precision).sum())


def decisions(alarmed: Bool, happened: Bool) -> dict[str, Any]:
    """Return the figures of a yes or no per window; a ratio that nothing was counted for is NaN."""
    hits, false = int((alarmed & happened).sum()), int((alarmed & ~happened).sum())
    missed, quiet = int((~alarmed & happened).sum()), int((~alarmed & ~happened).sum())
    recall, specificity = _ratio(hits, hits + missed), _ratio(quiet, quiet + false)
    return {
        "windows": len(happened),
        "breaches": hits + missed,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": _ratio(hits, hits + false),
        "recall": recall,
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
