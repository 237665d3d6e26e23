"""Releases: now and then, in working hours, new software makes a server dearer or cheaper, until the next one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Bool, Float32
from daemon.simulation.noise import Key, Purpose

DAY_SECONDS = 86_400
LONGEST_CYCLE_DAYS = 40
HOURS = np.arange(24 * LONGEST_CYCLE_DAYS + 1)

Path = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
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


OUTAGE_STEPS = (3, 18)


def missing(key: Key, day: int, metrics: int, missing_rate: float, outages_per_week: float) -> Bool:
    """Return which samples of a server's day are lost, ``(metrics, steps)``.

    Half of the single losses are of the whole server, as a failed scrape; half are of one metric.
    """
    random = key.generator(Purpose.GAPS, day)
    # The outages are drawn first: yesterday's, which may last past midnight, need nothing else.
    lost = _outage(key.generator(Purpose.GAPS, day - 1), outages_per_week, -STEPS_PER_DAY)
    lost |= _outage(random, outages_per_week, 0)
    lost |= random.random(STEPS_PER_DAY, np.float32) < missing_rate / 2
    single = random.random((metrics, STEPS_PER_DAY), np.float32) < missing_rate / 2
    missed: Bool = lost[None, :] | single
    return missed


def _outage(random: np.random.Generator, per_week: float, offset: int) -> Bool:
    chance, position, length = random.random(3)
    begin = offset + int(position * STEPS_PER_DAY)
    shortest, longest = OUTAGE_STEPS
    steps = np.arange(STEPS_PER_DAY)
    inside = (steps >= begin) & (steps < begin + shortest + int(length * (longest - shortest + 1)))
    lost: Bool = inside & (chance < per_week / 7)
    return lost


REFERENCE_DAY = 20_454  # 2026-01-01
DAYS_PER_MONTH = 30.44
# Of the mean rate: some servers lose traffic.
SPREAD = (-1.0, 3.0)
LARGEST = 2.0


@dataclass(frozen=True)
class Growth:
    """The growth of a fleet; ``log_per_month`` is ``(servers, 1)``."""

    log_per_month: Float32

    @classmethod
    def of(cls, keys: Sequence[Key], pct_month: float) -> "Growth":
        """Return growth of ``pct_month`` percent a month in the mean, each server's own."""
        parts = [key.generator(Purpose.GROWTH, 0).uniform(*SPREAD) for key in keys]
        return cls(np.log1p(np.array(parts, dtype=np.float32)[:, None] * np.float32(pct_month / 100)))

    def ratio(self, day: int) -> Float32:
        """Return the factor on traffic at every step of ``day``, ``(servers, steps)``.

        It is 1 on REFERENCE_DAY, grows from there, and levels off: never more than LARGEST nor less than its inverse,
        however far away the day is.
        """
        days = day - REFERENCE_DAY + np.arange(STEPS_PER_DAY, dtype=np.float64) / STEPS_PER_DAY
        grown = self.log_per_month * (days / DAYS_PER_MONTH)[None, :]
        most = np.log(LARGEST)
        ratio: Float32 = np.exp(most * np.tanh(grown / most)).astype(np.float32)
        return ratio


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
            sampled = self._of_server(row, day)
            if sampled is not None and start <= day * DAY_SECONDS + sampled[0] * STEP_SECONDS <= end:
                return day * DAY_SECONDS + sampled[0] * STEP_SECONDS
        return None

    def _draw(self, day: int) -> dict[int, tuple[int, int]]:
        sampled = {row: self._of_server(row, day) for row in range(len(self._keys))}
        return {row: reboot for row, reboot in sampled.items() if reboot is not None}

    def _of_server(self, row: int, day: int) -> tuple[int, int] | None:
        """Return the step of the day at which the server goes down and for how many, if it does."""
        if not self._chance:
            return None
        random = self._keys[row].generator(Purpose.REBOOT, day)
        shortest, longest = DOWN_STEPS
        if random.random() >= self._chance:
            return None
        return int(random.integers(STEPS_PER_DAY)), int(random.integers(shortest, longest + 1))


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
