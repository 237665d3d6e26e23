"""The effect of active incidents on the load of their servers: one function for each kind.

The sizes are set by hand; docs/simulator.md describes what each kind looks like.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from daemon.core.series import STEP_SECONDS, Float32
from daemon.simulation.outbreak import Outbreak
from daemon.simulation.profile import Traits

# upper limits of the factor on traffic, and of the stolen CPU
LARGEST_SURGE = 16.0
MOST_STOLEN_BY_INCIDENT_PCT = 60.0


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """The effect of incidents, ``(servers, steps)`` each: ``traffic`` is a factor, the others are added.

    Attributes:
        traffic: a factor.
        cpu: percent of all cores at work.
        memory: percent of memory.
        disk: percent of disk space.
        io: percent of disk time.
        sockets: sockets in CLOSE_WAIT.
        swap: percent of swap.
        iowait: percent of all cores that would wait for a slow disk if all were idle.
        steal: percent of all cores taken by another guest.
        queue: waiting processes per core.
        gpu_memory: percent of the memory of the GPU.
    """

    traffic: Float32
    cpu: Float32
    memory: Float32
    disk: Float32
    io: Float32
    sockets: Float32
    swap: Float32
    iowait: Float32
    steal: Float32
    queue: Float32
    gpu_memory: Float32

    @classmethod
    def none(cls, servers: int, steps: int) -> "Disturbance":
        """Return no disturbance."""
        shape = (servers, steps)
        nothing = {field.name: np.zeros(shape, np.float32) for field in fields(cls)[1:]}
        return cls(traffic=np.ones(shape, np.float32), **nothing)


@dataclass(frozen=True, kw_only=True)
class _Usual:
    """The usual levels of a server, in percent: the rise to a peak starts there."""

    busy: float
    per_traffic: float
    memory: float
    disk: float
    swap: float
    gpu_memory: float

    @classmethod
    def of(cls, traits: Traits[Float32], row: int) -> "_Usual":
        memory, disk = traits.memory, traits.disk
        idle, per_traffic = float(traits.processor.idle_pct[row, 0]), float(traits.processor.traffic_pct[row, 0])
        return cls(
            busy=idle + per_traffic,
            per_traffic=per_traffic,
            memory=float(memory.base_pct[row, 0] + memory.growth_pct_day[row, 0] * memory.cycle_days[row, 0] / 2),
            disk=float(disk.base_pct[row, 0] + disk.growth_pct_day[row, 0] * disk.cycle_days[row, 0] / 2),
            swap=float(memory.swap_pct[row, 0]),
            gpu_memory=float(traits.gpu.mem_pct[row, 0]),
        )


# by field of Disturbance, ``(steps,)`` each; for traffic, the factor minus 1
_Parts = dict[str, Float32]


def disturb(outbreaks: Iterable[Outbreak], traits: Traits[Float32], timestamps: npt.NDArray[np.int64]) -> Disturbance:
    """Return the total effect of ``outbreaks`` at ``timestamps`` (epoch seconds).

    Raises:
        ValueError: the kind of an outbreak is unknown.
    """
    total = Disturbance.none(len(traits.processor.idle_pct), len(timestamps))
    for one in outbreaks:
        if one.kind not in _EFFECTS:
            raise ValueError(f"{one.kind!r} is no kind of incident")
        for name, part in _EFFECTS[one.kind](one, _Usual.of(traits, one.row), timestamps).items():
            if name == "traffic":
                total.traffic[one.row] *= 1 + part
            else:
                getattr(total, name)[one.row] += part
    return total


def _memory_leak(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    return {"memory": (one.peak - usual.memory) * size, "cpu": 5 * size}


def _disk_fill(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    return {"disk": (one.peak - usual.disk) * size, "io": 8 * size}


def _log_storm(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    # the storm writes at full speed from the start; only the written data grows
    writing = (size > 0).astype(np.float32)
    return {"disk": (one.peak - usual.disk) * size, "io": 35 * writing, "cpu": 10 * writing}


def _traffic_surge(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    factor = min((one.peak - usual.busy) / usual.per_traffic + 1, LARGEST_SURGE)
    return {"traffic": max(factor - 1, 1) * one.size(timestamps)}


def _connection_leak(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    return {"sockets": one.peak * size, "memory": 4 * size}


def _runaway_job(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    return {"cpu": max(one.peak - usual.busy, 10) * one.size(timestamps)}


def _gc_pressure(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    # the heap fills between two full collections, and the collector works harder; at full size it works all the time
    tooth = _phase(one, timestamps, 4, 9)
    pause = 0.65 * (1 - tooth) * np.minimum(2 * (1 - size), 1)
    cpu = max(one.peak - usual.busy, 15) * size * (1 - pause)
    return {"cpu": cpu.astype(np.float32), "memory": 10 * size + 5 * size * tooth}


def _swap_thrash(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    # memory is short first; then pages move to swap and back
    memory, swapping = np.minimum(1.6 * size, 1), np.maximum(size - 0.2, 0) / np.float32(0.8)
    full, swapped = 92.0, 4 * (92.0 - 86.0)
    return {
        "memory": max(full - usual.memory, 4) * memory,
        "swap": max(one.peak - swapped - usual.swap, 20) * swapping,
        "io": 40 * swapping,
        "iowait": 20 * swapping,
        "cpu": 6 * swapping,
        "queue": np.float32(1.2) * swapping,
    }


def _slow_io(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    return {
        "iowait": one.peak * size,
        "io": 55 * size,
        "queue": one.peak / 30 * size,
        "sockets": 20 * size,
    }


def _gpu_memory_exhaustion(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    return {"gpu_memory": (one.peak - usual.gpu_memory) * one.size(timestamps)}


def _noisy_neighbour(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    steal = min(max(one.peak - usual.busy, 10), MOST_STOLEN_BY_INCIDENT_PCT) * size
    return {"steal": steal, "iowait": 8 * size, "queue": steal / 60}


def _failed_batch(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    # it runs, fails, waits and runs again, each time with more work
    running = one.size(timestamps) * (_phase(one, timestamps, 8, 20) < 0.7)
    return {"cpu": max(one.peak - usual.busy, 15) * running, "io": 30 * running, "memory": 3 * running}


def _cascade(one: Outbreak, usual: _Usual, timestamps: npt.NDArray[np.int64]) -> _Parts:
    size = one.size(timestamps)
    # requests wait for the answer: sockets and buffers stay open, time-outs and retries cost CPU
    return {
        "sockets": one.peak * size,
        "cpu": (4 + 0.5 * usual.per_traffic) * size,
        "memory": 3 * size,
        "queue": 0.4 * size,
    }


def _phase(one: Outbreak, timestamps: npt.NDArray[np.int64], fewest: int, most: int) -> Float32:
    """Return the position, 0 to 1, in a cycle of ``fewest`` to ``most`` steps; its length follows from the start."""
    period = fewest + one.start // STEP_SECONDS % (most - fewest + 1)
    phase: Float32 = ((timestamps - one.start) // STEP_SECONDS % period / period).astype(np.float32)
    return phase


_EFFECTS: Mapping[str, Callable[[Outbreak, _Usual, npt.NDArray[np.int64]], _Parts]] = {
    "memory_leak": _memory_leak,
    "disk_fill": _disk_fill,
    "log_storm": _log_storm,
    "traffic_surge": _traffic_surge,
    "connection_leak": _connection_leak,
    "runaway_job": _runaway_job,
    "gc_pressure": _gc_pressure,
    "swap_thrash": _swap_thrash,
    "slow_io": _slow_io,
    "gpu_memory_exhaustion": _gpu_memory_exhaustion,
    "noisy_neighbour": _noisy_neighbour,
    "failed_batch": _failed_batch,
    "cascade": _cascade,
}
