import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from daemon.config.schema import ScheduleConfig
from daemon.core.clock import AcceleratedClock
from daemon.system.scheduler import GridScheduler, GridTrigger
from tests.fakes.source import FakeClock
from tests.servers.processes import wait_until

T0 = 1_767_571_200


def fire_in(clock: FakeClock, delay: float, previous: datetime | None = None) -> float:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    fire = GridTrigger(clock, delay).get_next_fire_time(previous, now)
    return (fire - now).total_seconds()


def test_fires_after_each_grid_time_by_the_delay() -> None:
    """The next run comes the delay after the next five-minute mark of the clock."""
    assert abs(fire_in(FakeClock(T0 + 100), 15) - 215) < 0.1
    assert abs(fire_in(FakeClock(T0 + 10), 15) - 5) < 0.1
    assert abs(fire_in(FakeClock(T0 + 15), 15) - 300) < 0.1


def test_an_accelerated_clock_fires_sooner() -> None:
    """At sixty times the speed five minutes are five seconds."""
    assert abs(fire_in(FakeClock(T0, speed=60), 0) - 5) < 0.1


def test_asked_just_before_its_mark_it_does_not_fire_twice() -> None:
    """A scheduler that wakes a moment early does not run the same mark again."""
    now = datetime(2026, 1, 5, tzinfo=UTC)
    assert abs(fire_in(FakeClock(T0 - 0.01), 0, previous=now - timedelta(milliseconds=5)) - 300) < 0.1


def test_a_start_just_before_a_mark_does_not_skip_it() -> None:
    """The run at the start is for the mark before; the next mark comes even if it is a second away."""
    now = datetime(2026, 1, 5, tzinfo=UTC)
    assert abs(fire_in(FakeClock(T0 - 1), 0, previous=now - timedelta(milliseconds=1)) - 1) < 0.1


def test_runs_each_grid_time_once_and_skips_what_a_slow_run_missed() -> None:
    """Runs never overlap and never pile up: after a run of three grid times the next one is for the newest."""
    clock = AcceleratedClock(T0, speed=1500)  # a grid time is 0.2 s
    ran: list[int] = []
    slow_ended: list[float] = []
    running = threading.Lock()
    overlapped = []

    def job(at: int) -> None:
        overlapped.append(not running.acquire(blocking=False))
        ran.append(at)
        if len(ran) == 2:
            wait_until(lambda: clock.now() > at + 3 * 300, 1, "three grid times")
            slow_ended.append(clock.now())
        running.release()

    scheduler = GridScheduler(clock, ScheduleConfig(delay_seconds=0), job)
    scheduler.start()
    wait_until(lambda: len(ran) >= 6, 3, "six runs")
    scheduler.stop()
    assert not any(overlapped)
    assert ran[0] == T0
    assert [at % 300 for at in ran] == [0] * len(ran)
    assert [later > earlier for earlier, later in pairwise(ran)] == [True] * (len(ran) - 1)
    assert ran[2] >= slow_ended[0] - 300


def test_a_shorter_delay_asks_at_once_for_the_grid_time_that_is_due_by_it() -> None:
    """What the longer delay has not come to yet is not lost."""
    ran: list[int] = []
    scheduler = GridScheduler(AcceleratedClock(T0 + 200, speed=1), ScheduleConfig(delay_seconds=250), ran.append)
    scheduler.start()
    wait_until(lambda: ran == [T0 - 300], 1, "the first run")
    scheduler.reconfigure(ScheduleConfig(delay_seconds=0))
    wait_until(lambda: len(ran) > 1, 1, "the second run")
    scheduler.stop()
    assert ran == [T0 - 300, T0]
