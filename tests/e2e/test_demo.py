"""``forewarn demo`` as a user starts and stops it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from daemon.core.forecast import QUANTILE_COLUMNS
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec
from tests.servers.processes import STOP_DEADLINE_SECONDS, cpu_seconds, free_port, handles_signals, wait_until

SERVERS = 20


class RunningDemo:
    """A demo in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "demo"
        self.log = folder / "demo.log"
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        command = [sys.executable, "-m", "daemon", "demo", "--dir", str(self.folder), "--listen", address]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        self.children: set[int] = set()

    def wait_for(self, text: str, seconds: float) -> None:
        """Wait until the output of the demo has ``text``; record its child processes meanwhile."""

        def written() -> bool:
            self.has_children()
            return text in self.log.read_text() or self._process.poll() is not None

        wait_until(written, seconds, f"{text!r} in the output")
        assert text in self.log.read_text(), self.log.read_text()

    def has_children(self) -> bool:
        """Return whether it has, or had, a child process; record which."""
        self.children |= children_of(self._process.pid)
        return bool(self.children)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            text: str = answer.read().decode()
            return text

    def press_ctrl_c(self) -> tuple[int, float]:
        """Interrupt the whole group, as a terminal does; return the exit status and the seconds that it took."""
        began = time.monotonic()
        os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(STOP_DEADLINE_SECONDS), time.monotonic() - began

    def end(self) -> None:
        """Kill every process that is left."""
        for pid in (self._process.pid, *self.children):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running_demo(folder: Path) -> Iterator[RunningDemo]:
    demo = RunningDemo(folder)
    try:
        yield demo
    finally:
        demo.end()


def children_of(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for path in listed for child in path.read_text().split()}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_one_command_simulates_trains_and_serves(tmp_path: Path) -> None:
    """The model forecasts all 20 servers with ordered quantiles; Ctrl-C ends every process with status 0."""
    with running_demo(tmp_path) as demo:
        began = time.monotonic()
        demo.wait_for("first model forecast", 500)
        seconds = time.monotonic() - began
        status = json.loads(demo.get("/api/v1/status"))
        forecasts = forecasts_of(demo.get("/metrics"))
        page = json.loads(demo.get("/api/v1/forecasts?limit=1000"))
        exit_status, stop_seconds = demo.press_ctrl_c()
        assert len(demo.children) == 1
        assert not [pid for pid in demo.children if alive(pid)]
    models = demo.folder / "data" / "models"
    name = (models / "current").read_text().strip()
    info = json.loads((models / name / "training_info.json").read_text())
    print(
        f"\nfirst model forecast after {seconds:.1f} s, of which training {info['training_time_hours'] * 3600:.1f} s "
        f"(epochs: {info['epochs']}, servers: {info['num_servers']}); stopped in {stop_seconds:.2f} s"
    )
    assert status["model"] == name
    assert [source for source, rows in status["forecast_source"].items() if rows] == ["model"]
    assert {server for server, _, _ in forecasts} == set(Fleet(FleetSpec()).profiles)
    assert len({server for server, _, _ in forecasts}) == SERVERS
    for quantiles in forecasts.values():
        assert quantiles["0.1"] <= quantiles["0.5"] <= quantiles["0.9"]
    assert page["total"] == len(page["items"]) == status["forecast_source"]["model"]
    for item in page["items"]:
        paths = np.array([item["quantiles"][column] for column in QUANTILE_COLUMNS])
        assert paths.shape == (7, 96)
        assert (np.diff(paths, axis=0) >= 0).all()
    assert exit_status == 0
    assert sorted(path.name for path in models.iterdir()) == [".checkpoints", name, "current", "promotions.jsonl"]


@pytest.mark.parametrize("after_cpu_seconds", [0.3, 6.0], ids=["while-it-imports", "while-it-trains"])
def test_ctrl_c_during_the_training_ends_that_too(after_cpu_seconds: float, tmp_path: Path) -> None:
    """Ctrl-C during the training leaves no process and no part of a model."""
    with running_demo(tmp_path) as demo:
        demo.wait_for("training at demo level", 60)
        wait_until(demo.has_children, 10, "the training process")
        (training,) = demo.children
        wait_until(lambda: handles_signals(training), 10, "the start of the training process")
        wait_until(lambda: cpu_seconds(training) >= after_cpu_seconds, 30, "progress of the training process")
        assert any(alive(pid) for pid in demo.children), demo.log.read_text()
        exit_status, stop_seconds = demo.press_ctrl_c()
        assert not [pid for pid in demo.children if alive(pid)]
    print(f"\nstopped {after_cpu_seconds} s of processor time into the training in {stop_seconds:.2f} s")
    assert exit_status == 0
    assert "Traceback" not in demo.log.read_text()
    models = demo.folder / "data" / "models"
    assert not models.exists() or not list(models.iterdir())


def forecasts_of(exposition: str) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the quantiles of every ``forewarn_forecast`` by server, metric and horizon."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for labels, value in re.findall(r"^forewarn_forecast\{(.*)\} (\S+)$", exposition, re.MULTILINE):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        key = (label["server"], label["metric"], label["horizon"])
        found.setdefault(key, {})[label["quantile"]] = float(value)
    return found
