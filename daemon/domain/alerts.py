"""The life of an alert: pure functions from one tick's state to the next's."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class AlertName(StrEnum):
    """The alerts that forewarn sends."""

    PREDICTED_BREACH = "PredictedBreach"
    FLEET_PREDICTED_BREACH = "FleetPredictedBreach"
    SERVER_DATA_MISSING = "ServerDataMissing"


class Identity(NamedTuple):
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
