"""CPU and memory of a service at real speed, and its memory during a training."""

import os
import statistics
import time
from pathlib import Path

import yaml

from daemon.config.loading import default_text
from daemon.core.series import STEP_SECONDS
from tests.servers.forewarn import RunningForewarn, change_config
from tests.servers.processes import free_port, wait_until

_IDLE_SECONDS, _SCRAPE_SECONDS = 60, 15
_TICKS, _SPEED = 8, 100
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def measure(folder: Path) -> None:
    """Print the figures of the default fleet of 20 simulated servers; ``folder`` is for its files."""
    config = folder / "config.yaml"
    document = yaml.safe_load(default_text())
    document["sources"][0] |= {"backfill_hours": 200}
    document |= {
        "data_dir": "data",
        "clock": {"start": "2026-01-12T00:00:00Z", "speed": _SPEED},
        "schedule": {"delay_seconds": 0},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "logging": {"format": "json"},
        "training": {"level": "demo", "schedule": None, "triggers": []},
    }
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    with RunningForewarn(config) as service:
        ticks, seconds, used = _ticks(service)
    # a tick at once and the next in five minutes: the minute between is idle for certain
    change_config(config, {"clock": {"speed": 1}})
    with RunningForewarn(config) as service:
        idle = _idle(service)
        per_tick = (used - idle * seconds) / ticks
        share = (per_tick + STEP_SECONDS * idle) / STEP_SECONDS
        print(
            f"20 servers, CPU at real speed: {100 * share:.2f} % of one core; of that, "
            f"a tick every five minutes {per_tick:.2f} s, a minute between ticks with "
            f"{60 // _SCRAPE_SECONDS} scrapes {60 * idle:.2f} s"
        )
        _training(service)


def _idle(service: RunningForewarn) -> float:
    """Return the CPU seconds per second between two ticks."""
    # work that the first tick starts in the background ends first
    time.sleep(3)
    ticks = len(service.events("tick_done"))
    used, began = _cpu_seconds(service.pid), time.monotonic()
    for scrape in range(1, _IDLE_SECONDS // _SCRAPE_SECONDS + 1):
        time.sleep(began + scrape * _SCRAPE_SECONDS - time.monotonic())
        assert service.get("/metrics").status == 200
    rate = (_cpu_seconds(service.pid) - used) / (time.monotonic() - began)
    assert len(service.events("tick_done")) == ticks
    print(f"20 servers with 200 h of history, resident memory between ticks: {_megabytes(service.pid, 'VmRSS'):.0f} MB")
    return rate


def _ticks(service: RunningForewarn) -> tuple[int, float, float]:
    """Return the number of measured ticks, their seconds and their CPU seconds."""

    def done() -> int:
        return len(service.events("tick_done"))

    # the first after a start loads the history and the network
    before = done() + 2
    wait_until(lambda: done() >= before, 60, "the first ticks")
    before = done()
    used, began = _cpu_seconds(service.pid), time.monotonic()
    wait_until(lambda: done() >= before + _TICKS, 120, f"{_TICKS} ticks")
    return done() - before, time.monotonic() - began, _cpu_seconds(service.pid) - used


def _training(service: RunningForewarn) -> None:
    """Print the memory of both; how the training ends does not matter."""
    alone, began = _megabytes(service.pid, "VmRSS"), time.monotonic()
    assert service.post("/api/v1/training", {"level": "demo"}).status == 202
    beside: list[float] = []
    peak = 0.0
    while (state := service.get("/api/v1/training").json())["current"] is not None or not state["runs"]:
        beside.append(_megabytes(service.pid, "VmRSS"))
        peak = max([peak, *(_megabytes(child, "VmHWM") for child in _children(service.pid))])
        # the service records the end at the next tick, minutes later at real speed
        if peak and not _children(service.pid):
            break
        time.sleep(0.5)
    seconds = time.monotonic() - began
    print(
        f"during a training of level demo ({seconds:.0f} s): the service {alone:.0f} MB before it, "
        f"{statistics.median(beside):.0f} MB during it, at most {max(beside):.0f} MB; "
        f"the training at most {peak:.0f} MB"
    )


def _children(pid: int) -> list[int]:
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in texts for child in text.split()]


def _cpu_seconds(pid: int) -> float:
    # the name, in brackets, may hold anything; user and system time are the 14th and 15th field
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def _megabytes(pid: int, field: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0) * 1024 / 1e6
