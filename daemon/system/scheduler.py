"""The schedule of the ticks on the five-minute grid, and cron expressions for trainings."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

from daemon.config.schema import ScheduleConfig
from daemon.core.clock import Clock
from daemon.core.errors import ConfigError
from daemon.core.series import STEP_SECONDS, floor_to_grid

# apscheduler counts the days of the week from Monday, cron from Sunday
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
# an accelerated clock and the scheduler drift apart between two ticks, and a tick must not run before its time
_CLOCK_DRIFT_SECONDS = 0.02


def next_times(expression: str, zone: ZoneInfo) -> Callable[[float], float | None]:
    """Return a function that returns the next time after a given one, in epoch seconds; None if there is no next time.

    Args:
        expression: minute, hour, day of month, month and day of week (0 and 7 are Sunday).
        zone: time zone of the expression.

    Raises:
        ConfigError: ``expression`` is not a cron expression.
    """
    fields = expression.split()
    try:
        fields[4:] = [re.sub(r"(?<![/\d])[0-7](?!\d)", lambda day: _DAYS[int(day[0])], field) for field in fields[4:]]
        trigger = CronTrigger.from_crontab(" ".join(fields), timezone=zone)
    except ValueError as error:
        fix = "write minute, hour, day, month and weekday, as in 30 3 * * sun"
        raise ConfigError([f"training.schedule: {expression!r}: {error}; {fix}"]) from error

    def after(at: float) -> float | None:
        # the next time of a trigger may be the present moment
        fire = trigger.get_next_fire_time(None, datetime.fromtimestamp(at + 1, UTC))
        return None if fire is None else float(fire.timestamp())

    return after


class GridTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires ``delay_seconds`` after each grid time of ``clock``."""

    def __init__(self, clock: Clock, delay_seconds: float) -> None:
        self._clock = clock
        self._delay_seconds = delay_seconds

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the wall time of the next grid time plus the delay; missed grid times are not made up for."""
        clock_now = self._clock.now()
        due = floor_to_grid(clock_now - self._delay_seconds) + STEP_SECONDS + self._delay_seconds
        fire = now + timedelta(seconds=(due - clock_now) / self._clock.speed + _CLOCK_DRIFT_SECONDS)
        if previous_fire_time is not None and (fire - previous_fire_time).total_seconds() < self._same_time_seconds:
            # the scheduler asks shortly before or after the time that it has just run
            fire += timedelta(seconds=STEP_SECONDS / self._clock.speed)
        return fire

    @property
    def _same_time_seconds(self) -> float:
        return min(2 * _CLOCK_DRIFT_SECONDS, STEP_SECONDS / self._clock.speed / 2)


class GridScheduler:
    """Runs a job for each grid time, one at a time; grid times that a slow run misses are skipped."""

    def __init__(self, clock: Clock, schedule: ScheduleConfig, job: Callable[[int], Any]) -> None:
        """Prepare the schedule.

        Args:
            clock: clock of the grid times and of the delay.
            schedule: delay of a run after its grid time.
            job: called with the grid time in epoch seconds; must not raise.
        """
        self._clock, self._job = clock, job
        self._delay_seconds = schedule.delay_seconds
        # with one thread a late tick would count as waiting, not as running
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(2)})

    def start(self) -> None:
        """Run the job for the newest grid time now, and then for each new grid time."""
        self._scheduler.add_job(
            self._run,
            GridTrigger(self._clock, self._delay_seconds),
            id="tick",
            next_run_time=datetime.now(UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.start()

    def reconfigure(self, schedule: ScheduleConfig) -> None:
        """Use another delay, and run the job now for the grid time that is due with this delay.

        The job may get a grid time for the second time.
        """
        self._delay_seconds = schedule.delay_seconds
        if self._scheduler.running:
            self._scheduler.reschedule_job("tick", trigger=GridTrigger(self._clock, self._delay_seconds))
            self._scheduler.add_job(self._run, misfire_grace_time=None)

    def stop(self) -> None:
        """Start no further run; a running one is not waited for."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _run(self) -> None:
        self._job(floor_to_grid(self._clock.now() - self._delay_seconds))
