"""The seven profiles of servers: ranges of the traits of a server, its batch runs and jobs, and its incidents.

The records are generic: with `Range` fields they describe a profile, with `float` fields a server, and with arrays of
``(servers, 1)`` a whole fleet. `sample` makes a server of a profile, `stack` a fleet of servers. All ranges are set by
hand, so that each profile resembles servers of that use; docs/simulator.md describes them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from daemon.core.series import Float32

T = TypeVar("T")

Range = tuple[float, float]
NOTHING: Range = (0, 0)
# a range whose ends differ by this factor or more is sampled on a logarithmic scale
LOG_SCALE_RATIO = 4


@dataclass(frozen=True)
class Rhythm(Generic[T]):
    """The expected traffic over day and week: amplitudes relative to mean traffic, peak in hours UTC, weekend ratio."""

    amplitude: T
    second_harmonic: T
    peak_hour: T
    weekend_ratio: T


@dataclass(frozen=True)
class Noise(Generic[T]):
    """Standard deviations of log traffic, by time scale from minutes to days; the part that its profile shares."""

    fast: T
    middle: T
    slow: T
    wander: T
    shared: T
    memory_ratio: T


@dataclass(frozen=True)
class Bursts(Generic[T]):
    """Sudden jumps of traffic: number a day, size as a multiple of mean traffic, time constant in steps."""

    per_day: T
    size: T
    fade_steps: T


@dataclass(frozen=True)
class Processor(Generic[T]):
    """Percent of all cores in use without traffic, for mean traffic, and stolen; the part of the work in the kernel."""

    idle_pct: T
    traffic_pct: T
    system_ratio: T
    steal_pct: T


@dataclass(frozen=True)
class Memory(Generic[T]):
    """Percent of memory; caches grow from day to day and are cleared once a cycle."""

    base_pct: T
    traffic_pct: T
    noise_pct: T
    growth_pct_day: T
    cycle_days: T
    swap_pct: T


@dataclass(frozen=True)
class Disk(Generic[T]):
    """Percent of disk space, cleared once a cycle; busy time in percent; iowait as part of the busy time."""

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
    """Percent of the GPU at mean traffic, and of its memory when idle."""

    traffic_pct: T
    mem_pct: T


@dataclass(frozen=True)
class Traits(Generic[T]):
    """All traits: ``Traits[Range]`` of a profile, ``Traits[float]`` of a server, ``Traits[Float32]`` of a fleet."""

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
    """Work that runs at most once a day: a batch run at a fixed hour, or a job at any hour.

    ``chance`` is the probability of a run on a weekday. Durations are log-normal around ``hours``. The last eight
    fields are what a run of usual size adds to each metric, in its unit.
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


def sample(record: Any, random: np.random.Generator) -> Any:
    """Return ``record`` with a number sampled from each range, in the order of its fields.

    A range whose ends differ by a factor of LOG_SCALE_RATIO or more is sampled on a logarithmic scale.
    """
    return _combine([record], lambda ranges: _number(ranges[0], random))


def stack(records: Sequence[Any]) -> Any:
    """Return one record of float32 columns, ``(records, 1)`` each, which broadcast over steps."""
    return _combine(list(records), _column)


def _number(limits: Range, random: np.random.Generator) -> float:
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


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One profile.

    Attributes:
        prefix: prefix of the ids of its servers.
        share: number of its servers in a fleet of twenty.
        traits: ranges of the traits of its servers.
        work: its batch runs and jobs.
        gpu_every: one server in this many has a GPU, starting with the first; 0 is none.
        swap_chance: probability that a server has swap.
        incidents: relative frequency of each kind of incident; a kind that is not named does not happen.
        closes_months: whether its runs last longer at the turn of a month.
    """

    prefix: str
    share: int
    traits: Traits[Range]
    work: tuple[Work[Range], ...]
    gpu_every: int
    swap_chance: float
    incidents: Mapping[str, float]
    closes_months: bool = False


def _run(
    hour: Range,
    hours: Range,
    weekend_chance: Range = (0.97, 1),
    spread_hours: Range = (0.03, 0.15),
    **sizes: Range,
) -> Work[Range]:
    """Return a batch run at a fixed hour; ``sizes`` are fields of `Work`."""
    none: Work[Range] = Work(
        (0.96, 1), weekend_chance, hour, spread_hours, hours, (0.1, 0.3), *[NOTHING] * 8
    )  # fmt: skip
    return replace(none, **sizes)


def _job(chance: Range, hours: Range, **sizes: Range) -> Work[Range]:
    """Return a job that people submit on most days, mostly in working hours; ``sizes`` are fields of `Work`."""
    run = _run((8, 19), hours, (0.15, 0.5), (2, 5), **sizes)
    return replace(run, chance=chance, hours_spread=(0.6, 1.0))


# Tables with one line for each group of traits. They are not formatted: one number a line would be 400 lines.
ML_COMPUTE = Profile(
    prefix="ml-compute",
    share=4,
    traits=Traits(
        Rhythm(amplitude=(0.25, 0.9), second_harmonic=(0, 0.2), peak_hour=(12, 17), weekend_ratio=(0.94, 0.99)),
        Noise(fast=(0.072, 0.23), middle=(0.11, 0.33), slow=(0.01, 0.03), wander=(0.29, 0.64),
              shared=(0.1, 0.4), memory_ratio=(0.6, 2)),
        Bursts(per_day=(0.024, 0.2), size=(2.2, 7.4), fade_steps=(1, 5)),
        Processor(idle_pct=(1.5, 4), traffic_pct=(2.2, 10.5), system_ratio=(0.06, 0.14), steal_pct=NOTHING),
        Memory((14, 30), (1, 5), (0.9, 2.7), (0.12, 0.48), (3, 12), swap_pct=(0.1, 2)),
        Disk((35, 56), (0.56, 1.5), (5, 10),
             busy_pct=(1, 5), traffic_pct=(2, 8), burst_pct=(18, 60), iowait_ratio=(0.03, 0.1)),
        Network(in_mb_s=(2, 20), out_mb_s=(0.8, 8), close_wait=(1, 6)),
        Gpu(traffic_pct=(0, 25), mem_pct=(4, 22)),
    ),
    work=(
        _job((0.45, 0.85), (2, 6), cpu_pct=(6, 15.2), io_pct=(3.2, 10), net_in_mb_s=(4, 36), mem_pct=(10, 26),
             disk_pct=(0.5, 2), gpu_pct=(50, 88), gpu_mem_pct=(30, 55)),
        _job((0.3, 0.8), (0.35, 1.5), cpu_pct=(3.2, 9.6), io_pct=(2, 6), net_in_mb_s=(2, 16), mem_pct=(4, 12),
             gpu_pct=(20, 55), gpu_mem_pct=(10, 22)),
        _job((0.3, 0.7), (0.15, 0.6), cpu_pct=(6, 14), io_pct=(6, 16), net_in_mb_s=(4, 24), disk_pct=(0.5, 2)),
        _run((0, 5), (0.3, 1), io_pct=(6, 16), net_out_mb_s=(8, 36), cpu_pct=(0.8, 2.8)),
    ),
    gpu_every=1,
    swap_chance=0.5,
    incidents={"memory_leak": 2, "disk_fill": 3, "runaway_job": 2, "gpu_memory_exhaustion": 3, "log_storm": 1,
               "slow_io": 1, "swap_thrash": 1},
)  # fmt: skip

DATABASE = Profile(
    prefix="db",
    share=3,
    traits=Traits(
        Rhythm(amplitude=(0.74, 0.9), second_harmonic=(0.1, 0.3), peak_hour=(12, 16), weekend_ratio=(0.95, 0.99)),
        Noise(fast=(0.072, 0.18), middle=(0.076, 0.2), slow=(0.008, 0.018), wander=(0.36, 0.64),
              shared=(0.4, 0.7), memory_ratio=(0.6, 1.8)),
        Bursts(per_day=(0.097, 0.39), size=(1.9, 5.1), fade_steps=(1, 6)),
        Processor(idle_pct=(1.5, 4), traffic_pct=(6.8, 21), system_ratio=(0.12, 0.24), steal_pct=NOTHING),
        Memory((60, 76), (0.5, 2.5), (0.45, 1.5), (0.03, 0.18), (7, 21), swap_pct=(0.5, 6)),
        Disk((42, 60), (0.24, 0.77), (7, 14),
             busy_pct=(3, 10), traffic_pct=(8, 26), burst_pct=(24, 75), iowait_ratio=(0.06, 0.2)),
        Network(in_mb_s=(1.5, 12), out_mb_s=(4, 40), close_wait=(1, 8)),
        Gpu(NOTHING, NOTHING),
    ),
    work=(
        _run((1, 4), (0.8, 2.8), io_pct=(12, 24), cpu_pct=(2.4, 6.4), net_out_mb_s=(12, 52), disk_pct=(2, 7)),
        _run((5, 6.5), (0.3, 1), io_pct=(4.8, 12), cpu_pct=(3.2, 8.8)),
        _job((0.25, 0.7), (0.2, 1), cpu_pct=(4.8, 12), io_pct=(6, 16), mem_pct=(1, 4), disk_pct=(0.5, 3)),
    ),
    gpu_every=0,
    swap_chance=0.8,
    incidents={"memory_leak": 1, "disk_fill": 3, "connection_leak": 2, "runaway_job": 3, "traffic_surge": 1,
               "slow_io": 3, "swap_thrash": 2, "failed_batch": 2, "log_storm": 1},
    closes_months=True,
)  # fmt: skip

WEB_API = Profile(
    prefix="web",
    share=4,
    traits=Traits(
        Rhythm(amplitude=(0.85, 0.95), second_harmonic=(0.08, 0.3), peak_hour=(13, 18), weekend_ratio=(0.95, 1)),
        Noise(fast=(0.072, 0.15), middle=(0.085, 0.2), slow=(0.008, 0.02), wander=(0.29, 0.64),
              shared=(0.6, 0.9), memory_ratio=(0.7, 1.6)),
        Bursts(per_day=(0.048, 0.29), size=(1.9, 4.4), fade_steps=(1, 8)),
        Processor(idle_pct=(1, 3), traffic_pct=(9, 24), system_ratio=(0.18, 0.3), steal_pct=(0.02, 0.8)),
        Memory((32, 58), (2, 7), (0.75, 2.2), (0.3, 1.2), (1, 7), swap_pct=(0.1, 2)),
        Disk((25, 50), (0.7, 2.1), (1, 7),
             busy_pct=(0.5, 2.5), traffic_pct=(1, 5), burst_pct=(9, 36), iowait_ratio=(0.02, 0.08)),
        Network(in_mb_s=(2, 14), out_mb_s=(6, 60), close_wait=(6, 40)),
        Gpu(NOTHING, NOTHING),
    ),
    work=(_run((2, 5), (0.1, 0.5), io_pct=(4, 12), cpu_pct=(1.2, 4), net_out_mb_s=(0.8, 6)),),
    gpu_every=0,
    swap_chance=0.4,
    incidents={"memory_leak": 3, "disk_fill": 1, "connection_leak": 3, "runaway_job": 1, "traffic_surge": 4,
               "gc_pressure": 2, "log_storm": 2, "noisy_neighbour": 2, "swap_thrash": 1},
)  # fmt: skip

CONDUCTOR_MGMT = Profile(
    prefix="conductor",
    share=1,
    traits=Traits(
        Rhythm(amplitude=(0.25, 0.74), second_harmonic=(0, 0.15), peak_hour=(9, 15), weekend_ratio=(0.95, 0.99)),
        Noise(fast=(0.09, 0.23), middle=(0.06, 0.17), slow=(0.005, 0.015), wander=(0.29, 0.57),
              shared=(0.1, 0.3), memory_ratio=(0.4, 1.2)),
        Bursts(per_day=(0.39, 2.3), size=(2.2, 8.8), fade_steps=(0.5, 3)),
        Processor(idle_pct=(2, 5), traffic_pct=(2.2, 6.8), system_ratio=(0.22, 0.38), steal_pct=(0.02, 0.4)),
        Memory((36, 60), (0.5, 2), (0.45, 1.4), (0.12, 0.54), (7, 14), swap_pct=(0.2, 3)),
        Disk((28, 52), (0.35, 1), (7, 14),
             busy_pct=(1, 3), traffic_pct=(2, 6), burst_pct=(15, 45), iowait_ratio=(0.03, 0.1)),
        Network(in_mb_s=(0.3, 2), out_mb_s=(0.4, 3), close_wait=(3, 18)),
        Gpu(NOTHING, NOTHING),
    ),
    work=(
        _run((0, 3), (0.2, 0.8), io_pct=(8, 18), cpu_pct=(3.2, 7.2), net_out_mb_s=(2, 8)),
        _run((6, 8), (0.3, 1), (0.05, 0.2), cpu_pct=(3.2, 8), net_out_mb_s=(0.8, 4)),
    ),
    gpu_every=0,
    swap_chance=0.7,
    incidents={"memory_leak": 3, "disk_fill": 2, "connection_leak": 3, "runaway_job": 1, "gc_pressure": 1,
               "log_storm": 1, "noisy_neighbour": 1},
)  # fmt: skip

DATA_INGEST = Profile(
    prefix="ingest",
    share=3,
    traits=Traits(
        Rhythm(amplitude=(0.36, 0.9), second_harmonic=(0, 0.3), peak_hour=(0, 24), weekend_ratio=(0.95, 1)),
        Noise(fast=(0.12, 0.3), middle=(0.14, 0.33), slow=(0.012, 0.025), wander=(0.36, 0.7),
              shared=(0.3, 0.6), memory_ratio=(0.6, 1.6)),
        Bursts(per_day=(0.2, 0.77), size=(2.9, 8.8), fade_steps=(1, 6)),
        Processor(idle_pct=(1.5, 3), traffic_pct=(6.8, 18.8), system_ratio=(0.2, 0.36), steal_pct=(0.02, 0.5)),
        Memory((38, 62), (2, 6), (0.9, 2.4), (0.18, 0.72), (2, 10), swap_pct=(0.2, 3)),
        Disk((32, 52), (1.4, 4.2), (1, 4),
             busy_pct=(4, 10), traffic_pct=(10, 25), burst_pct=(24, 60), iowait_ratio=(0.05, 0.15)),
        Network(in_mb_s=(10, 90), out_mb_s=(5, 45), close_wait=(2, 15)),
        Gpu(NOTHING, NOTHING),
    ),
    work=(
        _run((0, 24), (0.5, 2), cpu_pct=(4.8, 11.2), io_pct=(8, 16), net_in_mb_s=(8, 36), disk_pct=(2, 6)),
        _run((0, 24), (0.3, 1.5), cpu_pct=(3.2, 8), io_pct=(4, 12), net_in_mb_s=(6, 28), disk_pct=(1, 4)),
        _job((0.1, 0.4), (0.5, 3), cpu_pct=(4, 12), io_pct=(6, 14), net_in_mb_s=(8, 44), disk_pct=(2, 6)),
    ),
    gpu_every=0,
    swap_chance=0.6,
    incidents={"memory_leak": 2, "disk_fill": 4, "connection_leak": 1, "runaway_job": 1, "traffic_surge": 2,
               "log_storm": 2, "gc_pressure": 2, "slow_io": 1, "noisy_neighbour": 1, "failed_batch": 1},
)  # fmt: skip

RISK_ANALYTICS = Profile(
    prefix="risk",
    share=3,
    traits=Traits(
        Rhythm(amplitude=(0.82, 0.95), second_harmonic=(0, 0.25), peak_hour=(13, 17), weekend_ratio=(0.65, 0.85)),
        Noise(fast=(0.12, 0.26), middle=(0.14, 0.33), slow=(0.008, 0.02), wander=(0.36, 0.7),
              shared=(0.3, 0.6), memory_ratio=(0.6, 1.6)),
        Bursts(per_day=(0.097, 0.48), size=(3.7, 11), fade_steps=(1, 8)),
        Processor(idle_pct=(1, 3), traffic_pct=(4.5, 16.5), system_ratio=(0.05, 0.12), steal_pct=NOTHING),
        Memory((28, 50), (2, 7), (0.9, 2.4), (0.12, 0.48), (1, 7), swap_pct=(0.1, 2)),
        Disk((32, 54), (0.42, 1.4), (5, 12),
             busy_pct=(1, 4), traffic_pct=(3, 10), burst_pct=(15, 45), iowait_ratio=(0.02, 0.08)),
        Network(in_mb_s=(2, 15), out_mb_s=(1, 8), close_wait=(1, 8)),
        Gpu(traffic_pct=(4, 18), mem_pct=(4, 14)),
    ),
    work=(
        _run((17.5, 20.5), (1.5, 5), (0.02, 0.1), (0.1, 0.4), cpu_pct=(12.8, 24.8), io_pct=(4, 10),
             net_in_mb_s=(4, 20), mem_pct=(6, 14), gpu_pct=(40, 75), gpu_mem_pct=(25, 50)),
        _run((5, 7), (0.4, 1.5), (0.02, 0.1), cpu_pct=(7.2, 16), mem_pct=(3, 8), net_out_mb_s=(2, 10),
             gpu_pct=(20, 50), gpu_mem_pct=(12, 25)),
        _job((0.3, 0.8), (0.3, 1.5), cpu_pct=(6, 16.8), io_pct=(1.6, 4.8), mem_pct=(2, 7), gpu_pct=(15, 45),
             gpu_mem_pct=(8, 20)),
    ),
    gpu_every=2,
    swap_chance=0.5,
    incidents={"memory_leak": 2, "disk_fill": 2, "runaway_job": 4, "failed_batch": 3, "gc_pressure": 1,
               "slow_io": 1, "gpu_memory_exhaustion": 1},
    closes_months=True,
)  # fmt: skip

GENERIC = Profile(
    prefix="generic",
    share=2,
    traits=Traits(
        Rhythm(amplitude=(0.13, 0.9), second_harmonic=(0, 0.3), peak_hour=(0, 24), weekend_ratio=(0.93, 1)),
        Noise(fast=(0.23, 0.53), middle=(0.22, 0.55), slow=(0.015, 0.04), wander=(0.43, 0.86),
              shared=(0, 0.2), memory_ratio=(0.4, 2)),
        Bursts(per_day=(0.097, 1.2), size=(3.6, 17.6), fade_steps=(0.5, 12)),
        Processor(idle_pct=(0.3, 1.6), traffic_pct=(0.38, 3), system_ratio=(0.15, 0.35), steal_pct=(0.02, 1)),
        Memory((6, 55), (0.5, 4), (0.6, 2.4), (0.06, 0.3), (2, 14), swap_pct=(0.1, 8)),
        Disk((20, 60), (0.07, 0.7), (7, 21),
             busy_pct=(0.3, 2), traffic_pct=(0.5, 3), burst_pct=(15, 90), iowait_ratio=(0.03, 0.2)),
        Network(in_mb_s=(0.02, 2), out_mb_s=(0.01, 2), close_wait=(0, 6)),
        Gpu(NOTHING, NOTHING),
    ),
    work=(
        _run((0, 6), (0.1, 1.2), io_pct=(4, 20), cpu_pct=(0.8, 6), net_out_mb_s=(0.4, 12), disk_pct=(0, 2)),
        _job((0.1, 0.6), (0.3, 6), cpu_pct=(3.2, 20), io_pct=(0.8, 8), mem_pct=(1, 15), net_in_mb_s=(0.2, 8)),
    ),
    gpu_every=0,
    swap_chance=0.6,
    incidents={"memory_leak": 2, "disk_fill": 2, "connection_leak": 1, "runaway_job": 2, "noisy_neighbour": 2,
               "slow_io": 1, "swap_thrash": 1, "log_storm": 1},
)  # fmt: skip

PROFILES: Mapping[str, Profile] = {
    "ml_compute": ML_COMPUTE,
    "database": DATABASE,
    "web_api": WEB_API,
    "conductor_mgmt": CONDUCTOR_MGMT,
    "data_ingest": DATA_INGEST,
    "risk_analytics": RISK_ANALYTICS,
    "generic": GENERIC,
}
