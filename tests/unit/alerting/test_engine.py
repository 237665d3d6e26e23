"""Early warning over a few servers: states, texts, queue and prediction log of each tick."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from daemon.alerting.engine import Alerting, AlertingInput, AlertingResult
from daemon.alerting.outcomes import Outcome
from daemon.alerting.state import AlertKey, AlertName, AlertState
from daemon.breach.definition import DecisionThreshold, MonitoredThreshold, Risk, Severity
from daemon.config.alerting import AlertingConfig
from daemon.core.errors import StoreUnavailable
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.metric import Metric, Thresholds
from daemon.core.series import DataState, Panel, SeriesKey, ServerState
from tests.fakes.alert_repository import FakeAlertRepository

START = 1_767_225_600
FIRST = START + 3 * 86_400
METRICS = {"disk": Metric(name="disk", unit="%", thresholds=Thresholds(80, 90), hint="what fills it")}
GOOD = DecisionThreshold(
    probability=0.6, precision=0.82, recall=0.4, reached=True, chosen_on="its own threshold", windows=50
)
POOR = replace(GOOD, precision=0.5, reached=False)


class FakeRisks:
    """A risk model with a probability by server, None for missing data; breached where the value is past the threshold.

    Attributes:
        probability: of every threshold, by server.
        thresholds: decision thresholds by severity.
    """

    def __init__(self) -> None:
        self.probability: dict[str, float | None] = {}
        self.thresholds = {Severity.WARNING: GOOD, Severity.CRITICAL: GOOD}

    def risks(self, forecast: Forecast, panel: Panel, monitored: Sequence[MonitoredThreshold]) -> tuple[Risk, ...]:
        made = []
        for each in monitored:
            chance = self.probability.get(each.key.server, 0.0)
            if chance is None:
                made.append(Risk(monitored=each, probability=None, breached=False))
                continue
            newest = panel.values[panel.keys.index(each.key), -3:]
            breached = bool((newest >= each.threshold).all())
            made.append(
                Risk(
                    monitored=each,
                    probability=chance,
                    breached=breached,
                    value=float(newest[-1]),
                    earlier=61.5,
                    median_seconds=7200,
                    early_seconds=3600,
                    peak=(70, 92, 95),
                    peak_seconds=7500,
                    seen_days=3,
                    same_hour_history=20,
                )
            )
        return tuple(made)

    def decision_threshold(self, metric: str, severity: Severity) -> DecisionThreshold:
        return self.thresholds[severity]


class Rig:
    """Alerting over a panel whose values and probabilities a test sets."""

    def __init__(self, servers: Sequence[str] = ("db-1",), **config: object) -> None:
        self.servers, self.repository, self.risks = tuple(servers), FakeAlertRepository(), FakeRisks()
        target = {"name": "am", "url": "http://am"}
        self.config = AlertingConfig.model_validate({"alertmanagers": [target], **config})
        keys = tuple(SeriesKey(server, "disk") for server in self.servers)
        self.panel = Panel(keys, START, np.full((len(keys), 6 * 288), 70, np.float32))
        self.stale: set[str] = set()
        self.healthy = True
        self.at = FIRST
        self.restart()

    def restart(self, metrics: Mapping[str, Metric] = METRICS) -> None:
        """Start a new instance on the same repository."""
        self.alerting = Alerting(self.repository, metrics, self.config, lambda at: at + 0.5)

    def breach(self, server: str, step: int, steps: int = 12) -> None:
        """Put ``server`` past both thresholds, ``step`` steps after the first tick."""
        column = (FIRST - START) // 300 + step
        self.panel.values[self.servers.index(server), column : column + steps] = 95

    def tick(self, ticks: int = 1, **probability: float | None) -> AlertingResult:
        """Run ``ticks`` ticks with a probability for each server; an underscore stands for a dash."""
        self.risks.probability = {name.replace("_", "-"): chance for name, chance in probability.items()}
        for _ in range(ticks):
            known = self.panel.between(START, self.at)
            paths = np.full((len(known.keys), 96, 7), 70, np.float32)
            forecast = Forecast(
                origin=self.at,
                keys=known.keys,
                paths=paths,
                kinds=(ForecasterKind.MODEL,) * len(known.keys),
                model="m",
            )
            states = [
                ServerState(
                    name=name,
                    profile="database",
                    state=DataState.STALE if name in self.stale else DataState.KNOWN,
                    metrics=("disk",),
                    newest=self.at - 900,
                )
                for name in self.servers
            ]
            alerting = self.alerting.run(
                AlertingInput(
                    at=self.at,
                    forecast=forecast,
                    panel=known,
                    servers=states,
                    healthy=self.healthy,
                    model="m",
                    level="production",
                ),
                self.risks,
            )
            self.at += 300
        return alerting

    def firing(self) -> list[Mapping[str, str]]:
        """Return the labels of the firing alerts."""
        return [each.labels for each in self.alerting.firing()]

    def queue(self) -> list[tuple[str, bool]]:
        """Return the queued changes: name of the alert, and whether it resolved."""
        return [
            (each.notification.labels["alertname"], bool(each.notification.ends_at))
            for each in self.repository.queued("am", 100)
        ]


def alert_key(severity: Severity = Severity.CRITICAL, server: str = "db-1") -> AlertKey:
    return AlertKey(AlertName.PREDICTED_BREACH, server, "disk", severity, "database")


def test_a_change_is_queued_once_when_an_alert_fires_and_once_when_it_resolves() -> None:
    """It is queued in the transaction that changes the state; between the two nothing is queued."""
    rig = Rig()
    assert rig.tick(db_1=0.7).alerts[alert_key()].status.state is AlertState.PENDING
    assert rig.queue() == []
    rig.tick(20, db_1=0.7)
    assert rig.queue() == [("PredictedBreach", False)] * 2
    assert {labels["severity"] for labels in rig.firing()} == {"warning", "critical"}
    assert rig.tick(10, db_1=0.1).alerts == {}
    assert rig.queue() == [("PredictedBreach", False)] * 2 + [("PredictedBreach", True)] * 2
    assert rig.firing() == []


def test_labels_are_identity_and_facts_are_fields() -> None:
    """No label changes from tick to tick; probability and severity are fields, the texts have the facts of the tick."""
    rig = Rig(target_precision=0.7)
    rig.tick(3, db_1=0.7)
    before = rig.firing()
    alerting = rig.tick(db_1=0.93)
    assert rig.firing() == before
    alert = alerting.alerts[alert_key()]
    assert (alert.probability, alert.sent_severity, alert.status.since) == (0.93, Severity.CRITICAL, FIRST + 300)
    assert alert.annotations["summary"] == (
        "db-1: disk will probably reach 90 % (critical) in about 2 h, at 02:15 UTC (probability 93 %)."
    )
    assert alert.annotations["precision"] == "No track record on this fleet yet (target 70 %)."
    assert alert.annotations["model"] == "m (level production)"


def test_an_alert_that_came_true_has_the_time_of_its_prediction() -> None:
    """It is the time since the alert fired."""
    rig = Rig()
    rig.breach("db-1", 20)
    rig.tick(20, db_1=0.9)
    alert = rig.tick(4, db_1=0.9).alerts[alert_key()]
    assert alert.annotations["summary"] == (
        "db-1: disk has reached the critical threshold of 90 % (predicted 1 h 50 min ago)."
    )


def test_a_restart_changes_nothing() -> None:
    """With a restart after every tick, alerts, prediction log and queue are the same."""
    whole, broken = Rig(), Rig()
    for rig in (whole, broken):
        rig.breach("db-1", 30)
    for chance in [0.1, 0.7, 0.2, 0.7, *[0.65] * 30, *[0.1] * 30]:
        one = whole.tick(db_1=chance)
        broken.restart()
        other = broken.tick(db_1=chance)
        assert (one.alerts, one.predictions) == (other.alerts, other.predictions)
    assert whole.queue() == broken.queue()
    assert whole.queue()
    assert {record.outcome for record in one.predictions} == {Outcome.HIT}


def test_missing_data_holds_an_alert() -> None:
    """A server without data keeps its alert, with the time of the last data; a stale server has its own alert."""
    rig = Rig()
    rig.tick(3, db_1=0.7)
    rig.stale = {"db-1"}
    alerting = rig.tick(5, db_1=None)
    assert alerting.alerts[alert_key()].status.state is AlertState.FIRING
    alert = alerting.alerts[alert_key()]
    assert alert.annotations["data"].startswith("No data since 2026-01-04T00:10:00Z.")
    assert alert.probability == 0.7
    assert {labels["alertname"] for labels in rig.firing()} == {"PredictedBreach", "ServerDataMissing"}
    missing = next(labels for labels in rig.firing() if labels["alertname"] == "ServerDataMissing")
    assert missing == {
        "alertname": "ServerDataMissing",
        "server": "db-1",
        "severity": "warning",
        "profile": "database",
    }


def test_a_failing_source_raises_nothing_about_its_servers() -> None:
    """If a source could not be fetched, a server without data is not known to be stale."""
    rig = Rig()
    rig.stale, rig.healthy = {"db-1"}, False
    rig.tick(10, db_1=None)
    assert rig.firing() == []


def test_many_servers_of_a_profile_have_a_group_alert() -> None:
    """Three of four have one that names them, and their own alerts refer to it; two of four have none."""
    rig = Rig(["a", "b", "c", "d"])
    rig.tick(6, a=0.9, b=0.9)
    assert {labels["alertname"] for labels in rig.firing()} == {"PredictedBreach"}
    alerting = rig.tick(4, a=0.9, b=0.9, c=0.9)
    group = AlertKey(AlertName.GROUP_PREDICTED_BREACH, "", "disk", Severity.CRITICAL, "database")
    assert alerting.alerts[group].annotations["servers"] == "a, b, c"
    assert "server" not in next(each for each in rig.firing() if each["alertname"] == "FleetPredictedBreach")
    assert alerting.alerts[alert_key(server="a")].annotations["fleet"] == alerting.alerts[group].annotations["summary"]


def test_an_alert_that_cannot_be_precise_is_info() -> None:
    """Both severities are then one alert with the label info, unless configured otherwise; the label is kept."""
    rig, kept = Rig(), Rig(keep_severity=True)
    for each in (rig, kept):
        each.risks.thresholds = {Severity.WARNING: POOR, Severity.CRITICAL: POOR}
        each.tick(3, db_1=0.7)
    assert [labels["severity"] for labels in rig.firing()] == ["info"]
    assert {labels["severity"] for labels in kept.firing()} == {"warning", "critical"}
    rig.risks.thresholds[Severity.CRITICAL] = GOOD
    rig.tick(db_1=0.7)
    assert [labels["severity"] for labels in rig.firing()] == ["info"], "a label must not change while it fires"


def test_an_alert_that_keeps_firing_predicts_every_eight_hours() -> None:
    """Firing for a day without a breach is false more than once; the breach at the end is the last one's hit."""
    rig = Rig()
    rig.breach("db-1", 250)
    alerting = rig.tick(260, db_1=0.9)
    outcomes = [record.outcome for record in alerting.predictions if record.severity is Severity.CRITICAL]
    assert outcomes == [Outcome.FALSE, Outcome.FALSE, Outcome.HIT]
    assert alerting.figures.precision == pytest.approx(1 / 3)


def test_an_unpredicted_breach_is_missed_and_not_alerted_on() -> None:
    """A breach without a prediction is recorded as missed; it is the subject of the real alert."""
    rig = Rig()
    rig.breach("db-1", 20)
    alerting = rig.tick(40)
    assert [record.outcome for record in alerting.predictions] == [Outcome.MISSED] * 2
    assert rig.queue() == []


def test_a_tick_that_cannot_be_written_changes_nothing() -> None:
    """If the transaction fails, the states are as before; the next tick makes the same change."""
    rig = Rig()
    rig.tick(db_1=0.7)
    rig.repository.failure = StoreUnavailable("full")
    with pytest.raises(StoreUnavailable):
        rig.tick(db_1=0.7)
    assert rig.firing() == []
    rig.repository.failure = None
    rig.tick(db_1=0.7)
    assert len(rig.firing()) == 2
    assert len(rig.queue()) == 2


def test_an_alert_without_a_configured_threshold_resolves() -> None:
    """It is not held like an alert without data, because no data will come."""
    rig = Rig()
    rig.tick(3, db_1=0.9)
    assert len(rig.firing()) == 2
    rig.restart({"disk": replace(METRICS["disk"], thresholds=Thresholds(warning=80))})
    rig.tick(8, db_1=0.9)
    assert [each["severity"] for each in rig.firing()] == ["warning"]


def resolved(rig: Rig) -> dict[tuple[str, str], str]:
    """Return the summary of each queued resolution by the name and severity of its alert."""
    queued = [each.notification for each in rig.repository.queued("am", 100)]
    return {
        (each.labels["alertname"], each.labels["severity"]): each.annotations["summary"]
        for each in queued
        if each.ends_at
    }


def test_a_resolution_has_its_reason() -> None:
    """The breach is no longer predicted, the threshold is gone, or the data did not come back."""
    cleared, unconfigured, silent = Rig(), Rig(), Rig(missing_hours=1)
    for rig in (cleared, unconfigured, silent):
        rig.tick(3, db_1=0.9)
    cleared.tick(10, db_1=0.1)
    assert resolved(cleared) == {
        ("PredictedBreach", "warning"): "db-1: disk is no longer predicted to reach 80 % (warning).",
        ("PredictedBreach", "critical"): "db-1: disk is no longer predicted to reach 90 % (critical).",
    }
    unconfigured.restart({"disk": Metric(name="disk")})
    unconfigured.tick(10)
    assert (
        resolved(unconfigured)["PredictedBreach", "critical"]
        == "db-1: disk has no critical threshold any more; its alert ends."
    )
    silent.tick(12, db_1=None)
    assert resolved(silent)["PredictedBreach", "critical"] == "db-1: no data of disk for 1 h; its alert ends."


def test_stale_servers_and_groups_resolve_with_their_reason() -> None:
    """Data arrives again; too few servers are left in the group."""
    rig = Rig(["a", "b", "c"])
    rig.tick(4, a=0.9, b=0.9, c=0.9)
    rig.stale = {"a"}
    rig.tick(3, a=0.9, b=0.9, c=0.9)
    rig.stale = set()
    rig.tick(10)
    found = resolved(rig)
    assert found["ServerDataMissing", "warning"] == "a: data arrives again."
    assert found["FleetPredictedBreach", "critical"] == (
        "Profile database: too few servers are still predicted to breach the critical threshold of disk."
    )
