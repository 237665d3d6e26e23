from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from daemon.alerting.engine import Alerting, AlertingResult, AlertRules, Tick
from daemon.alerting.outcomes import Outcome
from daemon.alerting.state import AlertKey, AlertName, Phase, Policy
from daemon.breach.definition import DecisionThreshold, MonitoredThreshold, Risk, Severity
from daemon.core.errors import StoreUnavailable
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.metric import Metric, Thresholds
from daemon.core.series import Panel, SeriesKey
from daemon.core.server import ServerState
from tests.fakes.alert_repository import FakeAlertRepository

START = 1_767_225_600
FIRST = START + 3 * 86_400
METRICS = {"disk": Metric(name="disk", unit="%", thresholds=Thresholds(80, 90), hint="what fills it")}
GOOD = DecisionThreshold(
    probability=0.6, precision=0.82, recall=0.4, reached=True, chosen_on="its own threshold", windows=50
)
POOR = replace(GOOD, precision=0.5, reached=False)


class FakeRisks:
    """Says what a test wants: a probability by server, None for missing data; breached where the value is past 90.

    Attributes:
        probability: of every threshold, by server.
        cuts: by severity.
    """

    def __init__(self) -> None:
        self.probability: dict[str, float | None] = {}
        self.cuts = {Severity.WARNING: GOOD, Severity.CRITICAL: GOOD}

    def risks(self, forecast: Forecast, panel: Panel, monitored: Sequence[MonitoredThreshold]) -> tuple[Risk, ...]:
        made = []
        for watch in monitored:
            chance = self.probability.get(watch.key.server, 0.0)
            if chance is None:
                made.append(Risk(watch=watch, probability=None, breached=False))
                continue
            newest = panel.values[panel.keys.index(watch.key), -3:]
            breached = bool((newest >= watch.threshold).all())
            made.append(
                Risk(
                    watch=watch,
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
        return self.cuts[severity]


class Rig:
    """Alerting over a panel of which a test says what is known and what is likely."""

    def __init__(self, servers: Sequence[str] = ("db-1",), **rules: object) -> None:
        self.servers, self.repository, self.risks = tuple(servers), FakeAlertRepository(), FakeRisks()
        self.rules = AlertRules(**rules)  # type: ignore[arg-type]
        keys = tuple(SeriesKey(server, "disk") for server in self.servers)
        self.panel = Panel(keys, START, np.full((len(keys), 6 * 288), 70, np.float32))
        self.stale: set[str] = set()
        self.healthy = True
        self.at = FIRST
        self.restart()

    def restart(self, metrics: Mapping[str, Metric] = METRICS) -> None:
        """Start anew from what the book knows."""
        self.alerting = Alerting(self.repository, metrics, self.rules, ("am",), lambda at: at + 0.5)

    def breach(self, server: str, step: int, steps: int = 12) -> None:
        """Let ``server`` be past both thresholds from ``step`` steps after the first tick on."""
        column = (FIRST - START) // 300 + step
        self.panel.values[self.servers.index(server), column : column + steps] = 95

    def tick(self, ticks: int = 1, **probability: float | None) -> AlertingResult:
        """Run some ticks at which each server is as likely to breach as said; underscores stand for dashes."""
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
                    state="stale" if name in self.stale else "known",
                    metrics=("disk",),
                    newest=self.at - 900,
                )
                for name in self.servers
            ]
            alerting = self.alerting.run(
                Tick(
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
        """Return the labels of what fires."""
        return [each.labels for each in self.alerting.firing(self.at)]

    def queue(self) -> list[tuple[str, bool]]:
        """Return what waits to be told: which alert, and whether it ended."""
        return [
            (each.notification.labels["alertname"], bool(each.notification.ends_at))
            for each in self.repository.queued("am", 100)
        ]


def alert_key(severity: str = "critical", server: str = "db-1") -> AlertKey:
    return AlertKey(AlertName.PREDICTED_BREACH, server, "disk", severity, "database")


def test_an_alert_is_told_once_when_it_fires_and_once_when_it_ends() -> None:
    """Its news is queued in the transaction that changes its state; between the two it is only repeated."""
    rig = Rig()
    assert rig.tick(db_1=0.7).alerts[alert_key()].state.phase is Phase.PENDING
    assert rig.queue() == []
    rig.tick(20, db_1=0.7)
    assert rig.queue() == [("PredictedBreach", False)] * 2
    assert {labels["severity"] for labels in rig.firing()} == {"warning", "critical"}
    assert rig.tick(10, db_1=0.1).alerts == {}
    assert rig.queue() == [("PredictedBreach", False)] * 2 + [("PredictedBreach", True)] * 2
    assert rig.firing() == []


def test_labels_are_identity_and_annotations_say_the_rest() -> None:
    """No label changes from tick to tick; the text names server, metric, threshold, time, certainty and the hint."""
    rig = Rig()
    rig.tick(3, db_1=0.7)
    before = rig.firing()
    alerting = rig.tick(db_1=0.93)
    assert rig.firing() == before
    annotations = alerting.alerts[alert_key()].annotations
    assert annotations["summary"] == (
        "db-1: disk reaches its critical threshold of 90 % in 2 h, at 02:15 UTC, 93 % sure."
    )
    assert annotations["description"] == (
        "It is at 70 % now; six hours ago it was at 61.5 %. "
        "The forecast's worst is 92 % at 02:20 UTC, with 80 % between 70 % and 95 %. "
        "In these hours such a breach came on 3 of the 20 known days before that began as quietly. "
        "Look at what fills it."
    )
    assert annotations["precision"] == "no such alert was judged yet; 82 % came true on its own threshold"
    assert annotations["model"] == "m, trained at level production"


def test_a_restart_changes_nothing() -> None:
    """After every tick started anew, the same alerts, the same ledger, the same news."""
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
    assert {line.outcome for line in one.predictions} == {Outcome.HIT}


def test_missing_data_holds_and_says_so() -> None:
    """A server without data keeps its alert, whose text says since when; a silent one gets an alert of its own."""
    rig = Rig()
    rig.tick(3, db_1=0.7)
    rig.stale = {"db-1"}
    alerting = rig.tick(5, db_1=None)
    assert alerting.alerts[alert_key()].state.phase is Phase.FIRING
    assert "none since before" in alerting.alerts[alert_key()].annotations["data"]
    assert {labels["alertname"] for labels in rig.firing()} == {"PredictedBreach", "ServerDataMissing"}
    missing = next(labels for labels in rig.firing() if labels["alertname"] == "ServerDataMissing")
    assert missing == {
        "alertname": "ServerDataMissing",
        "server": "db-1",
        "severity": "warning",
        "profile": "database",
    }


def test_a_failing_source_raises_nothing_about_its_servers() -> None:
    """Where a source could not be fetched, silence is the source's, and says nothing of a server."""
    rig = Rig()
    rig.stale, rig.healthy = {"db-1"}, False
    rig.tick(10, db_1=None)
    assert rig.firing() == []


def test_many_of_a_profile_are_one_more_alert() -> None:
    """Three of four together give an alert that names them, and theirs refer to it; two of four do not."""
    rig = Rig(["a", "b", "c", "d"])
    rig.tick(6, a=0.9, b=0.9)
    assert {labels["alertname"] for labels in rig.firing()} == {"PredictedBreach"}
    alerting = rig.tick(4, a=0.9, b=0.9, c=0.9)
    fleet = AlertKey(AlertName.GROUP_PREDICTED_BREACH, "", "disk", "critical", "database")
    assert alerting.alerts[fleet].annotations["servers"] == "a, b, c"
    assert "server" not in next(each for each in rig.firing() if each["alertname"] == "FleetPredictedBreach")
    assert alerting.alerts[alert_key(server="a")].annotations["fleet"].startswith("3 servers of profile database")


def test_an_alert_that_cannot_be_precise_is_info() -> None:
    """Both severities are then one alert with the label info, unless configured otherwise; it stays what it was."""
    rig, kept = Rig(), Rig(keep_severity=True)
    for each in (rig, kept):
        each.risks.cuts = {Severity.WARNING: POOR, Severity.CRITICAL: POOR}
        each.tick(3, db_1=0.7)
    assert [labels["severity"] for labels in rig.firing()] == ["info"]
    assert {labels["severity"] for labels in kept.firing()} == {"warning", "critical"}
    rig.risks.cuts[Severity.CRITICAL] = GOOD
    rig.tick(db_1=0.7)
    assert [labels["severity"] for labels in rig.firing()] == ["info"], "a label must not change while it fires"


def test_an_alert_that_goes_on_is_judged_every_eight_hours() -> None:
    """Firing for a day over nothing is wrong more than once; the breach that comes at last is foretold by the last."""
    rig = Rig(policy=Policy())
    rig.breach("db-1", 250)
    alerting = rig.tick(260, db_1=0.9)
    outcomes = [line.outcome for line in alerting.predictions if line.severity is Severity.CRITICAL]
    assert outcomes == [Outcome.FALSE, Outcome.FALSE, Outcome.HIT]
    assert alerting.figures.precision == pytest.approx(1 / 3)


def test_an_unpredicted_breach_is_missed_and_not_alerted_on() -> None:
    """What was past its threshold without a prediction is entered as missed; it is the real alert's matter."""
    rig = Rig()
    rig.breach("db-1", 20)
    alerting = rig.tick(40)
    assert [line.outcome for line in alerting.predictions] == [Outcome.MISSED] * 2
    assert rig.queue() == []


def test_what_cannot_be_written_is_not_done() -> None:
    """A tick whose transaction fails leaves the states as they were; the next one makes up for it."""
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


def test_an_alert_on_a_threshold_that_is_configured_no_more_ends() -> None:
    """It is not held as one without data is: nothing will ever be known of it again."""
    rig = Rig()
    rig.tick(3, db_1=0.9)
    assert len(rig.firing()) == 2
    rig.restart({"disk": replace(METRICS["disk"], thresholds=Thresholds(warning=80))})
    rig.tick(8, db_1=0.9)
    assert [each["severity"] for each in rig.firing()] == ["warning"]
