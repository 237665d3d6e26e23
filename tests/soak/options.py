"""The length and speed of a soak, and the times of its kills and trainings."""

import random
from dataclasses import dataclass

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, parse_time

START = parse_time("2026-01-12T00:00:00Z")
SERVERS_SEED = 0
BACKFILL_HOURS = 240


@dataclass(frozen=True)
class Options:
    """The options of the command line: grid times, speed of the clock, kills, trainings, seed of the kills."""

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
        """The first ticks for the memory: after the first day, or the first seventh of a shorter run."""
        first = min(STEPS_PER_DAY, self.ticks // 7)
        return range(first, first + self._measured_ticks)

    @property
    def end(self) -> range:
        """The last ticks for the memory."""
        return range(self.ticks - self._measured_ticks, self.ticks)

    def warm(self, started: int) -> range:
        """Return the ticks for the memory some time after a start in the tick ``started``."""
        return range(started + self._measured_ticks, started + 2 * self._measured_ticks)

    @property
    def _measured_ticks(self) -> int:
        return max(10, self.ticks // 35)

    def kill_ticks(self, chance: random.Random) -> list[int]:
        """Return the ticks of the kills: none in the last quarter, so that a growth of memory is visible."""
        return sorted(chance.randrange(self.settled.stop, self.ticks * 3 // 4) for _ in range(self.kills))

    def training_ticks(self) -> list[int]:
        """Return the ticks from which on each training is requested."""
        return [self.settled.stop + self.ticks * number // (2 * self.trainings) for number in range(self.trainings)]
