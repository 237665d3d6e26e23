"""The expected load: which days people work, the daily and weekly rhythm of traffic, batch runs and jobs.

Days are numbered from 1970-01-01 and times are UTC. The shapes and sizes are set by hand.
"""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum

import numpy as np

from daemon.core.series import DAY_SECONDS, STEP_SECONDS, STEPS_PER_DAY, Float32
from daemon.simulation.noise import Key, Purpose
from daemon.simulation.profile import Rhythm, Work, stack

EPOCH = date(1970, 1, 1)
SATURDAY = 5

# traffic: its least level, as a part of the mean
LEAST_TRAFFIC = 0.06
# time in days since Monday 00:00, and the weight of the weekend there: people stop early on Friday evening
WEEK_DAYS = (0.0, 0.25, 4.7, 5.1, 6.8, 7.0)
WEEKEND = (0.3, 0.0, 0.0, 1.0, 1.0, 0.3)
# the same for a holiday, in days since its midnight: a weekend of one day
HOLIDAY_DAYS = (-0.3, 0.1, 0.8, 1.0, 1.25)
HOLIDAY = (0.0, 1.0, 1.0, 0.3, 0.0)

# runs: a run ends within the two days after its own, and a server has at most SLOTS kinds of work
LONGEST_RUN_HOURS = 44.0
RUN_LOOK_BACK_DAYS = 2
SLOTS = 4
NUMBERS_PER_RUN = 4
NO_WORK: Work[float] = Work(*[0.0] * 14)
SIZE_SPREAD = 0.18
# one run in fifty (a normal number above 2.05) waits for something and takes three times as long
STUCK_ABOVE = 2.05
STUCK_RATIO = 3


@dataclass(frozen=True)
class Workdays:
    """A calendar of working days; days are numbered from 1970-01-01.

    Attributes:
        holidays: days of the year, as MM-DD, that are free in every year.
    """

    holidays: frozenset[str]

    @classmethod
    def of(cls, holidays: Iterable[str]) -> "Workdays":
        """Return the calendar with these holidays."""
        return cls(frozenset(holidays))

    def is_holiday(self, day: int) -> bool:
        """Return whether ``day`` is a public holiday."""
        return f"{_date(day):%m-%d}" in self.holidays

    def is_free(self, day: int) -> bool:
        """Return whether ``day`` is a Saturday, a Sunday or a public holiday."""
        return _date(day).weekday() >= SATURDAY or self.is_holiday(day)

    def turns_month(self, day: int) -> bool:
        """Return whether ``day`` is the first day or the last working day of a month."""
        when = _date(day)
        left = monthrange(when.year, when.month)[1] - when.day
        return when.day == 1 or (not self.is_free(day) and all(map(self.is_free, range(day + 1, day + left + 1))))


def _date(day: int) -> date:
    return EPOCH + timedelta(days=day)


def expected_traffic(rhythm: Rhythm[Float32], day: int, workdays: Workdays) -> Float32:
    """Return the expected traffic at every step of ``day``, ``(servers, steps)``; its mean on a weekday is about 1."""
    hours = (np.arange(STEPS_PER_DAY, dtype=np.float32) - np.float32(0.5)) * np.float32(STEP_SECONDS / 3600)
    angle = (hours[None, :] - rhythm.peak_hour) * np.float32(2 * np.pi / 24)
    # the second harmonic lags, so that traffic rises faster in the morning than it falls in the evening
    wave = np.cos(angle) + rhythm.second_harmonic * np.cos(2 * angle - np.float32(0.9))
    level = np.maximum(1 + rhythm.amplitude * wave, np.float32(LEAST_TRAFFIC))
    weekend = np.interp((day + 3) % 7 + hours / 24, WEEK_DAYS, WEEKEND).astype(np.float32)
    for holiday in filter(workdays.is_holiday, (day - 1, day, day + 1)):
        rest = np.interp(day - holiday + hours / 24, HOLIDAY_DAYS, HOLIDAY).astype(np.float32)
        weekend = np.maximum(weekend, rest)
    traffic: Float32 = level * (1 - weekend * (1 - rhythm.weekend_ratio))
    return traffic


class Effect(IntEnum):
    """The metrics that a run adds to, in the order of the fields of `Work`."""

    CPU = 0
    IO = 1
    NET_IN = 2
    NET_OUT = 3
    MEM = 4
    DISK = 5
    GPU = 6
    GPU_MEM = 7


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The batch runs and jobs of a fleet.

    Attributes:
        keys: the root of the random numbers of each server.
        work: each field is ``(servers, SLOTS)``.
        sizes: what a run of usual size adds, ``(effects, servers, SLOTS)``.
        month_turn_ratio: factor on the length of runs at the turn of a month, ``(servers, 1)``.
        workdays: the calendar.
    """

    keys: tuple[Key, ...]
    work: Work[Float32]
    sizes: Float32
    month_turn_ratio: Float32
    workdays: Workdays

    @classmethod
    def of(
        cls,
        keys: Sequence[Key],
        work: Sequence[tuple[Work[float], ...]],
        month_turn_ratio: Sequence[float],
        workdays: Workdays,
    ) -> "Schedule":
        """Return the schedule of servers with the given work, at most SLOTS kinds each.

        On the last working day and the first day of a month, the runs of a server last ``month_turn_ratio`` times as
        long. Where the ratio is above 1, these days count as working days.
        """
        padded = [(own + (NO_WORK,) * SLOTS)[:SLOTS] for own in work]
        columns = [stack([own[slot] for own in padded]) for slot in range(SLOTS)]
        names = tuple(NO_WORK.__dataclass_fields__)
        merged = {name: np.concatenate([getattr(column, name) for column in columns], axis=1) for name in names}
        sizes = np.stack([merged[name] for name in names[-len(Effect) :]])
        ratio = np.array(month_turn_ratio, dtype=np.float32)[:, None]
        return cls(keys=tuple(keys), work=Work(**merged), sizes=sizes, month_turn_ratio=ratio, workdays=workdays)

    def effects(self, day: int) -> Float32:
        """Return what runs add at every step of ``day``, ``(effects, servers, steps)``; units as in `Work`.

        It includes runs of the days before. A step that a run covers in part gets that part, like a mean over the step.
        """
        shape = (len(Effect), len(self.keys), STEPS_PER_DAY)
        total = np.zeros(shape, dtype=np.float32)
        for run_day in range(day - RUN_LOOK_BACK_DAYS, day + 1):
            begin, end, amount = self._runs(run_day)
            offset = (run_day - day) * DAY_SECONDS
            pulses = _pulses(begin + offset, end + offset)
            total += np.einsum("enk,nkt->ent", self.sizes * amount, pulses)
        return total

    def _runs(self, day: int) -> tuple[Float32, Float32, Float32]:
        """Return start and end in seconds of ``day`` and relative size (0: no run), ``(servers, SLOTS)`` each."""
        shape = (SLOTS, NUMBERS_PER_RUN)
        generators = [key.generator(Purpose.WORK, day) for key in self.keys]
        normal = np.stack([random.standard_normal(shape, np.float32) for random in generators])
        uniform = np.stack([random.random(SLOTS, np.float32) for random in generators])
        work = self.work
        longer = self.month_turn_ratio if self.workdays.turns_month(day) else np.float32(1)
        resting = self.workdays.is_free(day) & (longer == 1)
        runs = uniform < np.where(resting, work.weekend_chance, work.chance)
        # a normal distribution around the hour: wide for jobs, minutes for backups
        begin = (work.start_hour + work.start_spread_hours * normal[:, :, 0]) % 24 * 3600
        hours = work.hours * np.exp(work.hours_spread * normal[:, :, 1]) * longer
        hours = np.where(normal[:, :, 2] > STUCK_ABOVE, STUCK_RATIO * hours, hours)
        end = begin + np.minimum(hours, LONGEST_RUN_HOURS) * 3600
        return begin, end, runs * np.exp(SIZE_SPREAD * normal[:, :, 3])


def _pulses(begin: Float32, end: Float32) -> Float32:
    """Return the covered part of every step, ``(servers, SLOTS, steps)``; times are seconds of the day."""
    upper = (np.arange(STEPS_PER_DAY, dtype=np.float32) * STEP_SECONDS)[None, None, :]
    covered = np.minimum(upper, end[:, :, None]) - np.maximum(upper - STEP_SECONDS, begin[:, :, None])
    return np.clip(covered / STEP_SECONDS, 0, 1)
