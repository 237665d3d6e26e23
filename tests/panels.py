"""Panels for tests that forecast and train."""

import numpy as np

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Panel, Samples, SeriesKey

START = 1_767_571_200  # 2026-01-05T00:00:00Z, a Monday


def daily_panel(servers: int = 4, days: float = 8, seed: int = 0, missing: float = 0.01) -> Panel:
    """Return two metrics per server with a daily rhythm, autocorrelated noise and missing samples."""
    random = np.random.default_rng(seed)
    steps = int(days * STEPS_PER_DAY)
    keys = tuple(SeriesKey(f"server-{n:02}", metric) for n in range(servers) for metric in ("cpu", "mem"))
    time = np.arange(steps) / STEPS_PER_DAY
    noise = random.normal(size=(len(keys), steps)).cumsum(axis=1) * 0.2
    noise -= noise.mean(axis=1, keepdims=True)
    phase = random.uniform(0, 1, (len(keys), 1))
    values = 50 + 20 * np.sin(2 * np.pi * (time + phase)) + noise + random.normal(size=noise.shape)
    values[random.random(values.shape) < missing] = np.nan
    return Panel(keys, START, np.clip(values, 0, 100).astype(np.float32), {"server-00": "database"})


def noons(days: int = 28, servers: int = 3, seed: int = 0) -> Panel:
    """Return three servers: the first is past 90 every noon, the second on some days, the third never."""
    random = np.random.default_rng(seed)
    steps = np.arange(days * 288)
    noon = (steps % 288 >= 144) & (steps % 288 < 168)
    some_days = np.repeat(random.random(days) < 0.4, 288)
    values = np.full((3, len(steps)), 40.0) + random.normal(0, 1, (3, len(steps)))
    values[0] += 55 * noon
    values[1] += 55 * (noon & some_days)
    keys = tuple(SeriesKey(f"s{row}", "load") for row in range(servers))
    return Panel(keys, START, values[:servers].astype(np.float32))


def panel_of(samples: Samples) -> Panel:
    """Return the samples, one at least, as a panel from their first to their last time."""
    start = int(samples.timestamps.min())
    columns = (samples.timestamps - start) // STEP_SECONDS
    values = np.full((len(samples.keys), int(columns.max()) + 1), np.nan, dtype=np.float32)
    values[samples.series, columns] = samples.values
    return Panel(samples.keys, start, values, samples.profiles)
