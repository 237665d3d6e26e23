"""Thresholds drawn at random, to learn from."""

import numpy as np

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_WEEK
from daemon.domain.metric import Direction
from daemon.domain.risk import Severity, Watch
from daemon.domain.series import GENERIC_PROFILE, Float32, Panel, SeriesKey
from daemon.learning.breach.examples import Chooser

_BELOW_SHARE, _BEYOND_SHARE = 0.25, 0.2
# the share of the week that lies beyond a drawn threshold is ten to the minus these
_RARITY = (0.7, 3.3)
_FEWEST_VALUES = 288


def drawn(seed: int) -> Chooser:
    """Choose thresholds at random: quantiles of each series' last week, on either side, and beyond what it reached.

    They stand in for the thresholds that people set, of which few are ever reached: there is no end of them, each with
    its own rare breaches, and what is learned on them holds for any.
    """
    generator = np.random.default_rng(seed)

    def choose(panel: Panel, origin: int, keys: tuple[SeriesKey, ...]) -> list[Watch]:
        row_of = {key: row for row, key in enumerate(panel.keys)}
        week = panel.between(origin - (STEPS_PER_WEEK - 1) * STEP_SECONDS, origin).values
        watched = []
        for key in keys:
            values = week[row_of[key]]
            watched += _draw(generator, key, values[np.isfinite(values)])
        return watched

    return choose


def _draw(generator: np.random.Generator, key: SeriesKey, values: Float32) -> list[Watch]:
    direction = Direction.BELOW if generator.random() < _BELOW_SHARE else Direction.ABOVE
    rarity, beyond, further = generator.uniform(*_RARITY), generator.random(), generator.uniform(0, 0.5)
    if len(values) < _FEWEST_VALUES:
        return []
    ordered = np.sort(values if direction is Direction.ABOVE else -values)
    middle, highest = ordered[len(ordered) // 2], ordered[-1]
    threshold = ordered[int((1 - 10**-rarity) * (len(ordered) - 1))]
    if beyond < _BEYOND_SHARE:
        threshold = highest + (highest - middle) * further
    if threshold <= middle:
        return []
    sign = 1 if direction is Direction.ABOVE else -1
    return [Watch(key, Severity.CRITICAL, sign * float(threshold), direction, GENERIC_PROFILE)]
