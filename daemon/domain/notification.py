"""What is told to those who route alerts."""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.domain.alerts import AlertState


@dataclass(frozen=True)
class Alert:
    """An alert that is not inactive, with what was last known of it.

    Attributes:
        state: where it is in its life.
        annotations: what people read; kept from the last tick that had data.
    """

    state: AlertState
    annotations: Mapping[str, str]


@dataclass(frozen=True)
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
