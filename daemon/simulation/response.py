"""The response of servers to their load: from traffic, work and incidents to the fourteen metrics.

The coefficients are set by hand.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daemon.core.series import Float32
from daemon.simulation.disturbance import Disturbance
from daemon.simulation.events import ReleaseLevels
from daemon.simulation.noise import Component
from daemon.simulation.profile import Traits
from daemon.simulation.work import Effect

METRICS = (
    "cpu_user_pct",
    "cpu_system_pct",
    "cpu_iowait_pct",
    "cpu_busy_pct",
    "mem_used_pct",
    "swap_used_pct",
    "disk_used_pct",
    "disk_busy_pct",
    "net_in_mb_s",
    "net_out_mb_s",
    "load_per_core",
    "tcp_close_wait",
    "gpu_util_pct",
    "gpu_mem_used_pct",
)
# a link of 10 Gbit/s
LINK_MB_S = 1250.0
MOST_STOLEN_PCT = 12.0
# the part of the memory without traffic that a process fills only after its start
CACHED_SHARE = 0.5


class Processor(NamedTuple):
    """Percent of all cores, ``(servers, steps)`` each; ``demand`` can exceed 100, ``overload`` is a ratio."""

    user: Float32
    system: Float32
    iowait: Float32
    busy: Float32
    demand: Float32
    overload: Float32


@dataclass(frozen=True)
class Load:
    """The load on the servers of a fleet in one day.

    Attributes:
        traits: traits of every server, ``(servers, 1)`` a field.
        expected: expected traffic, a multiple of the mean, ``(servers, steps)``.
        wander: change of log traffic from day to day, ``(servers, steps)``.
        noise: noise of unit variance, ``(components, servers, steps)``.
        shared: noise of log traffic that the servers of a profile share, ``(servers, steps)``.
        work: effect of batch runs and jobs, ``(effects, servers, steps)``.
        disturbance: effect of active incidents.
        release: effect of the running release.
        disk_fill: percent above the cleared disk, ``(servers, steps)``.
        memory_fill: percent above cleared caches, ``(servers, steps)``.
        has_swap: 1 or 0, ``(servers, 1)``.
        warmth: filled part of the caches since the last reboot, 0 to 1, ``(servers, steps)``.
    """

    traits: Traits[Float32]
    expected: Float32
    wander: Float32
    noise: Float32
    shared: Float32
    work: Float32
    disturbance: Disturbance
    release: ReleaseLevels
    disk_fill: Float32
    memory_fill: Float32
    has_swap: Float32
    warmth: Float32


def respond(load: Load) -> Float32:
    """Return the metrics, ``(servers, METRICS, steps)``, each in the range of its unit."""
    noise, work, traits = load.noise, load.work, load.traits
    traffic = _traffic(load)
    memory = _memory(load, traffic)
    swap = _swap(load, memory)
    swapping = np.maximum(memory - 90, 0) * load.has_swap
    disk_busy = _disk_busy(load, traffic, swapping)
    processor = _processor(load, traffic, disk_busy)
    values = np.stack(
        [
            processor.user,
            processor.system,
            processor.iowait,
            processor.busy,
            _saturated(memory),
            swap,
            _disk_used(load),
            disk_busy,
            _network(traits.network.in_mb_s, traffic, noise[Component.NET_IN], work[Effect.NET_IN]),
            _network(traits.network.out_mb_s, traffic, noise[Component.NET_OUT], work[Effect.NET_OUT]),
            _load_per_core(load, processor, disk_busy),
            _close_wait(load, traffic, processor),
            *_gpu(load, traffic),
        ],
        axis=1,
    )
    return values.astype(np.float32, copy=False)


def _traffic(load: Load) -> Float32:
    noise, traits = load.noise, load.traits.noise
    own = traits.fast * noise[Component.TRAFFIC_FAST] + traits.middle * noise[Component.TRAFFIC_MIDDLE]
    own = own + traits.slow * noise[Component.TRAFFIC_SLOW]
    log_traffic = np.sqrt(1 - traits.shared**2) * own + traits.shared * load.shared
    bursts = load.traits.bursts.size * noise[Component.TRAFFIC_BURST]
    usual = load.expected * np.exp(np.clip(log_traffic + load.wander, -3, 2.5))
    traffic: Float32 = (usual + bursts) * load.disturbance.traffic
    return traffic


def _memory(load: Load, traffic: Float32) -> Float32:
    traits, noise = load.traits.memory, load.noise
    wander = 0.6 * noise[Component.MEMORY] + 0.8 * noise[Component.MEMORY_SLOW]
    usual = traits.base_pct + load.memory_fill + load.release.mem_pct
    # memory grows more slowly than traffic, because buffers are reused
    in_use = traits.traffic_pct * np.minimum(np.sqrt(traffic), 3) + load.work[Effect.MEM]
    memory: Float32 = usual + in_use + traits.noise_pct * wander + load.disturbance.memory
    cold = (1 - load.warmth) * np.float32(CACHED_SHARE) * (traits.base_pct + load.memory_fill)
    return np.maximum(memory - cold, 1)


def _swap(load: Load, memory: Float32) -> Float32:
    resting = load.traits.memory.swap_pct * np.exp(0.3 * load.noise[Component.MEMORY_SLOW])
    return _saturated(resting * load.warmth + 4 * np.maximum(memory - 86, 0) + load.disturbance.swap)


def _disk_used(load: Load) -> Float32:
    # temporary files; a disk that fills faster has more of them
    temporary = 0.08 * (1 + load.traits.disk.growth_pct_day) * np.abs(load.noise[Component.DISK_SPACE])
    lasting = load.traits.disk.base_pct + load.disk_fill + load.disturbance.disk
    return _saturated(lasting + load.work[Effect.DISK] + temporary)


def _disk_busy(load: Load, traffic: Float32, swapping: Float32) -> Float32:
    traits, noise = load.traits.disk, load.noise
    usual = (traits.busy_pct + traits.traffic_pct * traffic) * np.exp(0.3 * noise[Component.DISK])
    added = traits.burst_pct * noise[Component.DISK_BURST] + load.work[Effect.IO] + load.disturbance.io
    return _saturated(usual + added + 4 * swapping)


def _processor(load: Load, traffic: Float32, disk_busy: Float32) -> Processor:
    traits = load.traits
    usual = traits.processor.idle_pct + traits.processor.traffic_pct * load.release.cpu_ratio * traffic
    usual = usual * np.exp(0.08 * load.noise[Component.CPU]) + load.disturbance.cpu
    working = usual + load.work[Effect.CPU] * np.exp(0.05 * load.noise[Component.CPU])
    system = traits.processor.system_ratio * working + 0.02 * disk_busy
    user = (1 - traits.processor.system_ratio) * working
    stolen = traits.processor.steal_pct * np.exp(0.5 * load.noise[Component.LOAD])
    steal = np.minimum(stolen, MOST_STOLEN_PCT) + load.disturbance.steal
    # only a core without other work waits for a disk
    free = np.maximum(1 - working / 130, 0.1)
    waiting = traits.disk.iowait_ratio * disk_busy * free + load.disturbance.iowait * free
    demand = user + system + waiting + steal
    scale = _saturated(demand) / np.maximum(demand, np.float32(1e-6))
    user, system, waiting, steal = user * scale, system * scale, waiting * scale, steal * scale
    busy = np.minimum(user + system + waiting + steal, 100)
    overload = np.maximum(demand - 85, 0) / np.float32(100)
    return Processor(user, system, waiting, busy, demand, overload)


def _load_per_core(load: Load, processor: Processor, disk_busy: Float32) -> Float32:
    # above saturation the run queue grows faster than the demand
    queue = processor.demand / 100 + 3 * processor.overload + 0.003 * disk_busy + load.disturbance.queue
    per_core: Float32 = queue * np.exp(0.1 * load.noise[Component.LOAD])
    return per_core


def _close_wait(load: Load, traffic: Float32, processor: Processor) -> Float32:
    waver = np.exp(0.3 * load.noise[Component.SOCKETS])
    mean = load.traits.network.close_wait * traffic * waver * (1 + 4 * processor.overload)
    # a leak adds sockets per request, so it varies with the traffic
    mean = mean + load.disturbance.sockets * np.exp(0.08 * load.noise[Component.SOCKETS])
    count: Float32 = mean + np.sqrt(mean) * load.noise[Component.SOCKETS_COUNT]
    return np.rint(np.maximum(count, 0))


def _network(at_mean: Float32, traffic: Float32, noise: Float32, work: Float32) -> Float32:
    rate: Float32 = (at_mean * traffic + work) * np.exp(0.18 * noise)
    return np.minimum(rate, LINK_MB_S)


def _gpu(load: Load, traffic: Float32) -> tuple[Float32, Float32]:
    work, noise, traits = load.work, load.noise, load.traits.gpu
    # the GPU waits while a job reads data or writes a checkpoint
    stalled = np.clip(1 - 0.3 * noise[Component.GPU_STALL], 0.05, 1)
    training = work[Effect.GPU] * stalled * np.exp(0.06 * noise[Component.GPU])
    serving = traits.traffic_pct * traffic * np.exp(0.15 * noise[Component.GPU])
    held = traits.mem_pct * np.exp(0.02 * noise[Component.MEMORY_SLOW]) + work[Effect.GPU_MEM]
    held = held + load.disturbance.gpu_memory
    return _saturated(training + serving), _saturated(held)


def _saturated(demand: Float32) -> Float32:
    """Return percent, 0 to 100: equal to ``demand`` up to 90, and approaching 100 above."""
    ceiling: Float32 = 90 + 10 * np.tanh(np.maximum(demand - 90, 0) / 10)
    return np.clip(demand, np.float32(0), ceiling)
