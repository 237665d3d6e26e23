"""Early warning at a tick: risks → alert states → prediction log → changes to send.

``Alerting`` keeps the alerts and the prediction log in memory and in the repository. It advances every alert by one
tick (``state``), renders its texts (``text``), records predictions and outcomes (``outcomes``), and writes all of it in
one transaction, with the changes that ``delivery`` sends.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from daemon.alerting.outcomes import (
    AlertRepository,
    OutcomeTracker,
    Prediction,
    PredictionFigures,
    figures_by_kind,
    new_predictions,
    prediction_figures,
)
from daemon.alerting.state import (
    Alert,
    AlertKey,
    AlertName,
    AlertState,
    AlertStatus,
    Notification,
    Observation,
    advance,
    is_forgettable,
)
from daemon.alerting.text import (
    Context,
    breach_annotations,
    clear_annotations,
    ended_annotations,
    forecast_link,
    group_annotations,
    group_summary,
    held_annotations,
    stale_annotations,
)
from daemon.breach.definition import (
    DecisionThreshold,
    MonitoredThreshold,
    Risk,
    RiskModel,
    Severity,
    monitored_thresholds,
)
from daemon.config.alerting import AlertingConfig
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.metric import Metric
from daemon.core.series import (
    GENERIC_PROFILE,
    STEP_SECONDS,
    STEPS_PER_DAY,
    DataState,
    Panel,
    SeriesKey,
    ServerState,
    as_text,
)

# of an alert that is observed as true or false, not by a probability
_EVEN = 0.5

_log = structlog.get_logger()

DecisionThresholds = Mapping[tuple[str, Severity], DecisionThreshold]


@dataclass(frozen=True, kw_only=True)
class AlertingInput:
    """The input of early warning at a tick.

    Attributes:
        at: epoch seconds of its grid time.
        forecast: of every series with a sample in the last day.
        panel: their history.
        servers: all of them, with their profiles.
        healthy: whether every source could be fetched; if not, a server without data is not known to be stale.
        model: id of the serving model; empty for the base network or the baseline.
        level: training level of that model; empty without a record.
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
    """The result of early warning at a tick.

    Attributes:
        risks: of every threshold of every series.
        decision_thresholds: by metric and severity.
        alerts: the pending and firing ones.
        predictions: the prediction log, newest last.
        figures: of the prediction log.
    """

    risks: tuple[Risk, ...] = ()
    decision_thresholds: DecisionThresholds = field(default_factory=dict)
    alerts: Mapping[AlertKey, Alert] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    figures: PredictionFigures = field(default_factory=lambda: prediction_figures(()))

    @property
    def firing(self) -> int:
        """Number of firing alerts."""
        return sum(alert.is_firing for alert in self.alerts.values())


class Alerting:
    """The alerts and the prediction log, from tick to tick and across restarts."""

    def __init__(
        self,
        repository: AlertRepository,
        metrics: Mapping[str, Metric],
        config: AlertingConfig,
        wall_time: Callable[[int], float],
    ) -> None:
        """Create it; the first tick loads the repository.

        Args:
            repository: stores the alerts, the prediction log and the queues.
            metrics: thresholds, units and hints.
            config: when an alert changes, and for which targets a change is queued.
            wall_time: converts epoch seconds of the service's clock to the wall clock's.
        """
        self._repository, self._metrics, self._config, self._wall_time = repository, metrics, config, wall_time
        self._log_seconds = config.ledger_days * STEPS_PER_DAY * STEP_SECONDS
        self._tracker = OutcomeTracker()
        self._alerts: dict[AlertKey, Alert] | None = None
        self._predictions: tuple[Prediction, ...] = ()

    def run(self, tick: AlertingInput, model: RiskModel) -> AlertingResult:
        """Advance every alert by one tick and write the changes in one transaction."""
        if self._alerts is None:
            self._alerts = self._repository.alerts()
            self._predictions = self._repository.predictions(tick.at - self._log_seconds)
        before = self._alerts
        profiles = {server.name: server.profile for server in tick.servers}
        monitored = _monitored(tick.forecast, profiles, self._metrics)
        found = model.risks(tick.forecast, tick.panel, monitored)
        kinds = {(each.key.metric, each.severity) for each in monitored}
        thresholds = {kind: model.decision_threshold(*kind) for kind in kinds}
        risks = {_breach_key(risk.monitored): risk for risk in found}
        statuses = self._advanced(tick, risks, thresholds)
        alerts = self._rendered(tick, statuses, risks, thresholds)
        fired = [risk for key, risk in risks.items() if _is_firing(alerts, key) and not _is_firing(before, key)]
        new = new_predictions(fired, alerts, self._predictions, tick.at, tick.model)
        predictions = self._tracker.update(tick.at, tick.panel, monitored, self._predictions, new)
        known = set(self._predictions)
        records = [record for record in predictions if record not in known]
        changed = {key: alerts.get(key) for key in {*before, *alerts} if alerts.get(key) != before.get(key)}
        if changed or records:
            changes = self._changes(before, alerts, risks, tick)
            targets = [each.name for each in self._config.alertmanagers]
            self._repository.write(changed, records, dict.fromkeys(targets, changes))
        self._alerts = alerts
        self._predictions = self._pruned(predictions, tick.at)
        _log_changes(before, alerts, tick.at)
        return AlertingResult(
            risks=found,
            decision_thresholds=thresholds,
            alerts={key: alert for key, alert in alerts.items() if alert.status.state is not AlertState.INACTIVE},
            predictions=predictions,
            figures=prediction_figures(predictions),
        )

    def firing(self) -> tuple[Notification, ...]:
        """Return a notification of every firing alert."""
        alerts = self._alerts or {}
        return tuple(self._notification(key, alerts[key]) for key in _sent(alerts).values())

    def _pruned(self, predictions: tuple[Prediction, ...], at: int) -> tuple[Prediction, ...]:
        oldest = at - self._log_seconds
        kept = tuple(record for record in predictions if record.outcome is None or record.made >= oldest)
        if len(kept) < len(predictions):
            self._repository.prune(oldest)
        return kept

    def _advanced(
        self, tick: AlertingInput, risks: Mapping[AlertKey, Risk], thresholds: DecisionThresholds
    ) -> dict[AlertKey, AlertStatus]:
        known = self._alerts or {}
        advanced: dict[AlertKey, AlertStatus] = {}

        def step(observations: Mapping[AlertKey, Observation]) -> None:
            for key, observation in observations.items():
                status = known[key].status if key in known else AlertStatus()
                advanced[key] = advance(status, observation, tick.at, self._config)

        step(
            {
                key: Observation(risk.probability, risk.breached, thresholds[key.metric, key.severity].probability)
                for key, risk in risks.items()
            }
        )
        step(stale_observations(tick.servers, tick.healthy, known))
        firing = [key for key, status in advanced.items() if status.state is AlertState.FIRING]
        step(group_observations(firing, risks, known, self._config))
        # without data an alert is held; without a configured threshold it has nothing to wait for
        step(
            {
                key: Observation(None if self._is_configured(key) else 0.0, False, 1.0)
                for key in known.keys() - advanced.keys()
            }
        )
        return {key: status for key, status in advanced.items() if not is_forgettable(status, tick.at, self._config)}

    def _is_configured(self, key: AlertKey) -> bool:
        if key.name is not AlertName.PREDICTED_BREACH:
            return True
        series = SeriesKey(key.server, key.metric)
        return any(each.severity == key.severity for each in monitored_thresholds(series, key.profile, self._metrics))

    def _rendered(
        self,
        tick: AlertingInput,
        statuses: Mapping[AlertKey, AlertStatus],
        risks: Mapping[AlertKey, Risk],
        thresholds: DecisionThresholds,
    ) -> dict[AlertKey, Alert]:
        """Return the alerts of ``statuses`` with their facts and texts."""
        known = self._alerts or {}
        firing = [key for key, status in statuses.items() if status.state is AlertState.FIRING]
        groups = {
            key: _servers_of(key, firing)
            for key, status in statuses.items()
            if key.name is AlertName.GROUP_PREDICTED_BREACH and status.state is not AlertState.INACTIVE
        }
        figures = figures_by_kind(self._predictions)
        alerts = {}
        for key, status in statuses.items():
            last, risk = known.get(key), risks.get(key)
            probability = risk.probability if risk is not None else None
            texts = last.annotations if last is not None else {}
            if status.state is AlertState.INACTIVE:
                texts = {}
            elif key in groups:
                texts = group_annotations(key, groups[key], self._metric(key))
            elif key.name is AlertName.SERVER_DATA_MISSING:
                texts = self._stale_texts(key, tick) or texts
            elif risk is not None and probability is not None:
                context = self._context(key, status, tick, figures.get((key.metric, key.severity)), groups)
                texts = breach_annotations(risk, context)
            else:
                probability = last.probability if last is not None else None
                since = tick.at - status.missing * STEP_SECONDS
                texts = held_annotations(texts, since, self._config.missing_hours)
            severity = self._sent_severity(key, last, thresholds)
            alerts[key] = Alert(status=status, sent_severity=severity, probability=probability, annotations=texts)
        return alerts

    def _context(
        self,
        key: AlertKey,
        status: AlertStatus,
        tick: AlertingInput,
        track_record: PredictionFigures | None,
        groups: Mapping[AlertKey, Sequence[str]],
    ) -> Context:
        metric, group = self._metric(key), _group_of(key)
        return Context(
            at=tick.at,
            fired_at=status.since if status.state is AlertState.FIRING else None,
            metric=metric,
            track_record=track_record,
            target_precision=self._config.target_precision,
            model=_forecaster(tick, SeriesKey(key.server, key.metric)),
            link=self._link(key),
            group=group_summary(group, groups[group], metric) if group in groups else "",
        )

    def _sent_severity(self, key: AlertKey, last: Alert | None, thresholds: DecisionThresholds) -> Severity:
        """Return the severity for the label: ``info`` below the target precision; while an alert fires, as it was."""
        if last is not None and last.is_firing:
            return last.sent_severity
        threshold = thresholds.get((key.metric, key.severity))
        if threshold is None or threshold.reached or self._config.keep_severity:
            return key.severity
        return Severity.INFO

    def _stale_texts(self, key: AlertKey, tick: AlertingInput) -> dict[str, str]:
        newest = next((server.newest for server in tick.servers if server.name == key.server), None)
        return {} if newest is None else stale_annotations(key.server, newest, self._link(key))

    def _metric(self, key: AlertKey) -> Metric:
        return self._metrics.get(key.metric, Metric(name=key.metric))

    def _link(self, key: AlertKey) -> str:
        query = {name: value for name, value in (("server", key.server), ("metric", key.metric)) if value}
        return forecast_link(str(self._config.external_url or ""), query) if key.server else ""

    def _changes(
        self,
        before: Mapping[AlertKey, Alert],
        after: Mapping[AlertKey, Alert],
        risks: Mapping[AlertKey, Risk],
        tick: AlertingInput,
    ) -> tuple[Notification, ...]:
        was, now = _sent(before), _sent(after)
        fired = [self._notification(key, after[key]) for labels, key in now.items() if labels not in was]
        resolved = [
            replace(
                self._notification(key, before[key]),
                annotations=self._resolved_texts(key, risks.get(key), tick),
                ends_at=self._wall_time(tick.at),
            )
            for labels, key in was.items()
            if labels not in now
        ]
        return (*fired, *resolved)

    def _resolved_texts(self, key: AlertKey, risk: Risk | None, tick: AlertingInput) -> dict[str, str]:
        metric, link = self._metric(key), self._link(key)
        if risk is not None and risk.probability is not None:
            return clear_annotations(risk, metric, link)
        if key.name is AlertName.GROUP_PREDICTED_BREACH:
            reason = f"too few servers are still predicted to breach the {key.severity} threshold of {metric.title}"
            return ended_annotations(f"Profile {key.profile}: {reason}.", link)
        if key.name is AlertName.SERVER_DATA_MISSING:
            is_known = any(server.name == key.server for server in tick.servers)
            reason = "data arrives again" if is_known else "no data for a day; the server is no longer monitored"
        elif self._is_configured(key):
            reason = f"no data of {metric.title} for {self._config.missing_hours} h; its alert ends"
        else:
            reason = f"{metric.title} has no {key.severity} threshold any more; its alert ends"
        return ended_annotations(f"{key.server}: {reason}.", link)

    def _notification(self, key: AlertKey, alert: Alert) -> Notification:
        return Notification(
            labels=_labels(key, alert.sent_severity),
            annotations=alert.annotations,
            starts_at=self._wall_time(alert.status.since),
            ends_at=0.0,
            generator_url=self._link(key),
        )


def group_observations(
    firing: Sequence[AlertKey],
    risks: Iterable[AlertKey],
    known: Mapping[AlertKey, Alert],
    config: AlertingConfig,
) -> dict[AlertKey, Observation]:
    """Return the observation of each group alert that is known or has a firing alert of a server.

    Args:
        firing: keys of the firing alerts.
        risks: keys of all monitored thresholds.
        known: all alerts.
        config: how many servers, and which share, make a group.
    """
    alerting = Counter(_group_of(key) for key in firing if key.name is AlertName.PREDICTED_BREACH)
    monitored = Counter(_group_of(key) for key in risks)
    groups = {*alerting, *(key for key in known if key.name is AlertName.GROUP_PREDICTED_BREACH)}
    observations = {}
    for group in sorted(groups):
        is_group = alerting[group] >= max(config.fleet_servers, config.fleet_share * monitored[group])
        observations[group] = Observation(float(is_group), False, _EVEN)
    return observations


def stale_observations(
    servers: Sequence[ServerState], healthy: bool, known: Mapping[AlertKey, Alert]
) -> dict[AlertKey, Observation]:
    """Return the observation of each stale server and of each that has an alert.

    If a source failed, a stale server counts as missing data: the reason may be the source. A server without a sample
    for a day is forgotten, and its alert resolves.
    """
    observations = {}
    for server in servers:
        stale = server.state is DataState.STALE
        key = AlertKey(AlertName.SERVER_DATA_MISSING, server.name, "", Severity.WARNING, server.profile)
        if stale or key in known:
            observations[key] = Observation(float(stale) if healthy or not stale else None, False, _EVEN)
    for key in known:
        if key.name is AlertName.SERVER_DATA_MISSING and key not in observations:
            observations[key] = Observation(0.0, False, _EVEN)
    return observations


def _monitored(
    forecast: Forecast, profiles: Mapping[str, str], metrics: Mapping[str, Metric]
) -> list[MonitoredThreshold]:
    return [
        each
        for key in forecast.keys
        for each in monitored_thresholds(key, profiles.get(key.server, GENERIC_PROFILE), metrics)
    ]


def _breach_key(monitored: MonitoredThreshold) -> AlertKey:
    server, metric = monitored.key
    return AlertKey(AlertName.PREDICTED_BREACH, server, metric, monitored.severity, monitored.profile)


def _group_of(key: AlertKey) -> AlertKey:
    return AlertKey(AlertName.GROUP_PREDICTED_BREACH, "", key.metric, key.severity, key.profile)


def _servers_of(group: AlertKey, firing: Iterable[AlertKey]) -> list[str]:
    return sorted(key.server for key in firing if key.name is AlertName.PREDICTED_BREACH and _group_of(key) == group)


def _is_firing(alerts: Mapping[AlertKey, Alert], key: AlertKey) -> bool:
    return key in alerts and alerts[key].is_firing


def _sent(alerts: Mapping[AlertKey, Alert]) -> dict[tuple[str, ...], AlertKey]:
    """Return the firing alerts by their labels; of two with the same labels (both ``info``) the critical one."""
    sent: dict[tuple[str, ...], AlertKey] = {}
    for key in sorted(alerts, key=lambda key: key.severity != Severity.CRITICAL):
        if alerts[key].is_firing:
            sent.setdefault(tuple(_labels(key, alerts[key].sent_severity).values()), key)
    return sent


def _labels(key: AlertKey, severity: Severity) -> dict[str, str]:
    labels = {
        "alertname": key.name.value,
        "server": key.server,
        "metric": key.metric,
        "severity": severity.value,
        "profile": key.profile,
    }
    return {name: value for name, value in labels.items() if value}


def _forecaster(tick: AlertingInput, key: SeriesKey) -> str:
    kind = tick.forecast.kinds[tick.forecast.keys.index(key)]
    if kind is ForecasterKind.MODEL:
        return f"{tick.model} (level {tick.level})" if tick.level else tick.model
    return "base network of the package" if kind is ForecasterKind.BASE else "baseline (climatology)"


def _log_changes(before: Mapping[AlertKey, Alert], after: Mapping[AlertKey, Alert], at: int) -> None:
    for key in sorted({*before, *after}):
        was, now = _is_firing(before, key), _is_firing(after, key)
        if was != now:
            _log.info("alert_fired" if now else "alert_resolved", at=as_text(at), **key._asdict())
