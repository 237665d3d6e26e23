"""What the JSON API answers on alerts and on what became of them."""

from pydantic import BaseModel

from daemon.alerting.outcomes import Prediction, PredictionFigures
from daemon.alerting.state import Alert, AlertKey
from daemon.breach.definition import Risk
from daemon.core.series import as_text


class AlertDocument(BaseModel):
    """An alert that is pending or firing."""

    name: str
    server: str
    metric: str
    severity: str
    profile: str
    state: str
    since: str
    annotations: dict[str, str]


class RiskDocument(BaseModel):
    """How likely a threshold is to be passed."""

    server: str
    metric: str
    severity: str
    threshold: float
    probability: float | None
    breached: bool
    median_seconds: int | None
    early_seconds: int | None


class PredictionDocument(BaseModel):
    """A line of the ledger; ``outcome`` is null until it can be judged."""

    server: str
    metric: str
    severity: str
    profile: str
    made: str
    probability: float
    model: str
    outcome: str | None
    onset: str | None
    lead_seconds: int | None


class FiguresDocument(BaseModel):
    """How the predictions of the ledger fared."""

    hits: int
    late: int
    false: int
    missed: int
    unknown: int
    open: int
    precision: float | None
    recall: float | None
    median_lead_seconds: float | None


class AlertsPage(BaseModel):
    """A part of the alerts, and of the likeliest breaches whether alerted on or not."""

    total: int
    offset: int
    items: list[AlertDocument]
    likeliest: list[RiskDocument]


class HistoryPage(BaseModel):
    """A part of the ledger, newest first, and the figures of the whole."""

    total: int
    offset: int
    items: list[PredictionDocument]
    figures: FiguresDocument


def alert_document(alert_key: AlertKey, alert: Alert) -> AlertDocument:
    """Return one alert."""
    return AlertDocument(
        name=alert_key.name.value,
        server=alert_key.server,
        metric=alert_key.metric,
        severity=alert_key.severity,
        profile=alert_key.profile,
        state=alert.state.phase.value,
        since=as_text(alert.state.since),
        annotations=dict(alert.annotations),
    )


def risk_document(risk: Risk) -> RiskDocument:
    """Return one risk."""
    return RiskDocument(
        server=risk.watch.key.server,
        metric=risk.watch.key.metric,
        severity=risk.watch.severity.value,
        threshold=risk.watch.threshold,
        probability=risk.probability,
        breached=risk.breached,
        median_seconds=risk.median_seconds,
        early_seconds=risk.early_seconds,
    )


def prediction_document(prediction: Prediction) -> PredictionDocument:
    """Return one line of the ledger."""
    return PredictionDocument(
        server=prediction.server,
        metric=prediction.metric,
        severity=prediction.severity.value,
        profile=prediction.profile,
        made=as_text(prediction.made),
        probability=prediction.probability,
        model=prediction.model,
        outcome=None if prediction.outcome is None else prediction.outcome.value,
        onset=None if prediction.onset is None else as_text(prediction.onset),
        lead_seconds=prediction.lead_seconds,
    )


def figures_document(figures: PredictionFigures) -> FiguresDocument:
    """Return the figures of the ledger."""
    return FiguresDocument(
        hits=figures.hits,
        late=figures.late,
        false=figures.false,
        missed=figures.missed,
        unknown=figures.unknown,
        open=figures.open,
        precision=figures.precision,
        recall=figures.recall,
        median_lead_seconds=figures.median_lead_seconds,
    )
