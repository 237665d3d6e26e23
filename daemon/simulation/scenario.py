"""What somebody asks a running simulator to let happen: the record, and its life in time."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from daemon.domain.grid import STEP_SECONDS
from daemon.simulation.outbreak import WEEK_SECONDS

LONGEST_MINUTES = WEEK_SECONDS // 60
RECOVERY_SECONDS = 4 * STEP_SECONDS


class ScenarioKind(StrEnum):
    """What happens to the chosen servers."""

    HEALTHY = "healthy"
    DEGRADING = "degrading"
    CRITICAL = "critical"
    CASCADE = "cascade"
    MEMORY_LEAK = "memory_leak"
    DISK_FILL = "disk_fill"
    TRAFFIC_SURGE = "traffic_surge"


class ScenarioState(StrEnum):
    """Where it stands."""

    WAITING = "waiting"
    ACTIVE = "active"
    RECOVERING = "recovering"
    ENDED = "ended"


USUAL_RAMP_MINUTES: Mapping[ScenarioKind, int] = {
    ScenarioKind.HEALTHY: 20,
    ScenarioKind.DEGRADING: 480,
    ScenarioKind.CRITICAL: 60,
    ScenarioKind.CASCADE: 120,
    ScenarioKind.MEMORY_LEAK: 480,
    ScenarioKind.DISK_FILL: 480,
    ScenarioKind.TRAFFIC_SURGE: 15,
}


class Ending(NamedTuple):
    """When something ends: the last step at which it is whole, and how long it then takes to be gone."""

    until: int
    recovery_seconds: int

    @property
    def last_step(self) -> int:
        """The last step at which something of it may be left."""
        return self.until + max(0, self.recovery_seconds - STEP_SECONDS)


@dataclass(frozen=True)
class Scenario:
    """Something that was asked for; times are epoch seconds of the service's clock.

    Attributes:
        id: names it.
        kind: what happens.
        servers: ids of those that it happens to.
        posted: when it was asked for.
        start: the first step that it changes, on the grid; later than everything that the simulator has told by then.
        ramp_seconds: until it has its full size.
        ending: when the servers recover; before ``start`` if it was cancelled at once.
        cancelled: whether somebody ended it.
        released: servers that another scenario has made healthy meanwhile.
    """

    id: str
    kind: ScenarioKind
    servers: tuple[str, ...]
    posted: float
    start: int
    ramp_seconds: int
    ending: Ending
    cancelled: bool = False
    released: tuple[tuple[str, Ending], ...] = ()

    @property
    def last_step(self) -> int:
        """The last step that may be otherwise than it would have been without."""
        if self.kind is ScenarioKind.HEALTHY:
            # an incident that did not happen for it would have lasted less than a week
            return self.ending.until + WEEK_SECONDS
        return max([self.ending.last_step, *(ending.last_step for _, ending in self.released)])

    @property
    def happens(self) -> bool:
        """Whether it changes anything; not if it was cancelled before it began."""
        return self.start <= self.ending.until

    def ending_on(self, server: str) -> Ending:
        """Return when ``server`` recovers."""
        return min(self.ending, dict(self.released).get(server, self.ending))

    def touches(self, start: int, end: int) -> bool:
        """Return whether it changes a step in ``start .. end`` (epoch seconds, both included)."""
        return self.happens and self.start <= end and self.last_step >= start

    def state(self, now: float) -> ScenarioState:
        """Return where it stands at ``now``."""
        if not self.happens:
            return ScenarioState.ENDED
        if now < self.start:
            return ScenarioState.WAITING
        if now < self.ending.until + STEP_SECONDS and not self.cancelled:
            return ScenarioState.ACTIVE
        return ScenarioState.RECOVERING if now < self.ending.last_step + STEP_SECONDS else ScenarioState.ENDED
