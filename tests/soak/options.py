"""How long a soak is, how fast, and when what happens in it."""

import random
from dataclasses import dataclass

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, parse_time

START = parse_time("2026-01-12T00:00:00Z")
SERVERS_SEED = 0
BACKFILL_HOURS = 240


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line: grid times, speed of the clock, kills, trainings, seed of the kills."""

    ticks: int
    speed: float
    kills: int
    trainings: int
    seed: int

    @property
    def tick_seconds(self) -> float:
        """Wall time from one grid time to the next."""
        return STEP_SECONDS / self.speed

    @property
    def settled(self) -> range:
        """The ticks after the first day, or the first seventh of a shorter run, in which memory is looked at."""
        first = min(STEPS_PER_DAY, self.ticks // 7)
        return range(first, first + self._looked_at)

    @property
    def end(self) -> range:
        """The last ticks, in which memory is looked at again."""
        return range(self.ticks - self._looked_at, self.ticks)

    def warm(self, started: int) -> range:
        """Return the ticks some while after a start in the tick ``started``, in which memory is looked at as well."""
        return range(started + self._looked_at, started + 2 * self._looked_at)

    @property
    def _looked_at(self) -> int:
        return max(10, self.ticks // 35)

    def kill_ticks(self, chance: random.Random) -> list[int]:
        """Return when to kill: in the last quarter not at all, so that what grows has the time to show."""
        return sorted(chance.randrange(self.settled.stop, self.ticks * 3 // 4) for _ in range(self.kills))

    def training_ticks(self) -> list[int]:
        """Return from when on each training is asked for."""
        return [self.settled.stop + self.ticks * number // (2 * self.trainings) for number in range(self.trainings)]
