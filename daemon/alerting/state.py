"""The state of an alert and how a tick changes it: pure functions with hysteresis.

An alert fires when enough of the last ticks predict a breach, and resolves when enough of them are clear. The numbers
are those of ``AlertingConfig``. Here are also the records that leave the room: ``Alert`` (stored and shown) and
``Notification`` (sent), and the ``Notifier`` port.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, Protocol

from daemon.breach.definition import Severity
from daemon.config.alerting import AlertingConfig
from daemon.core.series import STEP_SECONDS, STEPS_PER_HOUR


class AlertName(StrEnum):
    """The alerts that forewarn sends."""

    PREDICTED_BREACH = "PredictedBreach"
    GROUP_PREDICTED_BREACH = "FleetPredictedBreach"
    SERVER_DATA_MISSING = "ServerDataMissing"


class AlertKey(NamedTuple):
    """The identity of an alert; nothing in it changes while the alert fires.

    The key of a group alert has no server, that of a stale server no metric. ``severity`` is the configured one.
    """

    name: AlertName
    server: str
    metric: str
    severity: Severity
    profile: str


class AlertState(StrEnum):
    """The state of an alert."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


class Observation(NamedTuple):
    """What a tick observes about an alert.

    Attributes:
        probability: of the breach, 0 to 1; None while data is missing.
        breached: whether the breach has started.
        decision_threshold: probability at which the breach counts as predicted.
    """

    probability: float | None
    breached: bool
    decision_threshold: float


@dataclass(frozen=True, kw_only=True)
class AlertStatus:
    """The state of an alert as of a tick, with what the next tick needs to change it.

    Attributes:
        state: inactive, pending or firing.
        since: epoch seconds of the tick at which this state started.
        changed: epoch seconds at which the alert last fired or resolved; 0 if it never did.
        recent_decisions: of the last ticks with data, newest last: whether each was for the next state.
        missing: ticks in a row without data.
    """

    state: AlertState = AlertState.INACTIVE
    since: int = 0
    changed: int = 0
    recent_decisions: tuple[bool, ...] = ()
    missing: int = 0


def advance(status: AlertStatus, observation: Observation, at: int, config: AlertingConfig) -> AlertStatus:
    """Return the status after the tick ``at`` (epoch seconds).

    Without data nothing changes: no alert fires and none resolves. After ``missing_hours`` of such ticks in a row the
    alert becomes inactive, because its server is gone. A skipped tick counts as time, but not as a decision.
    """
    if observation.probability is None:
        return _without_data(status, at, config)
    if status.state is AlertState.FIRING:
        return _after_firing(status, observation.probability, observation, at, config)
    return _before_firing(status, observation.probability, observation, at, config)


def is_forgettable(status: AlertStatus, at: int, config: AlertingConfig) -> bool:
    """Return whether ``status`` is equivalent to a new one, so that it need not be stored."""
    idle = status.state is AlertState.INACTIVE and not any(status.recent_decisions)
    return idle and _hold_is_over(status, at, config)


def _without_data(status: AlertStatus, at: int, config: AlertingConfig) -> AlertStatus:
    missing = status.missing + 1
    if status.state is AlertState.INACTIVE or missing < config.missing_hours * STEPS_PER_HOUR:
        return replace(status, missing=missing)
    return AlertStatus(since=at, changed=at if status.state is AlertState.FIRING else status.changed)


def _before_firing(
    status: AlertStatus, probability: float, observation: Observation, at: int, config: AlertingConfig
) -> AlertStatus:
    predicted = probability >= observation.decision_threshold and not observation.breached
    decisions = (*status.recent_decisions, predicted)[-config.raise_window :]
    # a breach that starts while its alert is pending was predicted, and must not be lost
    due = sum(decisions) >= config.raise_ticks or (observation.breached and status.state is AlertState.PENDING)
    if due and _hold_is_over(status, at, config):
        return AlertStatus(state=AlertState.FIRING, since=at, changed=at)
    state = AlertState.PENDING if any(decisions) else AlertState.INACTIVE
    since = status.since if state is status.state else at
    return AlertStatus(state=state, since=since, changed=status.changed, recent_decisions=decisions)


def _after_firing(
    status: AlertStatus, probability: float, observation: Observation, at: int, config: AlertingConfig
) -> AlertStatus:
    clear = probability < observation.decision_threshold * config.clear_share and not observation.breached
    decisions = (*status.recent_decisions, clear)[-config.clear_window :]
    # an alert resolves only at a tick that is itself clear, whatever the ticks before it were
    if clear and sum(decisions) >= config.clear_ticks and _hold_is_over(status, at, config):
        return AlertStatus(since=at, changed=at)
    return AlertStatus(state=AlertState.FIRING, since=status.since, changed=status.changed, recent_decisions=decisions)


def _hold_is_over(status: AlertStatus, at: int, config: AlertingConfig) -> bool:
    return not status.changed or at - status.changed >= config.hold_ticks * STEP_SECONDS


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert: its state, and the facts of its last tick with data.

    Attributes:
        status: its state.
        sent_severity: the severity in its label; it does not change while the alert fires.
        probability: of the breach at the last tick with data; None if there is none, as of a stale server.
        annotations: the texts as of the last tick with data, for people; nothing reads them back.
    """

    status: AlertStatus
    sent_severity: Severity
    probability: float | None = None
    annotations: Mapping[str, str]

    @property
    def is_firing(self) -> bool:
        """Whether it fires."""
        return self.status.state is AlertState.FIRING


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One alert as Alertmanager takes it; times are of the wall clock, in epoch seconds.

    Attributes:
        labels: the identity of the alert.
        annotations: everything that changes.
        starts_at: when it fired.
        ends_at: when it resolved; 0 while it fires, until the delivery sets how long the message is valid.
        generator_url: link to the forecast; empty if there is none.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float
    generator_url: str = ""

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """The labels as a key, sorted by name."""
        return tuple(sorted(self.labels.items()))


@dataclass(frozen=True)
class QueuedNotification:
    """A change that ``target`` has not accepted yet; ``number`` rises in the order of queueing."""

    number: int
    target: str
    notification: Notification


class Notifier(Protocol):
    """A receiver of alerts."""

    @property
    def name(self) -> str:
        """Unique name in logs and metrics; holds no secret."""
        ...

    def send(self, notifications: Sequence[Notification]) -> None:
        """Hand over the alerts; they are accepted when it returns.

        Raises:
            NotifierUnavailable: none was accepted, or that is not known; another attempt may help.
            NotificationRejected: at least one is invalid; another attempt does not help.
        """
        ...

    def close(self) -> None:
        """Release the notifier's resources."""
        ...
