"""Changes of a server that are neither load nor incident: growth, releases, fills, reboots and lost samples.

Each part is a pure function of the server's `Key` and the day, week or cycle, so any day can be computed alone.
All sizes are set by hand; docs/simulator.md lists those that a user can change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from daemon.core.series import DAY_SECONDS, STEP_SECONDS, STEPS_PER_DAY, Bool, Float32, Float64
from daemon.simulation.noise import Key, Purpose

# growth: range of a server's own rate, as a factor on the mean rate, so some servers lose traffic
GROWTH_SPREAD = (-1.0, 3.0)
LARGEST_GROWTH = 2.0
GROWTH_REFERENCE_DAY = 20_454  # 2026-01-01
DAYS_PER_MONTH = 30.44

# releases: probability per server and week, and standard deviation of their effects
RELEASE_CHANCE = 0.35
RELEASE_CPU_SPREAD = 0.08
RELEASE_MEM_SPREAD_PCT = 1.5
RELEASE_LOOK_BACK_WEEKS = 8
CACHED_RELEASE_WEEKS = RELEASE_LOOK_BACK_WEEKS + 3

# fills: an upper limit of all ranges of cycle_days in profile.py
LONGEST_CYCLE_DAYS = 40
CYCLE_HOURS = np.arange(24 * LONGEST_CYCLE_DAYS + 1)

# reboots: range of the time off, and time constant of the caches
DOWN_STEPS = (1, 3)
WARM_STEPS = 60.0
# after three days a cache is full to one part in a million
REBOOT_LOOK_BACK_DAYS = 3
CACHED_REBOOT_DAYS = REBOOT_LOOK_BACK_DAYS + 4

# lost samples: range of the length of an outage
OUTAGE_STEPS = (3, 18)


@dataclass(frozen=True)
class Growth:
    """The slow growth of traffic on every server.

    Attributes:
        log_per_month: growth of log traffic a month, ``(servers, 1)``.
    """

    log_per_month: Float32

    @classmethod
    def of(cls, keys: Sequence[Key], pct_month: float) -> "Growth":
        """Return growth with a mean of ``pct_month`` percent a month; each server has its own rate."""
        parts = [key.generator(Purpose.GROWTH, 0).uniform(*GROWTH_SPREAD) for key in keys]
        return cls(np.log1p(np.array(parts, dtype=np.float32)[:, None] * np.float32(pct_month / 100)))

    def ratio(self, day: int) -> Float32:
        """Return the factor on traffic at every step of ``day``, ``(servers, steps)``.

        It is 1 on GROWTH_REFERENCE_DAY. It levels off: for any day it is between 1 / LARGEST_GROWTH and LARGEST_GROWTH.
        """
        days = day - GROWTH_REFERENCE_DAY + np.arange(STEPS_PER_DAY, dtype=np.float64) / STEPS_PER_DAY
        grown = self.log_per_month * (days / DAYS_PER_MONTH)[None, :]
        most = np.log(LARGEST_GROWTH)
        ratio: Float32 = np.exp(most * np.tanh(grown / most)).astype(np.float32)
        return ratio


@dataclass(frozen=True)
class ReleaseLevels:
    """The effect of the running release, ``(servers, steps)``: factor on the CPU of traffic, and percent of memory."""

    cpu_ratio: Float32
    mem_pct: Float32


class Releases:
    """The releases of a fleet: in working hours, new software raises or lowers the load until the next release."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self._week = lru_cache(maxsize=CACHED_RELEASE_WEEKS)(self._sample)

    def levels(self, day: int) -> ReleaseLevels:
        """Return the effect of the running release at every step of ``day``."""
        weeks = range(day // 7 - RELEASE_LOOK_BACK_WEEKS, day // 7 + 1)
        steps = np.arange(STEPS_PER_DAY) + (day % 7) * STEPS_PER_DAY
        cpu = np.zeros((len(self._keys), STEPS_PER_DAY), dtype=np.float32)
        mem = np.zeros_like(cpu)
        for week in weeks:
            start, cpu_shift, mem_shift = self._week(week)
            running = (start >= 0) & ((steps >= start) if week == weeks[-1] else True)
            cpu = np.where(running, cpu_shift, cpu)
            mem = np.where(running, mem_shift, mem)
        return ReleaseLevels(np.exp(cpu), mem)

    def _sample(self, week: int) -> tuple[Float32, Float32, Float32]:
        """Return first step in the week (-1: none), log CPU ratio and percent of memory; ``(servers, 1)`` each."""
        generators = [key.generator(Purpose.RELEASE, week) for key in self._keys]
        uniform = np.stack([random.random(3) for random in generators]).astype(np.float32)
        normal = np.stack([random.standard_normal(2) for random in generators]).astype(np.float32)
        # 1970-01-01 was a Thursday, so the weekdays of a week are its days 0, 1, 4, 5 and 6
        weekday = np.array([0, 1, 4, 5, 6])[(uniform[:, :1] * 5).astype(int)]
        hour = 8 + 9 * uniform[:, 1:2]
        start = np.floor((weekday + hour / 24) * STEPS_PER_DAY)
        released = uniform[:, 2:3] < RELEASE_CHANCE
        return (
            np.where(released, start, -1).astype(np.float32),
            np.float32(RELEASE_CPU_SPREAD) * normal[:, :1],
            np.float32(RELEASE_MEM_SPREAD_PCT) * normal[:, 1:2],
        )


@dataclass(frozen=True, kw_only=True)
class FillCycle:
    """Something on one server that fills from day to day and is cleared once a cycle: a disk, or caches in memory.

    Attributes:
        key: the source of its random numbers.
        lane: number of the fill on its server, so that disk and memory have different random numbers.
        growth_pct_day: median growth of a day in percent; days differ log-normally.
        cycle_days: whole days from one clearing to the next.
        clear_second: second of the day of the clearing, UTC.
    """

    key: Key
    lane: int
    growth_pct_day: float
    cycle_days: int
    clear_second: int

    @property
    def phase_seconds(self) -> int:
        """The offset of the cycles from 1970-01-01, in seconds."""
        phase_days = self.key.words[self.lane % 2] % self.cycle_days
        return phase_days * DAY_SECONDS + self.clear_second

    def knots(self, cycle: int) -> Float64:
        """Return percent above the cleared level at every hour of ``cycle``, ``(24 * LONGEST_CYCLE_DAYS + 1,)``."""
        random = self.key.generator(Purpose.FILL, 2 * cycle + self.lane)
        # a clearing does not always reach the same level
        left_over = abs(random.standard_normal()) * 0.5 * self.growth_pct_day
        by_day = np.exp(0.45 * random.standard_normal(LONGEST_CYCLE_DAYS)).repeat(24)
        by_hour = np.exp(0.9 * random.standard_normal(24 * LONGEST_CYCLE_DAYS) - 0.4)
        knots: Float64 = np.concatenate([[0.0], np.cumsum(by_day * by_hour / 24)]) * self.growth_pct_day
        return left_over + knots


class Fills:
    """One fill on every server of a fleet."""

    def __init__(self, cycles: Sequence[FillCycle]) -> None:
        self._cycles = tuple(cycles)
        # a day can hold the end of one cycle and the start of the next
        self._knots = lru_cache(maxsize=2 * len(self._cycles))(self._sample)

    def levels(self, day: int) -> Float32:
        """Return percent above the cleared level at every step of ``day``, ``(servers, steps)``."""
        return np.stack([self._level(row, cycle, day) for row, cycle in enumerate(self._cycles)])

    def _level(self, row: int, filling: FillCycle, day: int) -> Float32:
        times = day * DAY_SECONDS + np.arange(STEPS_PER_DAY, dtype=np.int64) * STEP_SECONDS - filling.phase_seconds
        cycles, ages = np.divmod(times, filling.cycle_days * DAY_SECONDS)
        level = np.empty(STEPS_PER_DAY, dtype=np.float64)
        for cycle in range(int(cycles[0]), int(cycles[-1]) + 1):
            inside = cycles == cycle
            level[inside] = np.interp(24 * (ages[inside] / DAY_SECONDS), CYCLE_HOURS, self._knots(row, cycle))
        return level.astype(np.float32)

    def _sample(self, row: int, cycle: int) -> Float64:
        return self._cycles[row].knots(cycle)


@dataclass(frozen=True)
class Uptime:
    """One day of a fleet after reboots, ``(servers, steps)`` each.

    Attributes:
        down: whether the server is off in the step.
        warmth: filled part of its caches, 0 to 1; 1 without a recent reboot.
    """

    down: npt.NDArray[np.bool_]
    warmth: Float32


class Reboots:
    """The reboots of a fleet: at most one per server and day, at any hour; afterwards all caches are empty."""

    def __init__(self, keys: Sequence[Key], per_server_week: float) -> None:
        self._keys = tuple(keys)
        self._chance = per_server_week / 7
        self._day = lru_cache(maxsize=CACHED_REBOOT_DAYS)(self._sample)

    def uptime(self, day: int) -> Uptime:
        """Return which servers are off at every step of ``day``, and how full their caches are."""
        steps = np.arange(STEPS_PER_DAY, dtype=np.float32)
        down = np.zeros((len(self._keys), STEPS_PER_DAY), dtype=bool)
        warmth = np.ones(down.shape, dtype=np.float32)
        for source in range(day - REBOOT_LOOK_BACK_DAYS, day + 1):
            offset = (source - day) * STEPS_PER_DAY
            for row, (first, length) in self._day(source).items():
                age = steps - (first + offset + length)
                down[row] |= (age < 0) & (age >= -length)
                filled = np.where(age < -length, 1, 1 - np.exp(-np.maximum(age, 0) / WARM_STEPS))
                warmth[row] = np.minimum(warmth[row], filled)
        return Uptime(down, warmth)

    def first_between(self, row: int, start: int, end: int) -> int | None:
        """Return the first reboot of a server in ``start .. end`` (epoch seconds, both included); None without one."""
        for day in range(start // DAY_SECONDS, end // DAY_SECONDS + 1):
            sampled = self._of_server(row, day)
            if sampled is not None and start <= day * DAY_SECONDS + sampled[0] * STEP_SECONDS <= end:
                return day * DAY_SECONDS + sampled[0] * STEP_SECONDS
        return None

    def _sample(self, day: int) -> dict[int, tuple[int, int]]:
        sampled = {row: self._of_server(row, day) for row in range(len(self._keys))}
        return {row: reboot for row, reboot in sampled.items() if reboot is not None}

    def _of_server(self, row: int, day: int) -> tuple[int, int] | None:
        """Return the first step of the reboot in ``day`` and its length in steps; None without one."""
        if not self._chance:
            return None
        random = self._keys[row].generator(Purpose.REBOOT, day)
        shortest, longest = DOWN_STEPS
        if random.random() >= self._chance:
            return None
        return int(random.integers(STEPS_PER_DAY)), int(random.integers(shortest, longest + 1))


def lost_samples(key: Key, day: int, metrics: int, missing_rate: float, outages_per_week: float) -> Bool:
    """Return the lost samples of a server's day, ``(metrics, steps)``: outages, and single losses.

    Half of the single losses affect the whole server, as a failed scrape does. The other half affect one metric.
    """
    random = key.generator(Purpose.GAPS, day)
    # the outage comes first in the stream of numbers, so the one of the day before needs only those
    lost = _outage(key.generator(Purpose.GAPS, day - 1), outages_per_week, -STEPS_PER_DAY)
    lost |= _outage(random, outages_per_week, 0)
    lost |= random.random(STEPS_PER_DAY, np.float32) < missing_rate / 2
    single = random.random((metrics, STEPS_PER_DAY), np.float32) < missing_rate / 2
    missed: Bool = lost[None, :] | single
    return missed


def _outage(random: np.random.Generator, per_week: float, offset: int) -> Bool:
    chance, position, length = random.random(3)
    first = offset + int(position * STEPS_PER_DAY)
    shortest, longest = OUTAGE_STEPS
    steps = np.arange(STEPS_PER_DAY)
    inside = (steps >= first) & (steps < first + shortest + int(length * (longest - shortest + 1)))
    lost: Bool = inside & (chance < per_week / 7)
    return lost
