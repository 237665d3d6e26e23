"""Reboots: a server is gone for some minutes and comes back with nothing in its caches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.randomness import Key, Purpose

DAY_SECONDS = 86_400
DOWN_STEPS = (1, 3)
WARM_STEPS = 60.0
# By then a cache is as warm as it was, to one part in a million.
LOOK_BACK_DAYS = 3
CACHED_DAYS = LOOK_BACK_DAYS + 4


@dataclass(frozen=True)
class Uptime:
    """One day of a fleet, ``(servers, steps)`` each.

    Attributes:
        down: whether the server was off in the step.
        warmth: how far its caches have filled since it came back, 0 to 1.
    """

    down: npt.NDArray[np.bool_]
    warmth: Float32


class Reboots:
    """The reboots of a fleet, at most one a server and day, at any hour."""

    def __init__(self, keys: Sequence[Key], per_server_week: float) -> None:
        self._keys = tuple(keys)
        self._chance = per_server_week / 7
        self._day = lru_cache(maxsize=CACHED_DAYS)(self._draw)

    def uptime(self, day: int) -> Uptime:
        """Return which servers are down in that day, and how warm the others are."""
        steps = np.arange(STEPS_PER_DAY, dtype=np.float32)
        down = np.zeros((len(self._keys), STEPS_PER_DAY), dtype=bool)
        warmth = np.ones(down.shape, dtype=np.float32)
        for source in range(day - LOOK_BACK_DAYS, day + 1):
            offset = (source - day) * STEPS_PER_DAY
            for row, (begin, length) in self._day(source).items():
                age = steps - (begin + offset + length)
                down[row] |= (age < 0) & (age >= -length)
                filled = np.where(age < -length, 1, 1 - np.exp(-np.maximum(age, 0) / WARM_STEPS))
                warmth[row] = np.minimum(warmth[row], filled)
        return Uptime(down, warmth)

    def first_between(self, row: int, start: int, end: int) -> int | None:
        """Return when the server first goes down in ``start .. end`` (epoch seconds, both included), if it does."""
        for day in range(start // DAY_SECONDS, end // DAY_SECONDS + 1):
            drawn = self._of_server(row, day)
            if drawn is not None and start <= day * DAY_SECONDS + drawn[0] * STEP_SECONDS <= end:
                return day * DAY_SECONDS + drawn[0] * STEP_SECONDS
        return None

    def _draw(self, day: int) -> dict[int, tuple[int, int]]:
        drawn = {row: self._of_server(row, day) for row in range(len(self._keys))}
        return {row: reboot for row, reboot in drawn.items() if reboot is not None}

    def _of_server(self, row: int, day: int) -> tuple[int, int] | None:
        """Return the step of the day at which the server goes down and for how many, if it does."""
        if not self._chance:
            return None
        random = self._keys[row].generator(Purpose.REBOOT, day)
        shortest, longest = DOWN_STEPS
        if random.random() >= self._chance:
            return None
        return int(random.integers(STEPS_PER_DAY)), int(random.integers(shortest, longest + 1))
