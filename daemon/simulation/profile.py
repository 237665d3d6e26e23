"""The seven kinds of server: what each is made of and what it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from daemon.simulation.traits import (
    Bursts,
    Disk,
    Gpu,
    Memory,
    Network,
    Noise,
    Processor,
    Range,
    Rhythm,
    Traits,
    Work,
)

NOTHING: Range = (0, 0)


@dataclass(frozen=True)
class Profile:
    """One kind of server.

    Attributes:
        prefix: of the server's id.
        share: servers of it in a fleet of twenty.
        traits: the ranges that its servers are drawn from.
        work: its batch runs and jobs.
        gpu_every: every nth server has a GPU, from the first; 0 is none.
        swap_chance: the probability that a server has swap at all.
        incidents: how much more often than others it has a kind of incident; a kind not named does not happen.
        closes_months: whether its runs have more to do at the turn of a month.
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
    """Return a job that people hand in on most days, mostly by day; ``sizes`` are fields of `Work`."""
    run = _run((8, 19), hours, (0.15, 0.5), (2, 5), **sizes)
    return replace(run, chance=chance, hours_spread=(0.6, 1.0))


# Tables, a line for each group of traits: set by hand, since one number a line would be four hundred of them.
ML_COMPUTE = Profile(
    "ml-compute",
    4,
    Traits(
        Rhythm(amplitude=(0.1, 0.4), second_harmonic=(0, 0.2), peak_hour=(12, 17), weekend_ratio=(0.5, 0.95)),
        Noise(fast=(0.06, 0.2), middle=(0.1, 0.3), slow=(0.1, 0.3), shared=(0.1, 0.4), memory_ratio=(0.6, 2)),
        Bursts(per_day=(0.3, 2), size=(0.3, 1), fade_steps=(1, 5)),
        Processor(idle_pct=(1.5, 4), traffic_pct=(3, 14), system_ratio=(0.06, 0.14), steal_pct=NOTHING),
        Memory((14, 30), (1, 5), (0.6, 1.8), (0.2, 0.8), (3, 12), swap_pct=(0.1, 2)),
        Disk((35, 56), (0.8, 2.2), (5, 10),
             busy_pct=(1, 5), traffic_pct=(2, 8), burst_pct=(6, 20), iowait_ratio=(0.03, 0.1)),
        Network(in_mb_s=(2, 20), out_mb_s=(0.8, 8), close_wait=(1, 6)),
        Gpu(traffic_pct=(0, 25), mem_pct=(4, 22)),
    ),
    (
        _job((0.45, 0.85), (4, 12), cpu_pct=(15, 38), io_pct=(8, 25), net_in_mb_s=(10, 90), mem_pct=(10, 26),
             disk_pct=(0.5, 2), gpu_pct=(50, 88), gpu_mem_pct=(30, 55)),
        _job((0.3, 0.8), (0.7, 3), cpu_pct=(8, 24), io_pct=(5, 15), net_in_mb_s=(5, 40), mem_pct=(4, 12),
             gpu_pct=(20, 55), gpu_mem_pct=(10, 22)),
        _job((0.3, 0.7), (0.3, 1.2), cpu_pct=(15, 35), io_pct=(15, 40), net_in_mb_s=(10, 60), disk_pct=(0.5, 2)),
        _run((0, 5), (0.3, 1), io_pct=(15, 40), net_out_mb_s=(20, 90), cpu_pct=(2, 7)),
    ),
    gpu_every=1,
    swap_chance=0.5,
    incidents={"memory_leak": 2, "disk_fill": 3, "runaway_job": 2, "gpu_memory_exhaustion": 3, "log_storm": 1,
               "slow_io": 1, "swap_thrash": 1},
)  # fmt: skip

DATABASE = Profile(
    "db",
    3,
    Traits(
        Rhythm(amplitude=(0.3, 0.6), second_harmonic=(0.1, 0.3), peak_hour=(12, 16), weekend_ratio=(0.55, 0.9)),
        Noise(fast=(0.06, 0.15), middle=(0.07, 0.18), slow=(0.08, 0.18), shared=(0.4, 0.7), memory_ratio=(0.6, 1.8)),
        Bursts(per_day=(1, 4), size=(0.25, 0.7), fade_steps=(1, 6)),
        Processor(idle_pct=(1.5, 4), traffic_pct=(9, 28), system_ratio=(0.12, 0.24), steal_pct=NOTHING),
        Memory((60, 76), (0.5, 2.5), (0.3, 1), (0.05, 0.3), (7, 21), swap_pct=(0.5, 6)),
        Disk((42, 60), (0.35, 1.1), (7, 14),
             busy_pct=(3, 10), traffic_pct=(8, 26), burst_pct=(8, 25), iowait_ratio=(0.06, 0.2)),
        Network(in_mb_s=(1.5, 12), out_mb_s=(4, 40), close_wait=(1, 8)),
        Gpu(NOTHING, NOTHING),
    ),
    (
        _run((1, 4), (0.8, 2.8), io_pct=(30, 60), cpu_pct=(6, 16), net_out_mb_s=(30, 130), disk_pct=(2, 7)),
        _run((5, 6.5), (0.3, 1), io_pct=(12, 30), cpu_pct=(8, 22)),
        _job((0.25, 0.7), (0.2, 1), cpu_pct=(12, 30), io_pct=(15, 40), mem_pct=(1, 4), disk_pct=(0.5, 3)),
    ),
    gpu_every=0,
    swap_chance=0.8,
    incidents={"memory_leak": 1, "disk_fill": 3, "connection_leak": 2, "runaway_job": 3, "traffic_surge": 1,
               "slow_io": 3, "swap_thrash": 2, "failed_batch": 2, "log_storm": 1},
    closes_months=True,
)  # fmt: skip

WEB_API = Profile(
    "web",
    4,
    Traits(
        Rhythm(amplitude=(0.4, 0.72), second_harmonic=(0.08, 0.3), peak_hour=(13, 18), weekend_ratio=(0.55, 1.05)),
        Noise(fast=(0.06, 0.13), middle=(0.08, 0.18), slow=(0.08, 0.2), shared=(0.6, 0.9), memory_ratio=(0.7, 1.6)),
        Bursts(per_day=(0.5, 3), size=(0.25, 0.6), fade_steps=(1, 8)),
        Processor(idle_pct=(1, 3), traffic_pct=(12, 32), system_ratio=(0.18, 0.3), steal_pct=(0.02, 0.8)),
        Memory((32, 58), (2, 7), (0.5, 1.5), (0.5, 2), (1, 7), swap_pct=(0.1, 2)),
        Disk((25, 50), (1, 3), (1, 7),
             busy_pct=(0.5, 2.5), traffic_pct=(1, 5), burst_pct=(3, 12), iowait_ratio=(0.02, 0.08)),
        Network(in_mb_s=(2, 14), out_mb_s=(6, 60), close_wait=(6, 40)),
        Gpu(NOTHING, NOTHING),
    ),
    (_run((2, 5), (0.1, 0.5), io_pct=(10, 30), cpu_pct=(3, 10), net_out_mb_s=(2, 15)),),
    gpu_every=0,
    swap_chance=0.4,
    incidents={"memory_leak": 3, "disk_fill": 1, "connection_leak": 3, "runaway_job": 1, "traffic_surge": 4,
               "gc_pressure": 2, "log_storm": 2, "noisy_neighbour": 2, "swap_thrash": 1},
)  # fmt: skip

CONDUCTOR_MGMT = Profile(
    "conductor",
    1,
    Traits(
        Rhythm(amplitude=(0.1, 0.3), second_harmonic=(0, 0.15), peak_hour=(9, 15), weekend_ratio=(0.6, 0.9)),
        Noise(fast=(0.08, 0.2), middle=(0.05, 0.15), slow=(0.05, 0.15), shared=(0.1, 0.3), memory_ratio=(0.4, 1.2)),
        Bursts(per_day=(4, 24), size=(0.3, 1.2), fade_steps=(0.5, 3)),
        Processor(idle_pct=(2, 5), traffic_pct=(3, 9), system_ratio=(0.22, 0.38), steal_pct=(0.02, 0.4)),
        Memory((36, 60), (0.5, 2), (0.3, 0.9), (0.2, 0.9), (7, 14), swap_pct=(0.2, 3)),
        Disk((28, 52), (0.5, 1.5), (7, 14),
             busy_pct=(1, 3), traffic_pct=(2, 6), burst_pct=(5, 15), iowait_ratio=(0.03, 0.1)),
        Network(in_mb_s=(0.3, 2), out_mb_s=(0.4, 3), close_wait=(3, 18)),
        Gpu(NOTHING, NOTHING),
    ),
    (
        _run((0, 3), (0.2, 0.8), io_pct=(20, 45), cpu_pct=(8, 18), net_out_mb_s=(5, 20)),
        _run((6, 8), (0.3, 1), (0.05, 0.2), cpu_pct=(8, 20), net_out_mb_s=(2, 10)),
    ),
    gpu_every=0,
    swap_chance=0.7,
    incidents={"memory_leak": 3, "disk_fill": 2, "connection_leak": 3, "runaway_job": 1, "gc_pressure": 1,
               "log_storm": 1, "noisy_neighbour": 1},
)  # fmt: skip

DATA_INGEST = Profile(
    "ingest",
    3,
    Traits(
        Rhythm(amplitude=(0.15, 0.5), second_harmonic=(0, 0.3), peak_hour=(0, 24), weekend_ratio=(0.6, 1.0)),
        Noise(fast=(0.1, 0.25), middle=(0.12, 0.3), slow=(0.12, 0.25), shared=(0.3, 0.6), memory_ratio=(0.6, 1.6)),
        Bursts(per_day=(2, 8), size=(0.4, 1.2), fade_steps=(1, 6)),
        Processor(idle_pct=(1.5, 3), traffic_pct=(9, 25), system_ratio=(0.2, 0.36), steal_pct=(0.02, 0.5)),
        Memory((38, 62), (2, 6), (0.6, 1.6), (0.3, 1.2), (2, 10), swap_pct=(0.2, 3)),
        Disk((32, 52), (2, 6), (1, 4),
             busy_pct=(4, 10), traffic_pct=(10, 25), burst_pct=(8, 20), iowait_ratio=(0.05, 0.15)),
        Network(in_mb_s=(10, 90), out_mb_s=(5, 45), close_wait=(2, 15)),
        Gpu(NOTHING, NOTHING),
    ),
    (
        _run((0, 24), (0.5, 2), cpu_pct=(12, 28), io_pct=(20, 40), net_in_mb_s=(20, 90), disk_pct=(2, 6)),
        _run((0, 24), (0.3, 1.5), cpu_pct=(8, 20), io_pct=(10, 30), net_in_mb_s=(15, 70), disk_pct=(1, 4)),
        _job((0.1, 0.4), (0.5, 3), cpu_pct=(10, 30), io_pct=(15, 35), net_in_mb_s=(20, 110), disk_pct=(2, 6)),
    ),
    gpu_every=0,
    swap_chance=0.6,
    incidents={"memory_leak": 2, "disk_fill": 4, "connection_leak": 1, "runaway_job": 1, "traffic_surge": 2,
               "log_storm": 2, "gc_pressure": 2, "slow_io": 1, "noisy_neighbour": 1, "failed_batch": 1},
)  # fmt: skip

RISK_ANALYTICS = Profile(
    "risk",
    3,
    Traits(
        Rhythm(amplitude=(0.35, 0.65), second_harmonic=(0, 0.25), peak_hour=(13, 17), weekend_ratio=(0.1, 0.4)),
        Noise(fast=(0.1, 0.22), middle=(0.12, 0.3), slow=(0.08, 0.2), shared=(0.3, 0.6), memory_ratio=(0.6, 1.6)),
        Bursts(per_day=(1, 5), size=(0.5, 1.5), fade_steps=(1, 8)),
        Processor(idle_pct=(1, 3), traffic_pct=(6, 22), system_ratio=(0.05, 0.12), steal_pct=NOTHING),
        Memory((28, 50), (2, 7), (0.6, 1.6), (0.2, 0.8), (1, 7), swap_pct=(0.1, 2)),
        Disk((32, 54), (0.6, 2), (5, 12),
             busy_pct=(1, 4), traffic_pct=(3, 10), burst_pct=(5, 15), iowait_ratio=(0.02, 0.08)),
        Network(in_mb_s=(2, 15), out_mb_s=(1, 8), close_wait=(1, 8)),
        Gpu(traffic_pct=(4, 18), mem_pct=(4, 14)),
    ),
    (
        _run((17.5, 20.5), (1.5, 5), (0.02, 0.1), (0.1, 0.4), cpu_pct=(32, 62), io_pct=(10, 25),
             net_in_mb_s=(10, 50), mem_pct=(6, 14), gpu_pct=(40, 75), gpu_mem_pct=(25, 50)),
        _run((5, 7), (0.4, 1.5), (0.02, 0.1), cpu_pct=(18, 40), mem_pct=(3, 8), net_out_mb_s=(5, 25),
             gpu_pct=(20, 50), gpu_mem_pct=(12, 25)),
        _job((0.3, 0.8), (0.3, 1.5), cpu_pct=(15, 42), io_pct=(4, 12), mem_pct=(2, 7), gpu_pct=(15, 45),
             gpu_mem_pct=(8, 20)),
    ),
    gpu_every=2,
    swap_chance=0.5,
    incidents={"memory_leak": 2, "disk_fill": 2, "runaway_job": 4, "failed_batch": 3, "gc_pressure": 1,
               "slow_io": 1, "gpu_memory_exhaustion": 1},
    closes_months=True,
)  # fmt: skip

GENERIC = Profile(
    "generic",
    2,
    Traits(
        Rhythm(amplitude=(0.05, 0.4), second_harmonic=(0, 0.3), peak_hour=(0, 24), weekend_ratio=(0.4, 1.0)),
        Noise(fast=(0.2, 0.45), middle=(0.2, 0.5), slow=(0.15, 0.4), shared=(0, 0.2), memory_ratio=(0.4, 2)),
        Bursts(per_day=(1, 12), size=(1, 5), fade_steps=(0.5, 12)),
        Processor(idle_pct=(0.3, 1.6), traffic_pct=(0.5, 4), system_ratio=(0.15, 0.35), steal_pct=(0.02, 1)),
        Memory((6, 55), (0.5, 4), (0.4, 1.6), (0.1, 0.5), (2, 14), swap_pct=(0.1, 8)),
        Disk((20, 60), (0.1, 1), (7, 21),
             busy_pct=(0.3, 2), traffic_pct=(0.5, 3), burst_pct=(5, 30), iowait_ratio=(0.03, 0.2)),
        Network(in_mb_s=(0.02, 2), out_mb_s=(0.01, 2), close_wait=(0, 6)),
        Gpu(NOTHING, NOTHING),
    ),
    (
        _run((0, 6), (0.1, 1.2), io_pct=(10, 50), cpu_pct=(2, 15), net_out_mb_s=(1, 30), disk_pct=(0, 2)),
        _job((0.1, 0.6), (0.3, 6), cpu_pct=(8, 50), io_pct=(2, 20), mem_pct=(1, 15), net_in_mb_s=(0.5, 20)),
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
