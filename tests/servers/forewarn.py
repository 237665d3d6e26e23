"""forewarn in its own process, started as a user starts it."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from daemon.config.loading import default_text, load_config
from daemon.core.series import parse_time
from tests.servers.processes import Process, answers, free_port

_COMMAND = (sys.executable, "-m", "daemon")
_COMMAND_SECONDS = 500


@dataclass(frozen=True)
class Answer:
    """The response to an HTTP request."""

    status: int
    text: str

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Stopped:
    """The end of the service: its exit status (None: it was killed), and the time that the stop took."""

    exit_status: int | None
    seconds: float


def forewarn(*arguments: str | Path, folder: Path, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command of forewarn in ``folder`` to its end.

    Args:
        arguments: of the command line.
        folder: working directory.
        status: expected exit status; None for any.

    Raises:
        RuntimeError: another exit status, or a traceback in the output; its text has the output.
    """
    command = [*_COMMAND, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    if status not in (None, done.returncode) or "Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def imports(*arguments: str | Path, folder: Path) -> set[str]:
    """Return the names of the modules that a command of forewarn imports."""
    command = [sys.executable, "-X", "importtime", *_COMMAND[1:], *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True)
    return {row.rpartition("|")[2].strip() for row in done.stderr.splitlines() if row.startswith("import time:")}


def simulated(hours: int, seed: int = 0, **servers: int) -> dict[str, Any]:
    """Return a simulator as a source, with ``hours`` of history and only the given number of servers per profile."""
    none = dict.fromkeys(yaml.safe_load(default_text())["sources"][0]["servers"], 0)
    return {"name": "fleet", "type": "simulator", "servers": none | servers, "seed": seed, "backfill_hours": hours}


def write_config(folder: Path, **sections: Any) -> Path:
    """Write ``config.yaml`` and return its path.

    It is the packaged configuration with a free port, JSON logs, no training of its own, and ``sections`` in place of
    the sections of the same names.
    """
    document = yaml.safe_load(default_text()) | {
        "data_dir": "data",
        "schedule": {"delay_seconds": 0},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "logging": {"format": "json"},
        "training": {"level": "demo", "schedule": None, "triggers": []},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document | sections))
    return path


def change_config(path: Path, changes: Mapping[str, Any]) -> None:
    """Merge ``changes`` into a configuration file."""
    document = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(_merged(document, changes), sort_keys=False))


class RunningForewarn:
    """``forewarn run`` on a configuration file; its output is in ``log``, beside that file.

    The context manager starts the service and waits until it is ready. With ``ready=False`` it waits only until the
    service answers.
    """

    def __init__(self, config: Path, ready: bool = True, seconds: float = 60) -> None:
        http = load_config(config).http
        self.config = config
        self.log = config.parent / "forewarn.log"
        self.url = f"http://{http.host}:{http.port}"
        self._ready, self._seconds = ready, seconds
        self._process = Process([*_COMMAND, "run", "--config", config], self.log)

    @property
    def pid(self) -> int:
        """Process id, while it runs."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process.running

    @property
    def ready(self) -> bool:
        """Whether /readyz answers with 200."""
        return self.get("/readyz").status == 200

    def start(self) -> float:
        """Start it and wait; return the time that the start took, in seconds."""
        began = time.monotonic()
        done = (lambda: answers(f"{self.url}/readyz")) if self._ready else (lambda: answers(f"{self.url}/healthz"))
        self._process.start(done, self._seconds)
        return time.monotonic() - began

    def stop(self) -> Stopped:
        """Send SIGTERM and wait for the end."""
        began = time.monotonic()
        status = self._process.stop()
        return Stopped(status, time.monotonic() - began)

    def kill(self) -> None:
        """Kill it, like a power failure."""
        self._process.kill()

    def restart(self) -> float:
        """Stop it, start it again and wait; return the time that the start took, in seconds."""
        self.stop()
        return self.start()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a GET request; an error status is an answer too."""
        return self._ask(urllib.request.Request(self.url + path, headers=dict(headers or {})))

    def post(self, path: str, document: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a POST request with ``document`` as JSON."""
        body = json.dumps(document).encode()
        kind = {"Content-Type": "application/json"}
        return self._ask(urllib.request.Request(self.url + path, body, {**kind, **(headers or {})}))

    def delete(self, path: str) -> Answer:
        """Send a DELETE request."""
        return self._ask(urllib.request.Request(self.url + path, method="DELETE"))

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines of the event ``name``, or all."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if name in (None, line.get("event"))]

    def ticks(self) -> list[int]:
        """Return the grid times of the ticks that have ended."""
        return [parse_time(line["at"]) for line in self.events("tick_done")]

    def metric(self, series: str) -> float:
        """Return the value of one series of /metrics."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert found, series
        return float(found[1])

    def training(self) -> Any:
        """Return the document of /api/v1/training."""
        return self.get("/api/v1/training").json()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print("\n".join(self.log.read_text(errors="replace").splitlines()[-30:]))

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, Mapping)):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
