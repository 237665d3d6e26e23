"""The five-minute rhythm, on whatever clock the service runs."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

from daemon.core.clock import Clock, SystemClock
from daemon.core.errors import ConfigError
from daemon.core.series import STEP_SECONDS, floor_to_grid

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


def next_times(expression: str, zone: ZoneInfo) -> Callable[[float], float | None]:
    """Return what gives the first time after one, in epoch seconds; None where there is none any more.

    Args:
        expression: minute, hour, day of month, month and day of week (0 and 7 are Sunday).
        zone: whose civil time they are in.

    Raises:
        ConfigError: it is no cron expression.
    """
    fields = expression.split()
    try:
        # apscheduler counts the days of the week from Monday, cron from Sunday
        fields[4:] = [re.sub(r"(?<![/\d])[0-7](?!\d)", lambda day: _DAYS[int(day[0])], field) for field in fields[4:]]
        trigger = CronTrigger.from_crontab(" ".join(fields), timezone=zone)
    except ValueError as error:
        fix = "write minute, hour, day, month and weekday, as in 30 3 * * sun"
        raise ConfigError([f"training.schedule: {expression!r}: {error}; {fix}"]) from error

    def after(at: float) -> float | None:
        # a trigger's own next time may be the present moment
        fire = trigger.get_next_fire_time(None, datetime.fromtimestamp(at + 1, UTC))
        return None if fire is None else float(fire.timestamp())

    return after


# an accelerated clock and the scheduler's drift apart between two ticks; a tick must not run before its mark
_CLOCK_DRIFT_SECONDS = 0.02


class GridTrigger(BaseTrigger):  # type: ignore[misc]
    """Fire ``delay_seconds`` after each grid time of ``clock``."""

    def __init__(self, clock: Clock, delay_seconds: float) -> None:
        self._clock = clock
        self._delay_seconds = delay_seconds

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the wall time of the next grid time plus the delay; after a late run none is made up for."""
        clock_now = self._clock.now()
        due = floor_to_grid(clock_now - self._delay_seconds) + STEP_SECONDS + self._delay_seconds
        fire = now + timedelta(seconds=(due - clock_now) / self._clock.speed + _CLOCK_DRIFT_SECONDS)
        if previous_fire_time is not None and (fire - previous_fire_time).total_seconds() < self._same_mark_seconds:
            # the scheduler asks a moment before or after the mark that it has just served
            fire += timedelta(seconds=STEP_SECONDS / self._clock.speed)
        return fire

    @property
    def _same_mark_seconds(self) -> float:
        return min(2 * _CLOCK_DRIFT_SECONDS, STEP_SECONDS / self._clock.speed / 2)


class GridScheduler:
    """Run a job for each grid time, never two at once; what a slow run misses is skipped, not piled up."""

    def __init__(self, clock: Clock | None, delay_seconds: float, job: Callable[[int], Any]) -> None:
        """Prepare the schedule.

        Args:
            clock: whose grid times; the wall clock if None.
            delay_seconds: how long after a grid time its run begins, on that clock.
            job: called with the grid time in epoch seconds; must not raise.
        """
        self._clock = clock or SystemClock()
        self._delay_seconds = delay_seconds
        self._job = job
        # two threads, so that a tick that runs late is seen as running, not as waiting for a thread
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(2)})

    def start(self) -> None:
        """Run the job for the newest grid time now, and from then on for each one that comes."""
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

    def reconfigure(self, delay_seconds: float) -> None:
        """Run the job by another delay, and once at once: for the grid time that is due by the new one already.

        The job may be asked for a grid time that it has had.
        """
        self._delay_seconds = delay_seconds
        if self._scheduler.running:
            self._scheduler.reschedule_job("tick", trigger=GridTrigger(self._clock, delay_seconds))
            self._scheduler.add_job(self._run, misfire_grace_time=None)

    def stop(self) -> None:
        """Fire no more; a run under way is not waited for."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _run(self) -> None:
        self._job(floor_to_grid(self._clock.now() - self._delay_seconds))
