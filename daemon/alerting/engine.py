"""Early warning at a tick: risks → states → ledger → what is to be told."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from daemon.alerting.outcomes import (
    AlertBook,
    Judge,
    LedgerFigures,
    Prediction,
    entered,
    figures_by_kind,
    ledger_figures,
)
from daemon.alerting.state import (
    Alert,
    AlertName,
    AlertState,
    Identity,
    Notification,
    Observation,
    Phase,
    Policy,
    advance,
    forgettable,
)
from daemon.alerting.text import Context, annotations, link, sent_severity
from daemon.breach.definition import Cut, Risk, RiskModel, Severity, Watch, watches
from daemon.core.forecast import Forecast, ForecastSource
from daemon.core.metric import Metric
from daemon.core.series import GENERIC_PROFILE, Panel, SeriesKey, as_text
from daemon.core.server import ServerState

_MOST_NAMED = 20


@dataclass(frozen=True)
class FleetRule:
    """When singles become a fleet's alert.

    Attributes:
        servers: at least so many of a profile.
        share: and at least this share of them.
    """

    servers: int = 3
    share: float = 0.3


def fleet_observations(
    firing: Sequence[Identity], risks: Iterable[Risk], known: Mapping[Identity, Alert], rule: FleetRule
) -> dict[Identity, Observation]:
    """Return what a tick says of the fleets' alerts: of those that many fire in, and of those that are known."""
    alerted = Counter(_fleet_of(key) for key in firing if key.name is AlertName.PREDICTED_BREACH)
    watched = Counter(
        Identity(
            AlertName.FLEET_PREDICTED_BREACH, "", risk.watch.key.metric, risk.watch.severity.value, risk.watch.profile
        )
        for risk in risks
    )
    fleets = {*alerted, *(key for key in known if key.name is AlertName.FLEET_PREDICTED_BREACH)}
    found = {}
    for fleet in sorted(fleets):
        many = alerted[fleet] >= max(rule.servers, rule.share * watched[fleet])
        found[fleet] = Observation(float(many), False, 0.5)
    return found


def fleet_text(fleet: Identity, active: Mapping[Identity, Alert]) -> dict[str, str]:
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


def _fleet_of(single: Identity) -> Identity:
    return Identity(AlertName.FLEET_PREDICTED_BREACH, "", single.metric, single.severity, single.profile)


def silent_observations(
    servers: Sequence[ServerState], healthy: bool, known: Mapping[Identity, Alert]
) -> dict[Identity, Observation]:
    """Return what a tick says of each server's silence; nothing where a source failed, as then all are silent.

    A server that is no longer known, for a day without a sample, is forgotten and its alert with it.
    """
    found = {}
    for server in servers:
        stale = server.state == "stale"
        identity = _stale_identity(server)
        if stale or identity in known:
            found[identity] = Observation(float(stale) if healthy or not stale else None, False, 0.5)
    for identity in known:
        if identity.name is AlertName.SERVER_DATA_MISSING and identity not in found:
            found[identity] = Observation(0.0, False, 0.5)
    return found


def silent_text(identity: Identity, alert: Alert, servers: Sequence[ServerState], link: str) -> dict[str, str]:
    """Return the annotations of the alert on a silent server."""
    newest = next((server.newest for server in servers if server.name == identity.server), None)
    if newest is None:
        return dict(alert.annotations)
    text = {
        "summary": f"{identity.server}: no data since {as_text(newest)}; its predictions are held, not resolved.",
        "description": "Look at whether the server is up, and at what collects its metrics.",
        "link": link,
    }
    return {name: value for name, value in text.items() if value}


def _stale_identity(server: ServerState) -> Identity:
    return Identity(AlertName.SERVER_DATA_MISSING, server.name, "", Severity.WARNING.value, server.profile)


_log = structlog.get_logger()

SENT_SEVERITY = "severity"


@dataclass(frozen=True)
class AlertRules:
    """What the configuration says of alerts.

    Attributes:
        policy: when one fires and resolves.
        fleet: when many of them are one.
        keep_severity: send the configured severity where the cut does not reach the target precision.
        ledger_seconds: how long judged predictions are kept.
        external_url: where people reach the service; empty if nobody said.
    """

    policy: Policy = field(default_factory=Policy)
    fleet: FleetRule = field(default_factory=FleetRule)
    keep_severity: bool = False
    ledger_seconds: int = 90 * 86_400
    external_url: str = ""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Warned:
    """What early warning made of a tick.

    Attributes:
        risks: of every threshold of every series.
        cuts: from which probability on each metric and severity is alerted on.
        alerts: those that are pending or firing.
        predictions: the ledger, newest last.
        figures: of the ledger.
    """

    risks: tuple[Risk, ...] = ()
    cuts: Mapping[tuple[str, Severity], Cut] = field(default_factory=dict)
    alerts: Mapping[Identity, Alert] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    figures: LedgerFigures = field(default_factory=lambda: ledger_figures(()))


class Alerting:
    """Keeps the alerts and the ledger, in memory and in the book, from tick to tick and over restarts."""

    def __init__(
        self,
        book: AlertBook,
        metrics: Mapping[str, Metric],
        rules: AlertRules,
        targets: Sequence[str],
        wall_time: Callable[[int], float],
    ) -> None:
        """Start with what the book knows at the first tick.

        Args:
            book: where everything is kept.
            metrics: thresholds, units and hints.
            rules: of the configuration.
            targets: names of those who are told.
            wall_time: from epoch seconds of the service's clock to those of the wall's.
        """
        self._book, self._metrics, self._rules = book, metrics, rules
        self._targets, self._wall_time = targets, wall_time
        self._judge = Judge()
        self._alerts: dict[Identity, Alert] | None = None
        self._predictions: tuple[Prediction, ...] = ()

    def run(self, tick: Tick, model: RiskModel) -> Warned:
        """Advance every alert by one tick and write what changed, in one transaction."""
        if self._alerts is None:
            self._alerts = self._book.alerts()
            self._predictions = self._book.predictions(tick.at - self._rules.ledger_seconds)
        profiles = {server.name: server.profile for server in tick.servers}
        watched = _watched(tick.forecast, profiles, self._metrics)
        risks = model.risks(tick.forecast, tick.panel, watched)
        cuts = {(watch.key.metric, watch.severity): model.cut(watch.key.metric, watch.severity) for watch in watched}
        before = self._alerts
        alerts = self._advanced(tick, risks, cuts)
        fired = [risk for risk in risks if _fires(before, alerts, _identity(risk.watch))]
        new = entered(fired, alerts, self._predictions, tick.at, tick.model)
        predictions = self._judge.judged(tick.at, tick.panel, watched, self._predictions, new)
        changed = {key: alerts.get(key) for key in {*before, *alerts} if alerts.get(key) != before.get(key)}
        told = self._notifications(before, alerts, tick.at)
        known = set(self._predictions)
        new_lines = [line for line in predictions if line not in known]
        if changed or new_lines:
            self._book.write(changed, new_lines, dict.fromkeys(self._targets, told))
        self._alerts = alerts
        self._predictions = self._pruned(predictions, tick.at)
        _log_changes(before, alerts, tick.at)
        shown = {key: alert for key, alert in alerts.items() if alert.state.phase is not Phase.INACTIVE}
        return Warned(risks, cuts, shown, predictions, ledger_figures(predictions))

    def _pruned(self, predictions: tuple[Prediction, ...], at: int) -> tuple[Prediction, ...]:
        oldest = at - self._rules.ledger_seconds
        kept = tuple(line for line in predictions if line.outcome is None or line.made >= oldest)
        if len(kept) < len(predictions):
            self._book.prune(oldest)
        return kept

    def firing(self, at: int) -> tuple[Notification, ...]:
        """Return every firing alert, to be told again."""
        return tuple(self._sent(self._alerts or {}, at).values())

    def _advanced(
        self, tick: Tick, risks: Sequence[Risk], cuts: Mapping[tuple[str, Severity], Cut]
    ) -> dict[Identity, Alert]:
        known = self._alerts or {}
        advanced: dict[Identity, Alert] = {}
        record = figures_by_kind(self._predictions)
        for risk in risks:
            cut = cuts[risk.watch.key.metric, risk.watch.severity]
            seen = Observation(risk.probability, risk.breached, cut.probability)
            self._step(advanced, _identity(risk.watch), seen, tick.at)
        for identity, seen in silent_observations(tick.servers, tick.healthy, known).items():
            self._step(advanced, identity, seen, tick.at)
        firing = [key for key, alert in advanced.items() if alert.state.phase is Phase.FIRING]
        for identity, seen in fleet_observations(firing, risks, known, self._rules.fleet).items():
            self._step(advanced, identity, seen, tick.at)
        for identity in known.keys() - advanced.keys():
            # without data an alert is held; one whose threshold is no longer configured has nothing to wait for
            unknown = None if self._configured(identity) else 0.0
            self._step(advanced, identity, Observation(unknown, False, 1.0), tick.at)
        kept = {
            key: alert for key, alert in advanced.items() if not forgettable(alert.state, tick.at, self._rules.policy)
        }
        return self._told(kept, tick, {_identity(risk.watch): risk for risk in risks}, cuts, record)

    def _configured(self, identity: Identity) -> bool:
        if identity.name is not AlertName.PREDICTED_BREACH:
            return True
        key = SeriesKey(identity.server, identity.metric)
        return any(watch.severity == identity.severity for watch in watches(key, identity.profile, self._metrics))

    def _step(self, into: dict[Identity, Alert], identity: Identity, seen: Observation, at: int) -> None:
        old = (self._alerts or {}).get(identity, Alert(AlertState(), {}))
        into[identity] = replace(old, state=advance(old.state, seen, at, self._rules.policy))

    def _told(
        self,
        alerts: dict[Identity, Alert],
        tick: Tick,
        risks: Mapping[Identity, Risk],
        cuts: Mapping[tuple[str, Severity], Cut],
        record: Mapping[tuple[str, Severity], LedgerFigures],
    ) -> dict[Identity, Alert]:
        active = {key: alert for key, alert in alerts.items() if alert.state.phase is not Phase.INACTIVE}
        fleets = {key: fleet_text(key, active) for key in active if key.name is AlertName.FLEET_PREDICTED_BREACH}
        told = dict(alerts)
        for identity, alert in active.items():
            risk = risks.get(identity)
            if identity in fleets:
                kind = (identity.metric, Severity(identity.severity))
                sent = self._sent_severity(identity, alert, cuts[kind]) if kind in cuts else {}
                text = {**alert.annotations, **fleets[identity], **sent}
            elif identity.name is AlertName.SERVER_DATA_MISSING:
                text = silent_text(identity, alert, tick.servers, self._link({"server": identity.server}))
            elif risk is None or risk.probability is None:
                text = {**alert.annotations, "data": f"none since before {as_text(tick.at)}; the alert is held"}
            else:
                kind = (identity.metric, Severity(identity.severity))
                context = Context(
                    tick.at,
                    self._metrics[identity.metric],
                    cuts[kind],
                    record.get(kind),
                    _model_text(tick, risk.watch),
                    self._link({"server": identity.server, "metric": identity.metric}),
                    next((text["summary"] for key, text in fleets.items() if _belongs(identity, key)), ""),
                )
                text = annotations(risk, context) | self._sent_severity(identity, alert, cuts[kind])
            told[identity] = replace(alert, annotations=text)
        return told

    def _sent_severity(self, identity: Identity, alert: Alert, cut: Cut) -> dict[str, str]:
        """Keep, while an alert fires, the severity that it was first sent with: a label must not change."""
        first = sent_severity(Severity(identity.severity), cut, self._rules.keep_severity).value
        if alert.state.phase is Phase.FIRING:
            first = alert.annotations.get(SENT_SEVERITY, first)
        return {SENT_SEVERITY: first}

    def _link(self, query: Mapping[str, str]) -> str:
        return link(self._rules.external_url, query)

    def _notifications(
        self, before: Mapping[Identity, Alert], after: Mapping[Identity, Alert], at: int
    ) -> tuple[Notification, ...]:
        was, is_now = self._sent(before, at), self._sent(after, at)
        begun = [each for labels, each in is_now.items() if labels not in was]
        ended = [replace(each, ends_at=self._wall_time(at)) for labels, each in was.items() if labels not in is_now]
        return (*begun, *ended)

    def _sent(self, alerts: Mapping[Identity, Alert], at: int) -> dict[tuple[str, ...], Notification]:
        """Return the firing alerts by their labels; of two with the same ones (both ``info``) the graver is told."""
        sent: dict[tuple[str, ...], Notification] = {}
        order = sorted(alerts, key=lambda key: key.severity != Severity.CRITICAL)
        for identity in order:
            alert = alerts[identity]
            if alert.state.phase is not Phase.FIRING:
                continue
            labels = _labels(identity, alert.annotations.get(SENT_SEVERITY, identity.severity))
            told = {name: text for name, text in alert.annotations.items() if name != SENT_SEVERITY}
            starts_at = self._wall_time(alert.state.since)
            notification = Notification(labels, told, starts_at, 0.0, alert.annotations.get("link", ""))
            sent.setdefault(tuple(labels.values()), notification)
        return sent


def _watched(forecast: Forecast, profiles: Mapping[str, str], metrics: Mapping[str, Metric]) -> list[Watch]:
    return [each for key in forecast.keys for each in watches(key, profiles.get(key.server, GENERIC_PROFILE), metrics)]


def _identity(watch: Watch) -> Identity:
    return Identity(AlertName.PREDICTED_BREACH, watch.key.server, watch.key.metric, watch.severity.value, watch.profile)


def _fires(before: Mapping[Identity, Alert], after: Mapping[Identity, Alert], identity: Identity) -> bool:
    def firing(alerts: Mapping[Identity, Alert]) -> bool:
        return identity in alerts and alerts[identity].state.phase is Phase.FIRING

    return firing(after) and not firing(before)


def _belongs(single: Identity, fleet: Identity) -> bool:
    return (single.metric, single.severity, single.profile) == (fleet.metric, fleet.severity, fleet.profile)


def _labels(identity: Identity, severity: str) -> dict[str, str]:
    named = {
        "alertname": identity.name.value,
        "server": identity.server,
        "metric": identity.metric,
        "severity": severity,
        "profile": identity.profile,
    }
    return {name: value for name, value in named.items() if value}


def _model_text(tick: Tick, watch: Watch) -> str:
    source = next(
        source for key, source in zip(tick.forecast.keys, tick.forecast.sources, strict=True) if key == watch.key
    )
    if source is ForecastSource.MODEL:
        return f"{tick.model}, trained at level {tick.level}" if tick.level else tick.model
    return "the base network of the package" if source is ForecastSource.BASE else "the baseline, climatology"


def _log_changes(before: Mapping[Identity, Alert], after: Mapping[Identity, Alert], at: int) -> None:
    for identity in sorted({*before, *after}):
        was, now = (identity in alerts and alerts[identity].state.phase is Phase.FIRING for alerts in (before, after))
        if was != now:
            _log.info("alert_fired" if now else "alert_resolved", at=as_text(at), **identity._asdict())
