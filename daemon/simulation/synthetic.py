"""Random series for pretraining: more variety than any recording of servers.

They are not servers: no series has a cause, a unit or a name. Each series is a random sum of rhythm, jobs, bursts,
shifts, growth and noise, transformed in one of the ways that are typical of metrics. The method is that of KernelSynth
(Ansari et al., Chronos: learning the language of time series, 2024, section 4.2).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from daemon.core.series import STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK, Panel, SeriesKey

Path = npt.NDArray[np.float64]
Component = Callable[[np.random.Generator, int], Path]

_START = 1_704_067_200  # 2024-01-01T00:00:00Z, a Monday
_PER_SERVER = 10
_LARGEST = 100.0


def synthetic(seed: int, series: int, days: int) -> Panel:
    """Return ``series`` random series of ``days`` days, at most 100 in absolute value; equal for equal arguments."""
    generator = np.random.default_rng(seed)
    values = np.stack([_one(generator, days * STEPS_PER_DAY) for _ in range(series)])
    largest = np.abs(values).max(axis=1, keepdims=True)
    values *= _LARGEST / np.where(largest > 0, largest, 1)
    keys = tuple(SeriesKey(f"synthetic-{i // _PER_SERVER}", f"kind-{i % _PER_SERVER}") for i in range(series))
    return Panel(keys, _START, values.astype(np.float32))


def _one(generator: np.random.Generator, steps: int) -> Path:
    path = np.zeros(steps)
    for component, probability in _COMPONENTS:
        if generator.random() < probability:
            path += component(generator, steps) * np.exp(generator.normal(0, 0.8))
    noise = _autoregressive(generator, steps, _one_of(generator, 0.3, 0.3, 2, 8)) * np.exp(generator.normal(-1.5, 0.9))
    if generator.random() < 0.5:
        # the noise is larger where the series is higher, as for most metrics
        noise *= 0.2 + 1.6 * (path - path.min()) / (np.ptp(path) or 1)
    return _transformed(generator, path + noise)


def _rhythm(generator: np.random.Generator, steps: int) -> Path:
    """Return days of one shape and different size, often with weekends."""
    shape = _day_shape(generator)
    shape = (shape - shape.mean()) / (shape.std() or 1)
    days = steps // STEPS_PER_DAY + 1
    size = np.exp(generator.normal(0, _one_of(generator, 0, 0.1, 0.4), days))
    if generator.random() < 0.4:
        size *= np.roll(np.where(np.arange(days) % 7 >= 5, generator.uniform(0, 1), 1), generator.integers(7))
    return np.roll(np.outer(size, shape).reshape(-1), generator.integers(STEPS_PER_DAY))[:steps]


def _day_shape(generator: np.random.Generator) -> Path:
    kind = generator.random()
    if kind < 0.25:
        hours = np.arange(STEPS_PER_DAY) / STEPS_PER_HOUR
        (opens, closes), width = np.sort(generator.uniform(0, 24, 2)), generator.uniform(0.2, 2)
        return np.asarray(1 / (1 + np.exp((opens - hours) / width)) - 1 / (1 + np.exp((closes - hours) / width)))
    turn = np.arange(STEPS_PER_DAY) / STEPS_PER_DAY * 2 * np.pi
    waves = range(1, generator.integers(2, 6))
    shape = sum(
        (generator.normal() / wave**0.7 * np.cos(wave * turn + generator.uniform(0, 2 * np.pi)) for wave in waves),
        np.zeros(STEPS_PER_DAY),
    )
    return np.exp(generator.uniform(0.5, 2) * shape) if kind < 0.4 else shape


def _jobs(generator: np.random.Generator, steps: int) -> Path:
    """Return scheduled work: one pulse a period, with random delay and length."""
    hour = STEPS_PER_HOUR
    day, week = STEPS_PER_DAY, STEPS_PER_WEEK
    odd = int(generator.integers(10, 600))
    period = int(_one_of(generator, hour, 3 * hour, 6 * hour, 12 * hour, day, day, day, week, odd))
    usual = min(_one_of(generator, 1, 2, 6, 18, 48) * generator.uniform(0.5, 1.5), period // 2)
    starts = np.arange(generator.integers(period), steps, period)
    lateness = generator.normal(0, _one_of(generator, 0, 0, 1, 4), len(starts))
    path = np.zeros(steps)
    for start in np.maximum(0, starts + lateness.astype(int)):
        length = max(1, int(usual * np.exp(generator.normal(0, 0.2))))
        path[start : start + length] += np.exp(generator.normal(0, 0.2))
    return path * _one_of(generator, 1, 1, 1, -1)


def _bursts(generator: np.random.Generator, steps: int) -> Path:
    """Return events at random times, most of them small; some fade."""
    count = generator.poisson(steps / STEPS_PER_DAY * _one_of(generator, 0.1, 0.5, 2, 8, 30))
    path = np.zeros(steps)
    for start in generator.integers(0, steps, count):
        length = min(max(1, int(generator.exponential(_one_of(generator, 1, 4, 20)))), steps - start)
        size = np.full(length, generator.pareto(2) + 0.3)
        if generator.random() < 0.3:
            size *= np.exp(-np.arange(length) / max(1, length / 2))
        path[start : start + length] = np.maximum(path[start : start + length], size)
    bounded: Path = np.clip(path, 0, 15)
    return bounded


def _shifts(generator: np.random.Generator, steps: int) -> Path:
    """Return levels that hold until the next deploy; half of the series return to earlier levels."""
    count = generator.poisson(steps / STEPS_PER_DAY * _one_of(generator, 0.02, 0.1, 0.5, 2))
    ends = np.append(np.sort(generator.integers(0, steps, count)), steps)
    known = generator.normal(0, 1, generator.integers(2, 5))
    levels = generator.normal(0, 1, len(ends)).cumsum()
    if generator.random() < 0.5:
        levels = generator.choice(known, len(ends))
    return np.repeat(levels, np.diff(ends, prepend=0))


def _growth(generator: np.random.Generator, steps: int) -> Path:
    """Return a random trend, or a level that fills and is cleared again."""
    if generator.random() < 0.4:
        wander = generator.normal(0, 1, steps).cumsum() / np.sqrt(steps)
        return np.asarray(wander * generator.uniform(1, 4) + generator.normal() * np.arange(steps) / steps)
    odd = int(generator.integers(100, 5000))
    period = int(_one_of(generator, STEPS_PER_DAY, STEPS_PER_WEEK, odd))
    filled = (np.arange(steps) + generator.integers(period)) % period / period
    return np.asarray(2 * filled ** _one_of(generator, 1, 1, 0.5, 2) * _one_of(generator, 1, 1, -1))


def _drift(generator: np.random.Generator, steps: int) -> Path:
    hours = _one_of(generator, 3, 12, 50)
    return _autoregressive(generator, steps, hours * STEPS_PER_HOUR) * float(np.exp(generator.normal(-0.7, 0.6)))


def _autoregressive(generator: np.random.Generator, steps: int, memory_steps: float) -> Path:
    """Return first-order autoregressive noise of about unit size, often with heavy-tailed shocks."""
    stays = np.exp(-1 / memory_steps)
    shocks = generator.standard_t(_one_of(generator, 2.5, 4, 30), steps)
    smoothed = pd.Series(shocks).ewm(alpha=1 - stays, adjust=False).mean().to_numpy()
    bounded: Path = np.clip(smoothed * np.sqrt((1 + stays) / (1 - stays)), -12, 12)
    return bounded


def _transformed(generator: np.random.Generator, path: Path) -> Path:
    """Return ``path`` transformed like a metric: skewed, saturated, mostly idle, rounded to a unit, or counted."""
    kind, deviation, seen = generator.random(), path.std() or 1, path
    standard = (path - path.mean()) / deviation
    if kind < 0.25:
        seen = np.exp(np.clip(standard, -6, 6) * generator.uniform(0.3, 1.2))
    elif kind < 0.35:
        seen = np.clip(standard, -generator.uniform(0.3, 1.5), generator.uniform(0.3, 2))
    elif kind < 0.45:
        seen = np.maximum(0, path - np.quantile(path, generator.uniform(0.3, 0.9)))
    elif kind < 0.52:
        unit = deviation * generator.uniform(0.2, 1.5)
        seen = np.round(path / unit) * unit
    elif kind < 0.57:
        rate = np.exp(np.clip(standard * generator.uniform(0.3, 1) + generator.uniform(-1, 3), -5, 7))
        seen = generator.poisson(rate).astype(np.float64)
    return seen


def _one_of(generator: np.random.Generator, *choices: float) -> float:
    return float(generator.choice(np.array(choices, dtype=np.float64)))


_COMPONENTS: tuple[tuple[Component, float], ...] = (
    (_rhythm, 0.7),
    (_jobs, 0.4),
    (_bursts, 0.45),
    (_shifts, 0.35),
    (_growth, 0.2),
    (_drift, 0.3),
)
