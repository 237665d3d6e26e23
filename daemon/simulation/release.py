"""Releases: now and then, in working hours, new software makes a server dearer or cheaper, until the next one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from daemon.domain.grid import STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.randomness import Key, Purpose

LOOK_BACK_WEEKS = 8
RELEASE_CHANCE = 0.35
CPU_SPREAD = 0.08
MEM_SPREAD_PCT = 1.5
CACHED_WEEKS = LOOK_BACK_WEEKS + 3


@dataclass(frozen=True)
class ReleaseLevels:
    """What the running release does: a factor on cpu for traffic, and percent of memory; ``(servers, steps)``."""

    cpu_ratio: Float32
    mem_pct: Float32


class Releases:
    """The releases of a fleet."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self._week = lru_cache(maxsize=CACHED_WEEKS)(self._draw)

    def levels(self, day: int) -> ReleaseLevels:
        """Return the effect of the release that runs at every step of ``day``."""
        weeks = range(day // 7 - LOOK_BACK_WEEKS, day // 7 + 1)
        steps = np.arange(STEPS_PER_DAY) + (day % 7) * STEPS_PER_DAY
        cpu = np.zeros((len(self._keys), STEPS_PER_DAY), dtype=np.float32)
        mem = np.zeros_like(cpu)
        for week in weeks:
            start, cpu_shift, mem_shift = self._week(week)
            running = (start >= 0) & ((steps >= start) if week == weeks[-1] else True)
            cpu = np.where(running, cpu_shift, cpu)
            mem = np.where(running, mem_shift, mem)
        return ReleaseLevels(np.exp(cpu), mem)

    def _draw(self, week: int) -> tuple[Float32, Float32, Float32]:
        """Return first step of the week (−1: no release), log cpu ratio and memory shift, ``(servers, 1)`` each."""
        generators = [key.generator(Purpose.RELEASE, week) for key in self._keys]
        uniform = np.stack([random.random(3) for random in generators]).astype(np.float32)
        normal = np.stack([random.standard_normal(2) for random in generators]).astype(np.float32)
        # The week number counts from a Thursday, so a release falls on its days 0, 1, 4, 5 or 6.
        weekday = np.array([0, 1, 4, 5, 6])[(uniform[:, :1] * 5).astype(int)]
        hour = 8 + 9 * uniform[:, 1:2]
        start = np.floor((weekday + hour / 24) * STEPS_PER_DAY)
        released = uniform[:, 2:3] < RELEASE_CHANCE
        return (
            np.where(released, start, -1).astype(np.float32),
            np.float32(CPU_SPREAD) * normal[:, :1],
            np.float32(MEM_SPREAD_PCT) * normal[:, 1:2],
        )
