"""Breach probabilities beside the rules that people use today, on the same windows."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daemon.breach.definition import DecisionThreshold, MonitoredThreshold, Severity, longest_held
from daemon.breach.features import exceedance
from daemon.breach.model import BreachModel
from daemon.breach.scoring import (
    AlarmWindows,
    alarm_figures,
    average_precision,
    brier,
    numbered,
    over_servers,
    recall_at,
)
from daemon.breach.windows import Windows, configured_thresholds, history_of, windows_of, with_outcome
from daemon.core.forecast import Forecaster
from daemon.core.metric import Metric
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, Bool, Float64, Panel
from daemon.forecasting.point_rules import predict_linear

OURS = "forewarn"
LINEAR_RULE = "predict_linear(x[6h], 8h) >= threshold"
NEAR_RULE = "already at 90 % of the threshold"
RULES = (LINEAR_RULE, NEAR_RULE)
_NEAR = 0.9
_BOOSTING, _CLIMATOLOGY = "LightGBM quantile regression", "climatology, hour of day"


@dataclass(frozen=True)
class ComparisonResult:
    """Quiet windows whose outcome is known, and what each approach says of them.

    Attributes:
        monitored: whose window each is.
        origins: ``(windows,)`` epoch seconds.
        onset: ``(windows,)`` step at which the breach began; 0 where none did.
        scores: by approach, ``(windows,)``; of a rule, 1 is an alarm and 0 none.
    """

    monitored: tuple[MonitoredThreshold, ...]
    origins: np.ndarray[tuple[int], np.dtype[np.int64]]
    onset: np.ndarray[tuple[int], np.dtype[np.intp]]
    scores: Mapping[str, Float64]


def compare(
    panel: Panel,
    origins: Sequence[int],
    ours: Forecaster,
    *,
    model: BreachModel,
    others: Mapping[str, Forecaster],
    metrics: Mapping[str, Metric],
    on_progress: Callable[[float], None] = lambda done: None,
) -> ComparisonResult:
    """Return what each approach says at ``origins`` (epoch seconds) of the configured thresholds.

    A forecast is scored by the likeliest run of its path at the threshold; where it has none of a series, by 0.
    """
    choose = configured_thresholds(metrics)
    row_of = {key: row for row, key in enumerate(panel.keys)}
    monitored_all: list[MonitoredThreshold] = []
    times, onsets, scores = [], [], []
    for number, origin in enumerate(origins):
        forecast = ours.forecast(panel, origin)
        monitored = choose(panel, origin, forecast.keys)
        rows = [row_of[watch.key] for watch in monitored]
        history = history_of(panel, origin)[rows]
        after = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values[rows]
        windows = windows_of(monitored, forecast, history)
        found = with_outcome(windows, after, monitored, origin)
        position = {watch: row for row, watch in enumerate(monitored)}
        kept = np.array([position[watch] for watch in found.monitored], dtype=np.intp)
        said = {OURS: model.calibrator.probability(found.features), **_rules(windows.select(kept))}
        for name, other in others.items():
            said[name] = _path_scores(other, panel, origin, found.monitored, history[kept])
        if _BOOSTING in said and _CLIMATOLOGY in said:
            said["LightGBM + climatology"] = (said[_BOOSTING] + said[_CLIMATOLOGY]) / 2
        monitored_all += found.monitored
        times.append(found.origins)
        onsets.append(found.onset)
        scores.append(said)
        on_progress((number + 1) / len(origins))
    names: Iterable[str] = scores[0] if scores else ()
    joined = {name: np.concatenate([each[name] for each in scores]) for name in names}
    return ComparisonResult(tuple(monitored_all), np.concatenate(times), np.concatenate(onsets), joined)


def _rules(windows: Windows) -> dict[str, Float64]:
    recent = windows.history[:, -6 * STEPS_PER_HOUR :]
    line = predict_linear(recent)[:, -1]
    last = _last_seen(recent)
    # turned over, a threshold that is bad below is negative, and nine tenths of the way is further down
    near = np.where(windows.thresholds > 0, _NEAR * windows.thresholds, windows.thresholds / _NEAR)
    with np.errstate(invalid="ignore"):
        return {
            LINEAR_RULE: (line >= windows.thresholds).astype(np.float64),
            NEAR_RULE: (last >= near).astype(np.float64),
        }


def _last_seen(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Float64:
    last = values.shape[1] - 1 - np.isfinite(values)[:, ::-1].argmax(axis=1)
    return np.asarray(np.take_along_axis(values, last[:, None], axis=1)[:, 0], dtype=np.float64)


def _path_scores(
    forecaster: Forecaster,
    panel: Panel,
    origin: int,
    monitored: Sequence[MonitoredThreshold],
    history: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> Float64:
    forecast = forecaster.forecast(panel, origin)
    known = set(forecast.keys)
    rows = np.array([row for row, watch in enumerate(monitored) if watch.key in known], dtype=np.intp)
    windows = windows_of([monitored[row] for row in rows.tolist()], forecast, history[rows])
    scores = np.zeros(len(monitored))
    scores[rows] = longest_held(exceedance(windows.paths, windows.thresholds)).max(axis=1, initial=0)
    return scores


_FALSE_PER_SERVER_WEEK = 1.0
_EVEN_ODDS = 0.5


def alert_document(compared: ComparisonResult, model: BreachModel) -> list[dict[str, Any]]:
    """Return the figures of each metric and severity; None where one cannot be computed."""
    kinds = sorted({(watch.key.metric, watch.severity) for watch in compared.monitored})
    return [_kind(compared, metric, severity, model.decision_threshold(metric, severity)) for metric, severity in kinds]


def _kind(compared: ComparisonResult, metric: str, severity: Severity, cut: DecisionThreshold) -> dict[str, Any]:
    rows = np.array([(watch.key.metric, watch.severity) == (metric, severity) for watch in compared.monitored])
    monitored = [watch for watch, one in zip(compared.monitored, rows, strict=True) if one]
    origin, onset = compared.origins[rows], compared.onset[rows]
    windows = AlarmWindows(
        numbered(monitored),
        numbered(watch.key.server for watch in monitored),
        origin,
        np.where(onset > 0, origin + onset * STEP_SECONDS, 0),
    )
    return {
        "metric": metric,
        "severity": severity.value,
        "thresholds": sorted({watch.threshold for watch in monitored}),
        "windows": len(monitored),
        "breaches": int(windows.happened.sum()),
        "base_rate": _known(float(windows.happened.mean()) if monitored else math.nan),
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
