"""Samples that never arrived."""

import numpy as np

from daemon.domain.grid import STEPS_PER_DAY
from daemon.domain.series import Bool
from daemon.simulation.randomness import Key, Purpose

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
