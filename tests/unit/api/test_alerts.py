"""The JSON documents of alerts, risks and the prediction log."""

import pytest

from daemon.alerting.outcomes import Outcome, Prediction, prediction_figures
from daemon.alerting.state import Alert, AlertKey, AlertName, AlertState, AlertStatus
from daemon.api.alerts import FiguresDocument, PredictionDocument, alert_document, risk_document
from daemon.breach.definition import MonitoredThreshold, Risk, Severity
from daemon.core.metric import Direction
from daemon.core.series import SeriesKey, parse_time

AT = parse_time("2026-03-03T04:00:00Z")
RECORD = Prediction(
    server="db-1", metric="disk", severity=Severity.CRITICAL, profile="database", made=AT, probability=0.75, model="m"
)


def test_an_alert_has_the_configured_and_the_sent_severity() -> None:
    """The configured one is part of the key; the sent one is an annotation, filled from the field."""
    key = AlertKey(AlertName.PREDICTED_BREACH, "db-1", "disk", Severity.CRITICAL, "database")
    status = AlertStatus(state=AlertState.FIRING, since=AT, changed=AT)
    alert = Alert(status=status, sent_severity=Severity.INFO, probability=0.7, annotations={"summary": "s"})
    assert alert_document(key, alert).model_dump() == {
        "name": "PredictedBreach",
        "server": "db-1",
        "metric": "disk",
        "severity": "critical",
        "profile": "database",
        "state": "firing",
        "since": "2026-03-03T04:00:00Z",
        "annotations": {"summary": "s", "severity": "info"},
    }


@pytest.mark.parametrize("probability", [None, 0.25])
def test_a_risk_has_its_threshold(probability: float | None) -> None:
    """A risk without recent data has no probability."""
    monitored = MonitoredThreshold(SeriesKey("db-1", "disk"), Severity.WARNING, 80.0, Direction.ABOVE, "database")
    risk = Risk(monitored=monitored, probability=probability, breached=False, median_seconds=600, early_seconds=300)
    assert risk_document(risk).model_dump() == {
        "server": "db-1",
        "metric": "disk",
        "severity": "warning",
        "threshold": 80.0,
        "probability": probability,
        "breached": False,
        "median_seconds": 600,
        "early_seconds": 300,
    }


def test_a_record_has_its_outcome_once_it_is_known() -> None:
    """An open prediction has neither outcome, onset nor lead time."""
    hit = Prediction(**{**vars(RECORD), "outcome": Outcome.HIT, "onset": AT + 5400})
    first, second = (PredictionDocument.model_validate(each) for each in (RECORD, hit))
    assert (first.made, first.outcome, first.onset, first.lead_seconds) == ("2026-03-03T04:00:00Z", None, None, None)
    assert (second.outcome, second.onset, second.lead_seconds) == ("hit", "2026-03-03T05:30:00Z", 5400)
    figures = FiguresDocument.model_validate(prediction_figures([RECORD, hit]))
    assert (figures.hits, figures.open, figures.precision, figures.median_lead_seconds) == (1, 1, 1.0, 5400.0)
