"""Things that fill up by the day and are cleared every so often: file systems, caches of long-lived processes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.randomness import Key, Purpose

DAY_SECONDS = 86_400
LONGEST_CYCLE_DAYS = 40


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

    def level(self, day: int) -> Float32:
        """Return percent above the cleared level at every step of ``day``, ``(steps,)``."""
        times = day * DAY_SECONDS + np.arange(STEPS_PER_DAY, dtype=np.int64) * STEP_SECONDS - self._phase_seconds
        cycles, ages = np.divmod(times, self.cycle_days * DAY_SECONDS)
        level = np.empty(STEPS_PER_DAY, dtype=np.float64)
        for cycle in np.unique(cycles):
            inside = cycles == cycle
            level[inside] = self._filled(int(cycle), ages[inside] / DAY_SECONDS)
        return level.astype(np.float32)

    @property
    def _phase_seconds(self) -> int:
        phase_days = self.key.words[self.lane % 2] % self.cycle_days
        return phase_days * DAY_SECONDS + self.clear_second

    def _filled(self, cycle: int, age_days: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        random = self.key.generator(Purpose.FILL, 2 * cycle + self.lane)
        hours = 24 * LONGEST_CYCLE_DAYS
        # A clearing never leaves quite the same behind.
        left_over = abs(random.standard_normal()) * 0.5 * self.growth_pct_day
        by_day = np.exp(0.45 * random.standard_normal(LONGEST_CYCLE_DAYS)).repeat(24)
        by_hour = np.exp(0.9 * random.standard_normal(hours) - 0.4)
        knots = np.concatenate([[0.0], np.cumsum(by_day * by_hour / 24)]) * self.growth_pct_day
        filled: npt.NDArray[np.float64] = left_over + np.interp(24 * age_days, np.arange(hours + 1), knots)
        return filled


def levels(cycles: Sequence[FillCycle], day: int) -> Float32:
    """Return the level of every cycle at every step of ``day``, ``(cycles, steps)``."""
    return np.stack([cycle.level(day) for cycle in cycles])
