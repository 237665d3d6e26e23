"""Batch runs and jobs: load that comes about its hour, lasts as long as it lasts and sometimes fails to come."""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum

import numpy as np

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Float32
from daemon.simulation.noise import Key, Purpose
from daemon.simulation.profile import Rhythm, Work, stack

EPOCH = date(1970, 1, 1)
SATURDAY = 5


@dataclass(frozen=True)
class Workdays:
    """A calendar of free days; days are numbered from 1970-01-01.

    Attributes:
        holidays: the days of a year, as MM-DD, on which people rest whatever day of the week it is.
    """

    holidays: frozenset[str]

    @classmethod
    def of(cls, holidays: Iterable[str]) -> "Workdays":
        """Return the calendar with these holidays."""
        return cls(frozenset(holidays))

    def is_holiday(self, day: int) -> bool:
        """Return whether that day is a public holiday."""
        return f"{_date(day):%m-%d}" in self.holidays

    def is_free(self, day: int) -> bool:
        """Return whether that day is a Saturday, a Sunday or a public holiday."""
        return _date(day).weekday() >= SATURDAY or self.is_holiday(day)

    def turns_month(self, day: int) -> bool:
        """Return whether that day is the first of a month or the last working day of one."""
        when = _date(day)
        left = monthrange(when.year, when.month)[1] - when.day
        return when.day == 1 or (not self.is_free(day) and all(map(self.is_free, range(day + 1, day + left + 1))))


def _date(day: int) -> date:
    return EPOCH + timedelta(days=day)


QUIETEST = 0.06
# Day of the week in days since Monday 00:00 and how much of a weekend it is: people stop early on Friday evening.
WEEK_DAYS = (0.0, 0.25, 4.7, 5.1, 6.8, 7.0)
WEEKEND = (0.3, 0.0, 0.0, 1.0, 1.0, 0.3)
# The same for a holiday, in days since it began: a weekend of one day.
HOLIDAY_DAYS = (-0.3, 0.1, 0.8, 1.0, 1.25)
HOLIDAY = (0.0, 1.0, 1.0, 0.3, 0.0)


def expected_traffic(rhythm: Rhythm[Float32], day: int, workdays: Workdays) -> Float32:
    """Return the traffic to expect at every step of ``day``, ``(servers, steps)``, about 1 on a mean weekday."""
    hours = (np.arange(STEPS_PER_DAY, dtype=np.float32) - np.float32(0.5)) * np.float32(STEP_SECONDS / 3600)
    angle = (hours[None, :] - rhythm.peak_hour) * np.float32(2 * np.pi / 24)
    # The second harmonic lags, so that a morning rises faster than an evening falls.
    wave = np.cos(angle) + rhythm.second_harmonic * np.cos(2 * angle - np.float32(0.9))
    level = np.maximum(1 + rhythm.amplitude * wave, np.float32(QUIETEST))
    weekend = np.interp((day + 3) % 7 + hours / 24, WEEK_DAYS, WEEKEND).astype(np.float32)
    for holiday in filter(workdays.is_holiday, (day - 1, day, day + 1)):
        rest = np.interp(day - holiday + hours / 24, HOLIDAY_DAYS, HOLIDAY).astype(np.float32)
        weekend = np.maximum(weekend, rest)
    traffic: Float32 = level * (1 - weekend * (1 - rhythm.weekend_ratio))
    return traffic


DAY_SECONDS = 86_400
LONGEST_HOURS = 44.0
LOOK_BACK_DAYS = 2
SLOTS = 4
NUMBERS_PER_RUN = 4
NO_WORK: Work[float] = Work(*[0.0] * 14)


class Effect(IntEnum):
    """What a run adds to, in the order of the fields of `Work`."""

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
    """The work of a fleet, ``(servers, SLOTS)`` a field.

    ``month_turn_ratio``, ``(servers, 1)``, is how much longer it lasts at the turn of a month.
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
        """Return the schedule of servers whose work is ``work``, at most SLOTS kinds each.

        On the last working day and the first day of a month a server's runs last ``month_turn_ratio`` times as long;
        where that is above 1, they come as on any working day.
        """
        padded = [(own + (NO_WORK,) * SLOTS)[:SLOTS] for own in work]
        columns = [stack([own[slot] for own in padded]) for slot in range(SLOTS)]
        names = tuple(NO_WORK.__dataclass_fields__)
        merged = {name: np.concatenate([getattr(column, name) for column in columns], axis=1) for name in names}
        sizes = np.stack([merged[name] for name in names[-len(Effect) :]])
        ratio = np.array(month_turn_ratio, dtype=np.float32)[:, None]
        return cls(keys=tuple(keys), work=Work(**merged), sizes=sizes, month_turn_ratio=ratio, workdays=workdays)

    def effects(self, day: int) -> Float32:
        """Return what the runs of this day and the days before add, ``(effects, servers, steps)``.

        A step that a run covers in part gets that part, as a mean over five minutes would.
        """
        shape = (len(Effect), len(self.keys), STEPS_PER_DAY)
        total = np.zeros(shape, dtype=np.float32)
        for start in range(day - LOOK_BACK_DAYS, day + 1):
            begin, end, amount = self._runs(start)
            pulses = _pulses(begin + (start - day) * DAY_SECONDS, end + (start - day) * DAY_SECONDS)
            total += np.einsum("enk,nkt->ent", self.sizes * amount, pulses)
        return total

    def _runs(self, day: int) -> tuple[Float32, Float32, Float32]:
        """Return begin and end in seconds of ``day`` and relative size (0: no run), ``(servers, SLOTS)`` each."""
        shape = (SLOTS, NUMBERS_PER_RUN)
        generators = [key.generator(Purpose.WORK, day) for key in self.keys]
        draws = np.stack([random.standard_normal(shape, np.float32) for random in generators])
        uniform = np.stack([random.random(SLOTS, np.float32) for random in generators])
        work = self.work
        longer = self.month_turn_ratio if self.workdays.turns_month(day) else np.float32(1)
        resting = self.workdays.is_free(day) & (longer == 1)
        runs = uniform < np.where(resting, work.weekend_chance, work.chance)
        # Jobs are handed in at any hour, backups within minutes of theirs: one bell, wide or narrow.
        begin = (work.start_hour + work.start_spread_hours * draws[:, :, 0]) % 24 * 3600
        hours = work.hours * np.exp(work.hours_spread * draws[:, :, 1]) * longer
        # One run in fifty hangs on something and takes three times as long.
        hours = np.where(draws[:, :, 2] > 2.05, 3 * hours, hours)
        end = begin + np.minimum(hours, LONGEST_HOURS) * 3600
        return begin, end, runs * np.exp(0.18 * draws[:, :, 3])


def _pulses(begin: Float32, end: Float32) -> Float32:
    """Return the covered part of every step, ``(servers, SLOTS, steps)``, for times in seconds of the day."""
    upper = (np.arange(STEPS_PER_DAY, dtype=np.float32) * STEP_SECONDS)[None, None, :]
    covered = np.minimum(upper, end[:, :, None]) - np.maximum(upper - STEP_SECONDS, begin[:, :, None])
    return np.clip(covered / STEP_SECONDS, 0, 1)
