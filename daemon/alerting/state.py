"""The life of an alert: pure functions from one tick's state to the next's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, Protocol

from daemon.core.series import STEP_SECONDS


class AlertName(StrEnum):
    """The alerts that forewarn sends."""

    PREDICTED_BREACH = "PredictedBreach"
    GROUP_PREDICTED_BREACH = "FleetPredictedBreach"
    SERVER_DATA_MISSING = "ServerDataMissing"


class AlertKey(NamedTuple):
    """What an alert is about, and nothing that changes while it is.

    A fleet's alert names no server, the alert of a silent server no metric.
    """

    name: AlertName
    server: str
    metric: str
    severity: str
    profile: str


class Phase(StrEnum):
    """Where an alert is in its life."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When an alert fires and when it resolves, in ticks.

    Attributes:
        raise_ticks: predicted ticks, of the last ``raise_window``, that make it fire.
        clear_ticks: quiet ticks, of the last ``clear_window``, that resolve it.
        clear_share: quiet is a probability below this share of the cut, without a breach.
        hold_ticks: between one firing or resolving and the next.
        missing_ticks: without data, after which a firing alert is given up.
    """

    raise_ticks: int = 2
    raise_window: int = 3
    clear_ticks: int = 5
    clear_window: int = 6
    clear_share: float = 0.6
    hold_ticks: int = 6
    missing_ticks: int = 288


class Observation(NamedTuple):
    """What a tick says of an alert.

    Attributes:
        probability: of the breach, 0 to 1; None while data is missing.
        breached: whether it has come true already.
        cut: probability from which on it is predicted.
    """

    probability: float | None
    breached: bool
    cut: float


@dataclass(frozen=True, kw_only=True)
class AlertState:
    """An alert as of a tick.

    Attributes:
        phase: where it is in its life.
        since: epoch seconds of the tick at which the phase began.
        changed: epoch seconds at which it last fired or resolved; 0 if it never did.
        votes: of the latest ticks with data, the newest last: whether they spoke for the next phase.
        missing: ticks in a row without data.
    """

    phase: Phase = Phase.INACTIVE
    since: int = 0
    changed: int = 0
    votes: tuple[bool, ...] = ()
    missing: int = 0


def advance(state: AlertState, seen: Observation, at: int, policy: Policy) -> AlertState:
    """Return the state after the tick ``at`` (epoch seconds) that saw ``seen``.

    Without data nothing changes: an alert is neither raised nor resolved. Only after ``missing_ticks`` such ticks in a
    row it is given up, as its server is gone. Ticks that were skipped count as time, but they have no vote.
    """
    if seen.probability is None:
        return _without_data(state, at, policy)
    if state.phase is Phase.FIRING:
        return _firing(state, seen.probability, seen, at, policy)
    return _waiting(state, seen.probability, seen, at, policy)


def forgettable(state: AlertState, at: int, policy: Policy) -> bool:
    """Return whether ``state`` says no more than a new one would, so that it need not be kept."""
    return state.phase is Phase.INACTIVE and not any(state.votes) and _hold_is_over(state, at, policy)


def _without_data(state: AlertState, at: int, policy: Policy) -> AlertState:
    missing = state.missing + 1
    if state.phase is Phase.INACTIVE or missing < policy.missing_ticks:
        return replace(state, missing=missing)
    return AlertState(since=at, changed=at if state.phase is Phase.FIRING else state.changed)


def _waiting(state: AlertState, probability: float, seen: Observation, at: int, policy: Policy) -> AlertState:
    predicted = probability >= seen.cut and not seen.breached
    votes = (*state.votes, predicted)[-policy.raise_window :]
    # what was foretold and comes true while it waits for more votes must not be lost
    due = sum(votes) >= policy.raise_ticks or (seen.breached and state.phase is Phase.PENDING)
    if due and _hold_is_over(state, at, policy):
        return AlertState(phase=Phase.FIRING, since=at, changed=at)
    phase = Phase.PENDING if any(votes) else Phase.INACTIVE
    since = state.since if phase is state.phase else at
    return AlertState(phase=phase, since=since, changed=state.changed, votes=votes)


def _firing(state: AlertState, probability: float, seen: Observation, at: int, policy: Policy) -> AlertState:
    quiet = probability < seen.cut * policy.clear_share and not seen.breached
    votes = (*state.votes, quiet)[-policy.clear_window :]
    # whatever the votes before it say, nothing is resolved at a tick that is not quiet itself
    if quiet and sum(votes) >= policy.clear_ticks and _hold_is_over(state, at, policy):
        return AlertState(since=at, changed=at)
    return AlertState(phase=Phase.FIRING, since=state.since, changed=state.changed, votes=votes)


def _hold_is_over(state: AlertState, at: int, policy: Policy) -> bool:
    return not state.changed or at - state.changed >= policy.hold_ticks * STEP_SECONDS


@dataclass(frozen=True)
class Alert:
    """An alert that is not inactive, with what was last known of it.

    Attributes:
        state: where it is in its life.
        annotations: what people read; kept from the last tick that had data.
    """

    state: AlertState
    annotations: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One alert as Alertmanager takes it; times are those of the wall clock, in epoch seconds.

    Attributes:
        labels: the alert's identity.
        annotations: everything that changes.
        starts_at: when it fired.
        ends_at: when it ended, or will have if nothing more is heard of it.
        generator_url: where to look; empty if there is no such place.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float
    generator_url: str = ""


@dataclass(frozen=True)
class Queued:
    """A notification that waits for its target; ``number`` rises in the order in which they were queued."""

    number: int
    target: str
    notification: Notification


class Notifier(Protocol):
    """Somebody who routes alerts."""

    @property
    def name(self) -> str:
        """What tells it from the others, in logs and metrics; holds no secret."""
        ...

    def send(self, notifications: Sequence[Notification]) -> None:
        """Hand over the alerts; when it returns they were taken.

        Raises:
            NotifierUnavailable: none was taken, or it is not known; trying again later may help.
            NotificationRejected: they were refused and will be again.
        """
        ...

    def close(self) -> None:
        """Release what the notifier holds."""
        ...
