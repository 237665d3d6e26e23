"""A backtest of early warning: breach probabilities beside the alert rules in use today, on the same windows.

``compare`` scores every approach on every window. ``alert_document`` makes the figures of the JSON output.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from daemon.backtest.forecasts import CLIMATOLOGY, LIGHTGBM, MODEL
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
from daemon.breach.windows import (
    Windows,
    configured_thresholds,
    history_of,
    newest_sample,
    windows_of,
    with_outcome,
)
from daemon.core.forecast import Forecaster
from daemon.core.metric import Metric
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, Bool, Float32, Float64, Int64, Panel
from daemon.forecasting.point_rules import predict_linear

LINEAR_RULE = "predict_linear(x[6h], 8h) >= threshold"
NEAR_RULE = "already at 90 % of the threshold"
RULES = (LINEAR_RULE, NEAR_RULE)
_NEAR = 0.9
_FALSE_PER_SERVER_WEEK = 1.0
_EVEN_ODDS = 0.5


@dataclass(frozen=True)
class ComparisonResult:
    """The scores of each approach on windows without an active breach whose outcome is known.

    Attributes:
        monitored: ``(windows,)`` the threshold of each window.
        origins: ``(windows,)`` epoch seconds.
        onset: ``(windows,)`` step of the onset of the breach; 0 without a breach.
        scores: by approach, ``(windows,)``; a rule scores 1 for an alarm and 0 for none.
    """

    monitored: tuple[MonitoredThreshold, ...]
    origins: Int64
    onset: np.ndarray[tuple[int], np.dtype[np.intp]]
    scores: Mapping[str, Float64]


class DecisionThresholdFigures(BaseModel):
    """The decision threshold of forewarn: the lowest probability that raises an alarm, and how it was chosen."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    probability: float
    reached: bool
    chosen_on: str


class ApproachFigures(BaseModel):
    """The figures of one approach; NaN, in JSON null, where one cannot be measured.

    Attributes:
        average_precision: area under precision over recall.
        average_precision_interval: its 90 % interval over servers.
        brier: mean squared error of the probability; NaN for a rule, which has none.
        incidents: number of breaches that follow a window.
        precision: share of the alarmed windows that a breach follows.
        recall: share of the windows followed by a breach that are alarmed.
        incident_recall: share of the incidents with an alarm in the 8 h before.
        false_alarms_per_server_week: runs of alarmed windows that no breach follows.
        median_lead_seconds: from the first alarm in the 8 h before an incident to its onset.
        incident_recall_at_one_false_alarm_per_server_week: best incident recall of a decision threshold with at most
            one false alarm per server and week.
    """

    model_config = ConfigDict(frozen=True)

    average_precision: float
    average_precision_interval: tuple[float, float]
    brier: float
    incidents: int
    precision: float
    recall: float
    incident_recall: float
    false_alarms_per_server_week: float
    median_lead_seconds: float
    incident_recall_at_one_false_alarm_per_server_week: float


class ThresholdFigures(BaseModel):
    """The figures of all thresholds of one metric and severity.

    Attributes:
        metric: name of the metric.
        severity: of the thresholds.
        thresholds: their values, ascending.
        windows: number of windows.
        breaches: number of windows that a breach follows.
        base_rate: share of the windows that a breach follows; NaN, in JSON null, without windows.
        server_weeks: weeks of all servers together.
        decision_threshold: of forewarn; in JSON ``cut``.
        approaches: figures by approach.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    severity: Severity
    thresholds: tuple[float, ...]
    windows: int
    breaches: int
    base_rate: float
    server_weeks: float
    decision_threshold: DecisionThresholdFigures = Field(serialization_alias="cut")
    approaches: dict[str, ApproachFigures]


class AlertBacktestDocument(BaseModel):
    """The figures of early warning.

    Attributes:
        model: id of the tested model; empty for the base network.
        alerts: figures by metric and severity.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    alerts: tuple[ThresholdFigures, ...]


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
    """Return the scores of each approach on the configured thresholds.

    The score of another forecaster is the highest probability that each of BREACH_STEPS consecutive steps has of being
    past the threshold; 0 for a series that it cannot forecast.

    Args:
        panel: the history, before and after the origins.
        origins: epoch seconds; at least one.
        ours: makes the forecasts that the breach model uses.
        model: the breach model.
        others: other forecasters by name.
        metrics: thresholds by metric name.
        on_progress: called with the finished share, 0 to 1.
    """
    sample = configured_thresholds(metrics)
    row_of = {key: row for row, key in enumerate(panel.keys)}
    all_monitored: list[MonitoredThreshold] = []
    times, onsets, scores = [], [], []
    for number, origin in enumerate(origins):
        forecast = ours.forecast(panel, origin)
        monitored = sample(panel, origin, forecast.keys)
        rows = [row_of[each.key] for each in monitored]
        history = history_of(panel, origin)[rows]
        after = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values[rows]
        windows = windows_of(monitored, forecast, history)
        found = with_outcome(windows, after, monitored, origin)
        position = {each: row for row, each in enumerate(monitored)}
        kept = np.array([position[each] for each in found.monitored], dtype=np.intp)
        scored = {MODEL: model.calibrator.probability(found.features), **_rules(windows.select(kept))}
        for name, other in others.items():
            scored[name] = _path_scores(other, panel, origin, found.monitored, history[kept])
        if LIGHTGBM in scored and CLIMATOLOGY in scored:
            scored["LightGBM + climatology"] = (scored[LIGHTGBM] + scored[CLIMATOLOGY]) / 2
        all_monitored += found.monitored
        times.append(found.origins)
        onsets.append(found.onset)
        scores.append(scored)
        on_progress((number + 1) / len(origins))
    names: Iterable[str] = scores[0] if scores else ()
    joined = {name: np.concatenate([each[name] for each in scores]) for name in names}
    return ComparisonResult(tuple(all_monitored), np.concatenate(times), np.concatenate(onsets), joined)


def _rules(windows: Windows) -> dict[str, Float64]:
    recent = windows.history[:, -6 * STEPS_PER_HOUR :]
    line = predict_linear(recent)[:, -1]
    last = newest_sample(recent)
    # values are sign-normalised: a threshold that is bad below is negative, and 90 % of the way to it is lower still
    near = np.where(windows.thresholds > 0, _NEAR * windows.thresholds, windows.thresholds / _NEAR)
    with np.errstate(invalid="ignore"):
        return {
            LINEAR_RULE: (line >= windows.thresholds).astype(np.float64),
            NEAR_RULE: (last >= near).astype(np.float64),
        }


def _path_scores(
    forecaster: Forecaster,
    panel: Panel,
    origin: int,
    monitored: Sequence[MonitoredThreshold],
    history: Float32,
) -> Float64:
    forecast = forecaster.forecast(panel, origin)
    known = set(forecast.keys)
    rows = np.array([row for row, each in enumerate(monitored) if each.key in known], dtype=np.intp)
    windows = windows_of([monitored[row] for row in rows.tolist()], forecast, history[rows])
    scores = np.zeros(len(monitored))
    scores[rows] = longest_held(exceedance(windows.paths, windows.thresholds)).max(axis=1, initial=0)
    return scores


def alert_document(compared: ComparisonResult, model: BreachModel, name: str) -> AlertBacktestDocument:
    """Return the figures of each metric and severity.

    Args:
        compared: of the backtest.
        model: the breach model that was tested.
        name: id of its model directory; empty for the base network.
    """
    kinds = sorted({(each.key.metric, each.severity) for each in compared.monitored})
    figures = [
        _threshold_figures(compared, metric, severity, model.decision_threshold(metric, severity))
        for metric, severity in kinds
    ]
    return AlertBacktestDocument(model=name, alerts=tuple(figures))


def _threshold_figures(
    compared: ComparisonResult, metric: str, severity: Severity, decision: DecisionThreshold
) -> ThresholdFigures:
    rows = np.array([(each.key.metric, each.severity) == (metric, severity) for each in compared.monitored])
    monitored = [each for each, chosen in zip(compared.monitored, rows, strict=True) if chosen]
    origin, onset = compared.origins[rows], compared.onset[rows]
    windows = AlarmWindows(
        numbered(monitored),
        numbered(each.key.server for each in monitored),
        origin,
        np.where(onset > 0, origin + onset * STEP_SECONDS, 0),
    )
    return ThresholdFigures(
        metric=metric,
        severity=severity,
        thresholds=tuple(sorted({each.threshold for each in monitored})),
        windows=len(monitored),
        breaches=int(windows.happened.sum()),
        base_rate=float(windows.happened.mean()) if monitored else math.nan,
        server_weeks=windows.server_weeks,
        decision_threshold=DecisionThresholdFigures.model_validate(decision),
        approaches={
            name: _approach_figures(name, windows, scored[rows], decision.probability)
            for name, scored in compared.scores.items()
        },
    )


def _approach_figures(name: str, windows: AlarmWindows, score: Float64, probability: float) -> ApproachFigures:
    figures = alarm_figures(windows, _alarmed(name, score, probability))
    return ApproachFigures(
        average_precision=average_precision(score, windows.happened),
        average_precision_interval=over_servers(windows, score),
        brier=math.nan if name in RULES else brier(score, windows.happened),
        incidents=figures.incidents,
        precision=figures.precision,
        recall=figures.recall,
        incident_recall=figures.incident_recall,
        false_alarms_per_server_week=figures.false_per_server_week,
        median_lead_seconds=figures.median_lead_seconds,
        incident_recall_at_one_false_alarm_per_server_week=recall_at(windows, score, _FALSE_PER_SERVER_WEEK),
    )


def _alarmed(name: str, score: Float64, probability: float) -> Bool:
    """Return the alarmed windows: by forewarn from its decision threshold, by any other approach from even odds."""
    return np.asarray(score >= (probability if name == MODEL else _EVEN_ODDS))
