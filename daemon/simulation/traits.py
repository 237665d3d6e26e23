"""What makes one server differ from the next: one record for ranges, a server or a fleet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from daemon.domain.series import Float32

S = TypeVar("S")
T = TypeVar("T")

Range = tuple[float, float]
LOG_SCALE_RATIO = 4


@dataclass(frozen=True)
class Rhythm(Generic[T]):
    """The expected traffic over day and week; hours are UTC, ratios are of the mean or of a weekday."""

    amplitude: T
    second_harmonic: T
    peak_hour: T
    weekend_ratio: T


@dataclass(frozen=True)
class Noise(Generic[T]):
    """Standard deviations of log traffic: minutes, hours, a day and days of memory; the profile's part of it."""

    fast: T
    middle: T
    slow: T
    wander: T
    shared: T
    memory_ratio: T


@dataclass(frozen=True)
class Bursts(Generic[T]):
    """Jumps of traffic without warning: how often, how high in mean traffic, and how slowly they fade."""

    per_day: T
    size: T
    fade_steps: T


@dataclass(frozen=True)
class Processor(Generic[T]):
    """Percent of all cores: at rest, for mean traffic, stolen; and the kernel's share of the work."""

    idle_pct: T
    traffic_pct: T
    system_ratio: T
    steal_pct: T


@dataclass(frozen=True)
class Memory(Generic[T]):
    """Percent of memory; caches grow by the day and are dropped at a restart every cycle."""

    base_pct: T
    traffic_pct: T
    noise_pct: T
    growth_pct_day: T
    cycle_days: T
    swap_pct: T


@dataclass(frozen=True)
class Disk(Generic[T]):
    """Space in percent, filled by the day and cleaned every cycle; busy time in percent; the iowait it costs."""

    base_pct: T
    growth_pct_day: T
    cycle_days: T
    busy_pct: T
    traffic_pct: T
    burst_pct: T
    iowait_ratio: T


@dataclass(frozen=True)
class Network(Generic[T]):
    """Megabytes per second and sockets in CLOSE_WAIT, at mean traffic."""

    in_mb_s: T
    out_mb_s: T
    close_wait: T


@dataclass(frozen=True)
class Gpu(Generic[T]):
    """Percent of the GPU for mean traffic, and of its memory at rest."""

    traffic_pct: T
    mem_pct: T


@dataclass(frozen=True)
class Traits(Generic[T]):
    """All of it. ``Traits[Range]`` is a profile, ``Traits[float]`` a server, ``Traits[Float32]`` a fleet."""

    rhythm: Rhythm[T]
    noise: Noise[T]
    bursts: Bursts[T]
    processor: Processor[T]
    memory: Memory[T]
    disk: Disk[T]
    network: Network[T]
    gpu: Gpu[T]


@dataclass(frozen=True)
class Work(Generic[T]):
    """Something that runs at most once a day: a backup at its hour, or a training job at any.

    ``chance`` is the probability of a run on a weekday; durations are log-normal around ``hours``; the rest
    is what a run of usual size adds to each metric.
    """

    chance: T
    weekend_chance: T
    start_hour: T
    start_spread_hours: T
    hours: T
    hours_spread: T
    cpu_pct: T
    io_pct: T
    net_in_mb_s: T
    net_out_mb_s: T
    mem_pct: T
    disk_pct: T
    gpu_pct: T
    gpu_mem_pct: T


def draw(record: Any, random: np.random.Generator) -> Any:
    """Return ``record`` with a number drawn from each range, in the order of its fields.

    A range whose ends differ by a factor of four or more is drawn on a logarithmic scale.
    """
    return _combine([record], lambda ranges: _draw_number(ranges[0], random))


def stack(records: Sequence[Any]) -> Any:
    """Return one record of ``(records, 1)`` float32 columns, ready to broadcast over steps."""
    return _combine(list(records), _column)


def _draw_number(limits: Range, random: np.random.Generator) -> float:
    low, high = limits
    part = random.random()
    if 0 < low * LOG_SCALE_RATIO <= high:
        return float(low * (high / low) ** part)
    return float(low + (high - low) * part)


def _column(numbers: Sequence[float]) -> Float32:
    return np.array(numbers, dtype=np.float32)[:, None]


def _combine(records: list[Any], combine: Callable[[list[Any]], Any]) -> Any:
    first = records[0]
    if not is_dataclass(first) or isinstance(first, type):
        return combine(records)
    parts = {f.name: _combine([getattr(record, f.name) for record in records], combine) for f in fields(first)}
    return type(first)(**parts)
