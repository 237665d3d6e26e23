"""Things that fill up by the day and are cleared every so often: file systems, caches of long-lived processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.randomness import Key, Purpose

DAY_SECONDS = 86_400
LONGEST_CYCLE_DAYS = 40
HOURS = np.arange(24 * LONGEST_CYCLE_DAYS + 1)

Path = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FillCycle:
    """What fills on one server, in percent.

    Attributes:
        key: whose random numbers.
        lane: sets the cycles of one server apart, disk from memory.
        growth_pct_day: the median growth of a day; days differ log-normally.
        cycle_days: whole days between clearings.
        clear_second: the second of the day at which it is cleared.
    """

    key: Key
    lane: int
    growth_pct_day: float
    cycle_days: int
    clear_second: int

    @property
    def phase_seconds(self) -> int:
        """When a cycle begins: seconds after the days that whole cycles since 1970 divide time into."""
        phase_days = self.key.words[self.lane % 2] % self.cycle_days
        return phase_days * DAY_SECONDS + self.clear_second

    def knots(self, cycle: int) -> Path:
        """Return percent above the cleared level at every hour of that cycle, ``(24 * LONGEST_CYCLE_DAYS + 1,)``."""
        random = self.key.generator(Purpose.FILL, 2 * cycle + self.lane)
        # A clearing never leaves quite the same behind.
        left_over = abs(random.standard_normal()) * 0.5 * self.growth_pct_day
        by_day = np.exp(0.45 * random.standard_normal(LONGEST_CYCLE_DAYS)).repeat(24)
        by_hour = np.exp(0.9 * random.standard_normal(24 * LONGEST_CYCLE_DAYS) - 0.4)
        knots: Path = np.concatenate([[0.0], np.cumsum(by_day * by_hour / 24)]) * self.growth_pct_day
        return left_over + knots


class Fills:
    """What fills on every server of a fleet."""

    def __init__(self, cycles: Sequence[FillCycle]) -> None:
        self._cycles = tuple(cycles)
        # One cycle of each is under way, and for a day the next; they last for many days.
        self._knots = lru_cache(maxsize=2 * len(self._cycles))(self._draw)

    def levels(self, day: int) -> Float32:
        """Return percent above the cleared level at every step of ``day``, ``(servers, steps)``."""
        return np.stack([self._level(row, cycle, day) for row, cycle in enumerate(self._cycles)])

    def _level(self, row: int, filling: FillCycle, day: int) -> Float32:
        times = day * DAY_SECONDS + np.arange(STEPS_PER_DAY, dtype=np.int64) * STEP_SECONDS - filling.phase_seconds
        cycles, ages = np.divmod(times, filling.cycle_days * DAY_SECONDS)
        level = np.empty(STEPS_PER_DAY, dtype=np.float64)
        for cycle in range(int(cycles[0]), int(cycles[-1]) + 1):
            inside = cycles == cycle
            level[inside] = np.interp(24 * (ages[inside] / DAY_SECONDS), HOURS, self._knots(row, cycle))
        return level.astype(np.float32)

    def _draw(self, row: int, cycle: int) -> Path:
        return self._cycles[row].knots(cycle)
