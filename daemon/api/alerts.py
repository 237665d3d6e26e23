"""The JSON documents of alerts, risks and the prediction log."""

from pydantic import BaseModel

from daemon.alerting.state import Alert, AlertKey
from daemon.api.answers import Document, OptionalTimeText, TimeText
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
    """The probability that a threshold is breached."""

    server: str
    metric: str
    severity: str
    threshold: float
    probability: float | None
    breached: bool
    median_seconds: int | None
    early_seconds: int | None


class PredictionDocument(Document):
    """A record of the prediction log; ``outcome`` is null until it is known."""

    server: str
    metric: str
    severity: str
    profile: str
    made: TimeText
    probability: float
    model: str
    outcome: str | None
    onset: OptionalTimeText
    lead_seconds: int | None


class FiguresDocument(Document):
    """The figures of the prediction log."""

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
    """A page of the alerts, and the most probable breaches with or without an alert."""

    total: int
    offset: int
    items: list[AlertDocument]
    likeliest: list[RiskDocument]


class HistoryPage(BaseModel):
    """A page of the prediction log, newest first, and the figures of the whole log."""

    total: int
    offset: int
    items: list[PredictionDocument]
    figures: FiguresDocument


def alert_document(key: AlertKey, alert: Alert) -> AlertDocument:
    """Return one alert; its annotations include the sent severity."""
    return AlertDocument(
        name=key.name.value,
        server=key.server,
        metric=key.metric,
        severity=key.severity,
        profile=key.profile,
        state=alert.status.state.value,
        since=as_text(alert.status.since),
        annotations={**alert.annotations, "severity": alert.sent_severity.value},
    )


def risk_document(risk: Risk) -> RiskDocument:
    """Return one risk."""
    return RiskDocument(
        server=risk.monitored.key.server,
        metric=risk.monitored.key.metric,
        severity=risk.monitored.severity.value,
        threshold=risk.monitored.threshold,
        probability=risk.probability,
        breached=risk.breached,
        median_seconds=risk.median_seconds,
        early_seconds=risk.early_seconds,
    )
