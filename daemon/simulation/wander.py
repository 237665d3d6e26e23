"""The level of traffic wanders from day to day: yesterday says more about today than last week does."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from daemon.domain.grid import STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.randomness import Key, Purpose

MEMORY_DAYS = 6.0
LOOK_BACK_DAYS = 60
AGES = np.arange(LOOK_BACK_DAYS)
FADED = (AGES + 1) * np.exp(-AGES / MEMORY_DAYS)
WEIGHTS: Float32 = (FADED / np.linalg.norm(FADED)).astype(np.float32)


class Wander:
    """A second-order autoregression of daily numbers for each subject, with straight lines between the midnights.

    Both roots are exp(-1 / MEMORY_DAYS), so that its direction lasts too: a level drifts for days rather than jumps.
    What is older than LOOK_BACK_DAYS has faded to less than a hundredth, so a day needs no more to be made alone.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self._drawn = lru_cache(maxsize=LOOK_BACK_DAYS + 2)(self._draw)

    def level(self, day: int) -> Float32:
        """Return the level at every step of ``day``, ``(subjects, steps)``, of unit variance at midnight."""
        share = np.linspace(0, 1, STEPS_PER_DAY, endpoint=False, dtype=np.float32)
        level: Float32 = self._midnight(day) * (1 - share) + self._midnight(day + 1) * share
        return level

    def _midnight(self, day: int) -> Float32:
        before = np.stack([self._drawn(day - age) for age in range(LOOK_BACK_DAYS)])
        level: Float32 = (WEIGHTS @ before)[:, None]
        return level

    def _draw(self, day: int) -> Float32:
        drawn = [key.generator(Purpose.WANDER, day).standard_normal(dtype=np.float32) for key in self._keys]
        return np.array(drawn, dtype=np.float32)
