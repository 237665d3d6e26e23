"""Weeks of node_exporter history, written into the data directory of a Prometheus within seconds."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.servers.processes import require_programs

Array = npt.NDArray[np.float64]

GIB = 2.0**30
DAY = 86_400


@dataclass(frozen=True)
class WrittenSeries:
    """One series in the form of node_exporter."""

    name: str
    labels: Mapping[str, str]
    values: Array


@dataclass(frozen=True)
class History:
    """A history of several instances.

    Attributes:
        times: epoch seconds of the samples of every series, ``(samples,)``.
        busy: part of the CPU time that is not idle, 0 to 1, ``(samples,)``, by instance; the rate of the counters
            between one time and the next.
        series: every series, by instance.
    """

    times: npt.NDArray[np.int64]
    busy: Mapping[str, Array] = field(default_factory=dict)
    series: Mapping[str, tuple[WrittenSeries, ...]] = field(default_factory=dict)


def node_history(
    instances: Sequence[str], end: int, days: float = 7, *, step_seconds: int = 60, cpus: int = 2, seed: int = 0
) -> History:
    """Return a history of ``instances`` that ends at ``end`` (epoch seconds), with a daily rhythm and noise."""
    times = np.arange(end - int(days * DAY), end + 1, step_seconds, dtype=np.int64)
    random = np.random.default_rng(seed)
    busy: dict[str, Array] = {}
    series: dict[str, tuple[WrittenSeries, ...]] = {}
    for instance in instances:
        rhythm = 0.35 + 0.25 * np.sin(2 * np.pi * times / DAY + random.uniform(0, 2 * np.pi))
        busy[instance] = np.clip(rhythm + 0.03 * random.standard_normal(len(times)), 0.02, 0.98)
        series[instance] = tuple(_node(busy[instance], times, step_seconds, cpus, random))
    return History(times, busy, series)


def write_history(history: History, data: Path, job: str = "node") -> None:
    """Write ``history`` as blocks into the data directory of a Prometheus that does not run."""
    require_programs("promtool")
    stamps = [str(stamp) for stamp in history.times.tolist()]
    with tempfile.TemporaryDirectory(prefix="forewarn-history-") as folder:
        text = Path(folder) / "history.om"
        with text.open("w") as file:
            for instance, all_series in history.series.items():
                for one in all_series:
                    labels = {"instance": instance, "job": job, **one.labels}
                    prefix = one.name + "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "} "
                    values = one.values.tolist()
                    file.writelines(f"{prefix}{value!r} {stamp}\n" for value, stamp in zip(values, stamps, strict=True))
            file.write("# EOF\n")
        # promtool reads the whole text for each block, so a few large blocks are much faster than many of two hours
        subprocess.run(
            [
                "promtool", "tsdb", "create-blocks-from", "--max-block-duration=240h", "openmetrics", "--quiet",
                text, data,
            ],
            check=True, capture_output=True,
        )  # fmt: skip


def _node(
    busy: Array, times: npt.NDArray[np.int64], step: int, cpus: int, random: np.random.Generator
) -> Iterator[WrittenSeries]:
    def counter(rate: Array) -> Array:
        # the increase is that of the step that ends at the time
        return np.concatenate([[0.0], np.cumsum(rate[1:] * step)])

    shares = {"user": 0.6 * busy, "nice": 0.02 * busy, "system": 0.2 * busy, "iowait": 0.12 * busy}
    shares |= {"irq": 0.01 * busy, "softirq": 0.03 * busy, "steal": 0.02 * busy, "idle": 1 - busy}
    for cpu in range(cpus):
        for mode, share in shares.items():
            yield WrittenSeries("node_cpu_seconds_total", {"cpu": str(cpu), "mode": mode}, counter(share))
    flat = np.ones(len(times))
    yield WrittenSeries("node_load1", {}, cpus * busy * 1.2)
    yield WrittenSeries("node_memory_MemTotal_bytes", {}, 16 * GIB * flat)
    yield WrittenSeries("node_memory_MemAvailable_bytes", {}, np.round(16 * GIB * (0.9 - 0.5 * busy)))
    yield WrittenSeries("node_memory_SwapTotal_bytes", {}, 4 * GIB * flat)
    yield WrittenSeries("node_memory_SwapFree_bytes", {}, np.round(4 * GIB * (1 - 0.1 * busy)))
    filling = np.linspace(0.4, 0.6, len(times))
    for device, mountpoint, kind, size, used in (
        ("/dev/sda1", "/", "ext4", 100 * GIB, filling),
        ("/dev/sdb1", "/srv", "xfs", 500 * GIB, filling / 2),
        ("tmpfs", "/run", "tmpfs", GIB, 0.95 * flat),
    ):
        labels = {"device": device, "mountpoint": mountpoint, "fstype": kind}
        reserved = 0.05 if kind == "ext4" else 0.0
        yield WrittenSeries("node_filesystem_size_bytes", labels, size * flat)
        yield WrittenSeries("node_filesystem_free_bytes", labels, np.round(size * (1 - used)))
        yield WrittenSeries("node_filesystem_avail_bytes", labels, np.round(size * (1 - used - reserved)))
    for device, share in (("sda", 0.5 * busy), ("sdb", 0.2 * busy)):
        yield WrittenSeries("node_disk_io_time_seconds_total", {"device": device}, counter(share))
    for device, factor in (("eth0", 1.0), ("lo", 5.0)):
        received = factor * 20e6 * busy * random.uniform(0.9, 1.1)
        yield WrittenSeries("node_network_receive_bytes_total", {"device": device}, np.round(counter(received)))
        yield WrittenSeries("node_network_transmit_bytes_total", {"device": device}, np.round(counter(received / 2)))
    yield WrittenSeries("node_tcp_connection_states", {"state": "close_wait"}, np.round(5 * busy))
    yield WrittenSeries("node_tcp_connection_states", {"state": "rx_queued_bytes"}, 0 * flat)
