"""What early warning would have done on a history, beside the rules that people use today."""

import math
from typing import Any

import numpy as np

from daemon.domain.alarm_scores import AlarmWindows, alarm_figures, numbered, over_servers, recall_at
from daemon.domain.breach_scores import average_precision, brier
from daemon.domain.grid import STEP_SECONDS
from daemon.domain.risk import Cut, Severity
from daemon.domain.series import Bool, Float64
from daemon.learning.breach.comparison import OURS, RULES, Compared
from daemon.learning.breach.model import BreachModel

_FALSE_PER_SERVER_WEEK = 1.0
_EVEN_ODDS = 0.5


def alert_document(compared: Compared, model: BreachModel) -> list[dict[str, Any]]:
    """Return the figures of each metric and severity; None where one cannot be computed."""
    kinds = sorted({(watch.key.metric, watch.severity) for watch in compared.watched})
    return [_kind(compared, metric, severity, model.cut(metric, severity)) for metric, severity in kinds]


def _kind(compared: Compared, metric: str, severity: Severity, cut: Cut) -> dict[str, Any]:
    rows = np.array([(watch.key.metric, watch.severity) == (metric, severity) for watch in compared.watched])
    watched = [watch for watch, one in zip(compared.watched, rows, strict=True) if one]
    origin, onset = compared.origins[rows], compared.onset[rows]
    windows = AlarmWindows(
        numbered(watched),
        numbered(watch.key.server for watch in watched),
        origin,
        np.where(onset > 0, origin + onset * STEP_SECONDS, 0),
    )
    return {
        "metric": metric,
        "severity": severity.value,
        "thresholds": sorted({watch.threshold for watch in watched}),
        "windows": len(watched),
        "breaches": int(windows.happened.sum()),
        "base_rate": _known(float(windows.happened.mean()) if watched else math.nan),
        "server_weeks": windows.server_weeks,
        "cut": {"probability": cut.probability, "reached": cut.reached, "chosen_on": cut.chosen_on},
        "approaches": {
            name: _approach(name, windows, score[rows], cut.probability) for name, score in compared.scores.items()
        },
    }


def _approach(name: str, windows: AlarmWindows, score: Float64, cut: float) -> dict[str, Any]:
    figures = alarm_figures(windows, _alarmed(name, score, cut))
    low, high = over_servers(windows, score)
    return {
        "average_precision": _known(average_precision(score, windows.happened)),
        "average_precision_interval": [_known(low), _known(high)],
        "brier": None if name in RULES else _known(brier(score, windows.happened)),
        "incidents": figures.incidents,
        "precision": _known(figures.precision),
        "recall": _known(figures.recall),
        "incident_recall": _known(figures.incident_recall),
        "false_alarms_per_server_week": _known(figures.false_per_server_week),
        "median_lead_seconds": _known(figures.median_lead_seconds),
        "incident_recall_at_one_false_alarm_per_server_week": _known(recall_at(windows, score, _FALSE_PER_SERVER_WEEK)),
    }


def _alarmed(name: str, score: Float64, cut: float) -> Bool:
    """Return when each would alarm: forewarn at its cut, a rule where it says so, a path at even odds."""
    return np.asarray(score >= (cut if name == OURS else _EVEN_ODDS))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
