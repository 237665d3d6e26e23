"""Clocks: the wall's, and one that runs faster for demos and replays."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from; an accelerated or a stopped one serves demos and tests."""

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
    """A clock that is at ``start`` when it is made and runs ``speed`` times as fast as the wall's."""

    def __init__(self, start: float, speed: float) -> None:
        self._start = start
        self._speed = speed
        self._made = time.monotonic()

    @property
    def speed(self) -> float:
        """Seconds of this clock per second of the wall clock."""
        return self._speed

    def now(self) -> float:
        """Return the current time in epoch seconds (UTC)."""
        return self._start + (time.monotonic() - self._made) * self._speed
