"""Clocks: the wall clock, and an accelerated one for demos and replays."""

import time
from typing import Protocol


class Clock(Protocol):
    """The time of the service; accelerated in demos, stopped in tests."""

    @property
    def speed(self) -> float:
        """Seconds of this clock per second of the wall clock."""
        ...

    def now(self) -> float:
        """Return the current time in epoch seconds (UTC)."""
        ...


class SystemClock:
    """The wall clock."""

    speed = 1.0

    def now(self) -> float:
        """Return the current time in epoch seconds (UTC)."""
        return time.time()


class AcceleratedClock:
    """A clock that starts at ``start`` (epoch seconds) and runs ``speed`` times as fast as the wall clock."""

    def __init__(self, start: float, speed: float) -> None:
        self._start, self._speed = start, speed
        self._created = time.monotonic()

    @property
    def speed(self) -> float:
        """Seconds of this clock per second of the wall clock."""
        return self._speed

    def now(self) -> float:
        """Return the current time in epoch seconds (UTC)."""
        return self._start + (time.monotonic() - self._created) * self._speed


def wall_time(clock: Clock, at: int) -> float:
    """Return the wall time, in epoch seconds, of the grid time ``at`` of ``clock``."""
    return time.time() - (clock.now() - at) / clock.speed
