"""What the incidents under way do to the servers they are on."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.domain.series import Float32
from daemon.simulation.outbreak import Outbreak
from daemon.simulation.traits import Traits

LARGEST_SURGE = 12.0


@dataclass(frozen=True)
class Disturbance:
    """A factor on traffic, percent of cpu, memory, disk space and disk time, and sockets; ``(servers, steps)`` each."""

    traffic: Float32
    cpu: Float32
    memory: Float32
    disk: Float32
    io: Float32
    sockets: Float32

    @classmethod
    def none(cls, servers: int, steps: int) -> "Disturbance":
        """Return no disturbance."""
        shape = (servers, steps)
        return cls(np.ones(shape, np.float32), *(np.zeros(shape, np.float32) for _ in range(5)))


def disturb(outbreaks: Iterable[Outbreak], traits: Traits[Float32], timestamps: npt.NDArray[np.int64]) -> Disturbance:
    """Return the sum of ``outbreaks`` at ``timestamps``."""
    total = Disturbance.none(len(traits.processor.idle_pct), len(timestamps))
    for one in outbreaks:
        _add(one, traits, one.size(timestamps), total)
    return total


def _add(one: Outbreak, traits: Traits[Float32], size: Float32, total: Disturbance) -> None:
    """Add one outbreak to ``total``; a peak is reached from the server's usual level."""
    row = one.row
    idle, per_traffic = traits.processor.idle_pct[row, 0], traits.processor.traffic_pct[row, 0]
    match one.kind:
        case "memory_leak":
            usual = _usual(traits.memory.base_pct, traits.memory.growth_pct_day, traits.memory.cycle_days, row)
            total.memory[row] += (one.peak - usual) * size
            total.cpu[row] += 5 * size
        case "disk_fill":
            usual = _usual(traits.disk.base_pct, traits.disk.growth_pct_day, traits.disk.cycle_days, row)
            total.disk[row] += (one.peak - usual) * size
            total.io[row] += 8 * size
        case "traffic_surge":
            factor = min((one.peak - idle) / per_traffic, LARGEST_SURGE)
            total.traffic[row] *= 1 + max(factor - 1, 1) * size
        case "connection_leak":
            total.sockets[row] += one.peak * size
            total.memory[row] += 4 * size
        case "runaway_job":
            total.cpu[row] += max(one.peak - idle - per_traffic, 10) * size
        case _:
            raise ValueError(f"{one.kind!r} is no kind of incident")


def _usual(base: Float32, growth: Float32, cycle_days: Float32, row: int) -> float:
    return float(base[row, 0] + growth[row, 0] * cycle_days[row, 0] / 2)
