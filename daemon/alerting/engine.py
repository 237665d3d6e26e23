"""Early warning at a tick: risks → states → ledger → what is to be told."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from daemon.alerting.outcomes import (
    AlertRepository,
    Judge,
    Prediction,
    PredictionFigures,
    entered,
    figures_by_kind,
    prediction_figures,
)
from daemon.alerting.state import (
    Alert,
    AlertKey,
    AlertName,
    AlertState,
    Notification,
    Observation,
    Phase,
    Policy,
    advance,
    forgettable,
)
from daemon.alerting.text import Context, annotations, link, sent_severity
from daemon.breach.definition import (
    DecisionThreshold,
    MonitoredThreshold,
    Risk,
    RiskModel,
    Severity,
    monitored_thresholds,
)
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.metric import Metric
from daemon.core.series import GENERIC_PROFILE, Panel, SeriesKey, as_text
from daemon.core.server import ServerState

_MOST_NAMED = 20


@dataclass(frozen=True)
class GroupRule:
    """When singles become a fleet's alert.

    Attributes:
        servers: at least so many of a profile.
        share: and at least this share of them.
    """

    servers: int = 3
    share: float = 0.3


def group_observations(
    firing: Sequence[AlertKey], risks: Iterable[Risk], known: Mapping[AlertKey, Alert], rule: GroupRule
) -> dict[AlertKey, Observation]:
    """Return what a tick says of the fleets' alerts: of those that many fire in, and of those that are known."""
    alerted = Counter(_fleet_of(key) for key in firing if key.name is AlertName.PREDICTED_BREACH)
    monitored = Counter(
        AlertKey(
            AlertName.GROUP_PREDICTED_BREACH, "", risk.watch.key.metric, risk.watch.severity.value, risk.watch.profile
        )
        for risk in risks
    )
    fleets = {*alerted, *(key for key in known if key.name is AlertName.GROUP_PREDICTED_BREACH)}
    found = {}
    for fleet in sorted(fleets):
        many = alerted[fleet] >= max(rule.servers, rule.share * monitored[fleet])
        found[fleet] = Observation(float(many), False, 0.5)
    return found


def group_text(fleet: AlertKey, active: Mapping[AlertKey, Alert]) -> dict[str, str]:
    """Return the annotations of a fleet's alert, which name its servers."""
    servers = sorted(
        key.server
        for key, alert in active.items()
        if key.name is AlertName.PREDICTED_BREACH and alert.state.phase is Phase.FIRING and _fleet_of(key) == fleet
    )
    named = ", ".join(servers[:_MOST_NAMED]) + (
        f" and {len(servers) - _MOST_NAMED} more" * (len(servers) > _MOST_NAMED)
    )
    return {
        "summary": f"{len(servers)} servers of profile {fleet.profile} are predicted to breach the {fleet.severity} "
        f"threshold of {fleet.metric} together.",
        "description": f"They are {named}. Look for what they share before you look at one of them.",
        "servers": named,
    }


def _fleet_of(single: AlertKey) -> AlertKey:
    return AlertKey(AlertName.GROUP_PREDICTED_BREACH, "", single.metric, single.severity, single.profile)


def stale_observations(
    servers: Sequence[ServerState], healthy: bool, known: Mapping[AlertKey, Alert]
) -> dict[AlertKey, Observation]:
    """Return what a tick says of each server's silence; nothing where a source failed, as then all are silent.

    A server that is no longer known, for a day without a sample, is forgotten and its alert with it.
    """
    found = {}
    for server in servers:
        stale = server.state == "stale"
        alert_key = _stale_key(server)
        if stale or alert_key in known:
            found[alert_key] = Observation(float(stale) if healthy or not stale else None, False, 0.5)
    for alert_key in known:
        if alert_key.name is AlertName.SERVER_DATA_MISSING and alert_key not in found:
            found[alert_key] = Observation(0.0, False, 0.5)
    return found


def stale_text(alert_key: AlertKey, alert: Alert, servers: Sequence[ServerState], link: str) -> dict[str, str]:
    """Return the annotations of the alert on a silent server."""
    newest = next((server.newest for server in servers if server.name == alert_key.server), None)
    if newest is None:
        return dict(alert.annotations)
    text = {
        "summary": f"{alert_key.server}: no data since {as_text(newest)}; its predictions are held, not resolved.",
        "description": "Look at whether the server is up, and at what collects its metrics.",
        "link": link,
    }
    return {name: value for name, value in text.items() if value}


def _stale_key(server: ServerState) -> AlertKey:
    return AlertKey(AlertName.SERVER_DATA_MISSING, server.name, "", Severity.WARNING.value, server.profile)


_log = structlog.get_logger()

SENT_SEVERITY = "severity"


@dataclass(frozen=True, kw_only=True)
class AlertRules:
    """What the configuration says of alerts.

    Attributes:
        policy: when one fires and resolves.
        fleet: when many of them are one.
        keep_severity: send the configured severity where the cut does not reach the target precision.
        prediction_log_seconds: how long judged predictions are kept.
        external_url: where people reach the service; empty if nobody said.
    """

    policy: Policy = field(default_factory=Policy)
    fleet: GroupRule = field(default_factory=GroupRule)
    keep_severity: bool = False
    prediction_log_seconds: int = 90 * 86_400
    external_url: str = ""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What a tick knows when it comes to alerts.

    Attributes:
        at: epoch seconds of its grid time.
        forecast: of every series with a sample in the last day.
        panel: their history.
        servers: all of them, with their profiles.
        healthy: whether every source could be fetched; if not, silence says nothing of a server.
        model: id of the serving model; empty for the base network or the baseline.
        level: the level it was trained at; empty where there is no record.
    """

    at: int
    forecast: Forecast
    panel: Panel
    servers: Sequence[ServerState]
    healthy: bool
    model: str = ""
    level: str = ""


@dataclass(frozen=True, kw_only=True)
class AlertingResult:
    """What early warning made of a tick.

    Attributes:
        risks: of every threshold of every series.
        cuts: from which probability on each metric and severity is alerted on.
        alerts: those that are pending or firing.
        predictions: the ledger, newest last.
        figures: of the ledger.
    """

    risks: tuple[Risk, ...] = ()
    cuts: Mapping[tuple[str, Severity], DecisionThreshold] = field(default_factory=dict)
    alerts: Mapping[AlertKey, Alert] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    figures: PredictionFigures = field(default_factory=lambda: prediction_figures(()))


class Alerting:
    """Keeps the alerts and the ledger, in memory and in the book, from tick to tick and over restarts."""

    def __init__(
        self,
        repository: AlertRepository,
        metrics: Mapping[str, Metric],
        rules: AlertRules,
        targets: Sequence[str],
        wall_time: Callable[[int], float],
    ) -> None:
        """Start with what the book knows at the first tick.

        Args:
            repository: where everything is kept.
            metrics: thresholds, units and hints.
            rules: of the configuration.
            targets: names of those who are told.
            wall_time: from epoch seconds of the service's clock to those of the wall's.
        """
        self._repository, self._metrics, self._rules = repository, metrics, rules
        self._targets, self._wall_time = targets, wall_time
        self._judge = Judge()
        self._alerts: dict[AlertKey, Alert] | None = None
        self._predictions: tuple[Prediction, ...] = ()

    def run(self, tick: Tick, model: RiskModel) -> AlertingResult:
        """Advance every alert by one tick and write what changed, in one transaction."""
        if self._alerts is None:
            self._alerts = self._repository.alerts()
            self._predictions = self._repository.predictions(tick.at - self._rules.prediction_log_seconds)
        profiles = {server.name: server.profile for server in tick.servers}
        monitored = _monitored(tick.forecast, profiles, self._metrics)
        risks = model.risks(tick.forecast, tick.panel, monitored)
        kinds = {(watch.key.metric, watch.severity) for watch in monitored}
        cuts = {kind: model.decision_threshold(*kind) for kind in kinds}
        before = self._alerts
        alerts = self._advanced(tick, risks, cuts)
        fired = [risk for risk in risks if _fires(before, alerts, _alert_key(risk.watch))]
        new = entered(fired, alerts, self._predictions, tick.at, tick.model)
        predictions = self._judge.judged(tick.at, tick.panel, monitored, self._predictions, new)
        changed = {key: alerts.get(key) for key in {*before, *alerts} if alerts.get(key) != before.get(key)}
        told = self._notifications(before, alerts, tick.at)
        known = set(self._predictions)
        new_lines = [line for line in predictions if line not in known]
        if changed or new_lines:
            self._repository.write(changed, new_lines, dict.fromkeys(self._targets, told))
        self._alerts = alerts
        self._predictions = self._pruned(predictions, tick.at)
        _log_changes(before, alerts, tick.at)
        shown = {key: alert for key, alert in alerts.items() if alert.state.phase is not Phase.INACTIVE}
        return AlertingResult(
            risks=risks, cuts=cuts, alerts=shown, predictions=predictions, figures=prediction_figures(predictions)
        )

    def _pruned(self, predictions: tuple[Prediction, ...], at: int) -> tuple[Prediction, ...]:
        oldest = at - self._rules.prediction_log_seconds
        kept = tuple(line for line in predictions if line.outcome is None or line.made >= oldest)
        if len(kept) < len(predictions):
            self._repository.prune(oldest)
        return kept

    def firing(self, at: int) -> tuple[Notification, ...]:
        """Return every firing alert, to be told again."""
        return tuple(self._sent(self._alerts or {}, at).values())

    def _advanced(
        self, tick: Tick, risks: Sequence[Risk], cuts: Mapping[tuple[str, Severity], DecisionThreshold]
    ) -> dict[AlertKey, Alert]:
        known = self._alerts or {}
        advanced: dict[AlertKey, Alert] = {}
        record = figures_by_kind(self._predictions)
        for risk in risks:
            cut = cuts[risk.watch.key.metric, risk.watch.severity]
            seen = Observation(risk.probability, risk.breached, cut.probability)
            self._step(advanced, _alert_key(risk.watch), seen, tick.at)
        for alert_key, seen in stale_observations(tick.servers, tick.healthy, known).items():
            self._step(advanced, alert_key, seen, tick.at)
        firing = [key for key, alert in advanced.items() if alert.state.phase is Phase.FIRING]
        for alert_key, seen in group_observations(firing, risks, known, self._rules.fleet).items():
            self._step(advanced, alert_key, seen, tick.at)
        for alert_key in known.keys() - advanced.keys():
            # without data an alert is held; one whose threshold is no longer configured has nothing to wait for
            unknown = None if self._configured(alert_key) else 0.0
            self._step(advanced, alert_key, Observation(unknown, False, 1.0), tick.at)
        kept = {
            key: alert for key, alert in advanced.items() if not forgettable(alert.state, tick.at, self._rules.policy)
        }
        return self._told(kept, tick, {_alert_key(risk.watch): risk for risk in risks}, cuts, record)

    def _configured(self, alert_key: AlertKey) -> bool:
        if alert_key.name is not AlertName.PREDICTED_BREACH:
            return True
        key = SeriesKey(alert_key.server, alert_key.metric)
        return any(
            watch.severity == alert_key.severity
            for watch in monitored_thresholds(key, alert_key.profile, self._metrics)
        )

    def _step(self, into: dict[AlertKey, Alert], alert_key: AlertKey, seen: Observation, at: int) -> None:
        old = (self._alerts or {}).get(alert_key, Alert(AlertState(), {}))
        into[alert_key] = replace(old, state=advance(old.state, seen, at, self._rules.policy))

    def _told(
        self,
        alerts: dict[AlertKey, Alert],
        tick: Tick,
        risks: Mapping[AlertKey, Risk],
        cuts: Mapping[tuple[str, Severity], DecisionThreshold],
        record: Mapping[tuple[str, Severity], PredictionFigures],
    ) -> dict[AlertKey, Alert]:
        active = {key: alert for key, alert in alerts.items() if alert.state.phase is not Phase.INACTIVE}
        fleets = {key: group_text(key, active) for key in active if key.name is AlertName.GROUP_PREDICTED_BREACH}
        told = dict(alerts)
        for alert_key, alert in active.items():
            risk = risks.get(alert_key)
            if alert_key in fleets:
                kind = (alert_key.metric, Severity(alert_key.severity))
                sent = self._sent_severity(alert_key, alert, cuts[kind]) if kind in cuts else {}
                text = {**alert.annotations, **fleets[alert_key], **sent}
            elif alert_key.name is AlertName.SERVER_DATA_MISSING:
                text = stale_text(alert_key, alert, tick.servers, self._link({"server": alert_key.server}))
            elif risk is None or risk.probability is None:
                text = {**alert.annotations, "data": f"none since before {as_text(tick.at)}; the alert is held"}
            else:
                kind = (alert_key.metric, Severity(alert_key.severity))
                context = Context(
                    at=tick.at,
                    metric=self._metrics[alert_key.metric],
                    cut=cuts[kind],
                    record=record.get(kind),
                    model=_model_text(tick, risk.watch),
                    link=self._link({"server": alert_key.server, "metric": alert_key.metric}),
                    fleet=next((text["summary"] for key, text in fleets.items() if _belongs(alert_key, key)), ""),
                )
                text = annotations(risk, context) | self._sent_severity(alert_key, alert, cuts[kind])
            told[alert_key] = replace(alert, annotations=text)
        return told

    def _sent_severity(self, alert_key: AlertKey, alert: Alert, cut: DecisionThreshold) -> dict[str, str]:
        """Keep, while an alert fires, the severity that it was first sent with: a label must not change."""
        first = sent_severity(Severity(alert_key.severity), cut, self._rules.keep_severity).value
        if alert.state.phase is Phase.FIRING:
            first = alert.annotations.get(SENT_SEVERITY, first)
        return {SENT_SEVERITY: first}

    def _link(self, query: Mapping[str, str]) -> str:
        return link(self._rules.external_url, query)

    def _notifications(
        self, before: Mapping[AlertKey, Alert], after: Mapping[AlertKey, Alert], at: int
    ) -> tuple[Notification, ...]:
        was, is_now = self._sent(before, at), self._sent(after, at)
        begun = [each for labels, each in is_now.items() if labels not in was]
        ended = [replace(each, ends_at=self._wall_time(at)) for labels, each in was.items() if labels not in is_now]
        return (*begun, *ended)

    def _sent(self, alerts: Mapping[AlertKey, Alert], at: int) -> dict[tuple[str, ...], Notification]:
        """Return the firing alerts by their labels; of two with the same ones (both ``info``) the graver is told."""
        sent: dict[tuple[str, ...], Notification] = {}
        order = sorted(alerts, key=lambda key: key.severity != Severity.CRITICAL)
        for alert_key in order:
            alert = alerts[alert_key]
            if alert.state.phase is not Phase.FIRING:
                continue
            labels = _labels(alert_key, alert.annotations.get(SENT_SEVERITY, alert_key.severity))
            told = {name: text for name, text in alert.annotations.items() if name != SENT_SEVERITY}
            starts_at = self._wall_time(alert.state.since)
            notification = Notification(
                labels=labels,
                annotations=told,
                starts_at=starts_at,
                ends_at=0.0,
                generator_url=alert.annotations.get("link", ""),
            )
            sent.setdefault(tuple(labels.values()), notification)
        return sent


def _monitored(
    forecast: Forecast, profiles: Mapping[str, str], metrics: Mapping[str, Metric]
) -> list[MonitoredThreshold]:
    return [
        each
        for key in forecast.keys
        for each in monitored_thresholds(key, profiles.get(key.server, GENERIC_PROFILE), metrics)
    ]


def _alert_key(watch: MonitoredThreshold) -> AlertKey:
    return AlertKey(AlertName.PREDICTED_BREACH, watch.key.server, watch.key.metric, watch.severity.value, watch.profile)


def _fires(before: Mapping[AlertKey, Alert], after: Mapping[AlertKey, Alert], alert_key: AlertKey) -> bool:
    def firing(alerts: Mapping[AlertKey, Alert]) -> bool:
        return alert_key in alerts and alerts[alert_key].state.phase is Phase.FIRING

    return firing(after) and not firing(before)


def _belongs(single: AlertKey, fleet: AlertKey) -> bool:
    return (single.metric, single.severity, single.profile) == (fleet.metric, fleet.severity, fleet.profile)


def _labels(alert_key: AlertKey, severity: str) -> dict[str, str]:
    named = {
        "alertname": alert_key.name.value,
        "server": alert_key.server,
        "metric": alert_key.metric,
        "severity": severity,
        "profile": alert_key.profile,
    }
    return {name: value for name, value in named.items() if value}


def _model_text(tick: Tick, watch: MonitoredThreshold) -> str:
    source = next(
        source for key, source in zip(tick.forecast.keys, tick.forecast.kinds, strict=True) if key == watch.key
    )
    if source is ForecasterKind.MODEL:
        return f"{tick.model}, trained at level {tick.level}" if tick.level else tick.model
    return "the base network of the package" if source is ForecasterKind.BASE else "the baseline, climatology"


def _log_changes(before: Mapping[AlertKey, Alert], after: Mapping[AlertKey, Alert], at: int) -> None:
    for alert_key in sorted({*before, *after}):
        was, now = (alert_key in alerts and alerts[alert_key].state.phase is Phase.FIRING for alerts in (before, after))
        if was != now:
            _log.info("alert_fired" if now else "alert_resolved", at=as_text(at), **alert_key._asdict())
