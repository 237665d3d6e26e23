"""The five-minute rhythm, on whatever clock the service runs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from daemon.domain.clock import SystemClock
from daemon.domain.grid import STEP_SECONDS, floor_to_grid
from daemon.domain.ports import Clock

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

    def follow(self, delay_seconds: float) -> None:
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
