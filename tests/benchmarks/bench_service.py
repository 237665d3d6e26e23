"""Memory of the service, time of its ticks, start and stop, and its cost between ticks."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from daemon.config.loading import default_text
from daemon.simulation.spec import counts_for
from tests.benchmarks.idle import measure
from tests.servers.processes import free_port

SERVERS, TICKS, SPEED = 160, 6, 30
_IMPORTS = "import daemon.network.forecaster, torch, pandas"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        _help()
        _service(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))


def _help() -> None:
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "daemon", "--help"], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - started)
    print(f"forewarn --help: {statistics.median(seconds):.2f} s, median of {len(seconds)} (limit 0.5 s)")


def _service(folder: Path) -> None:
    port = free_port()
    config = folder / "config.yaml"
    document = yaml.safe_load(default_text())
    document |= {"clock": {"speed": SPEED}, "schedule": {"delay_seconds": 0}}
    document["http"]["listen"] = f"127.0.0.1:{port}"
    document["logging"] = {"format": "json"}
    document["training"]["triggers"] = []
    document["sources"][0] |= {"servers": counts_for(SERVERS), "backfill_hours": 672}
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    fleet, models = folder / "fleet", folder / "data" / "models"
    _forewarn("simulate", "--out", str(fleet))
    _forewarn("train", "--level", "demo", "--data", str(fleet), "--models", str(models), "--config", str(config))
    log = folder / "log"
    with log.open("wb") as stream:
        service = subprocess.Popen([sys.executable, "-m", "daemon", "run", "-c", str(config)], stderr=stream)
    try:
        ticks = _ticks(log, f"http://127.0.0.1:{port}")
        resident = _memory(service.pid, "VmRSS")
        seconds = [tick["seconds"] for tick in ticks[1:]]
        last = ticks[-1]
        print(f"{last['servers']} servers, {last['series']} series, 28 days, forecast by {last['forecast_by']}")
        print(f"a tick with breach probabilities and alerts: {statistics.median(seconds):.2f} s, "
              f"median of {len(seconds)}; the first tick, with the back-fill of 28 days and the import of torch: "
              f"{ticks[0]['seconds']:.1f} s")  # fmt: skip
        libraries = _imports_memory()
        print(f"resident memory between ticks: {resident:.0f} MB (limit 800 MB), at most "
              f"{_memory(service.pid, 'VmHWM'):.0f} MB; importing torch and pandas alone: {libraries:.0f} MB, "
              f"a ratio of {resident / libraries:.2f}")  # fmt: skip
        started = time.perf_counter()
        service.send_signal(signal.SIGTERM)
        service.wait(30)
        print(f"SIGTERM to exit: {time.perf_counter() - started:.1f} s (limit 5 s)")
    finally:
        service.kill()


def _forewarn(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "daemon", *arguments], check=True, stdout=subprocess.DEVNULL)


def _ticks(log: Path, url: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        time.sleep(1)
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        ticks = [line for line in lines if line["event"] == "tick_done"]
        if len(ticks) > TICKS:
            httpx.get(f"{url}/metrics").raise_for_status()
            return ticks
    raise TimeoutError(f"no {TICKS} ticks in 300 s: {log.read_text(encoding='utf-8')[-2000:]}")


def _memory(pid: int, field: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) * 1024 / 1e6


def _imports_memory() -> float:
    code = f"{_IMPORTS}; print(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    return next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("VmRSS")) * 1024 / 1e6


if __name__ == "__main__":
    main()
