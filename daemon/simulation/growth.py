"""Slow growth of traffic: a few percent a month, more on some servers than on others, and less on a few."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daemon.domain.grid import STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.randomness import Key, Purpose

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
