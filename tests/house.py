"""The figures of the package: how many modules, how long, and which files one tick passes.

``python -m tests.house`` prints them, and the files in the order of their first call.
"""

import ast
import json
import sys
import tempfile
import threading
import tomllib
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import numpy as np
import yaml

from daemon.config.loading import load_config
from daemon.core.series import STEP_SECONDS, parse_time
from daemon.service.build import build_service
from tests.servers.webhook import WebhookReceiver

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "daemon"
START = "2026-03-02T12:00:00Z"
MOST_TICKS = 6


@dataclass(frozen=True, kw_only=True)
class Module:
    """One module of the package.

    Attributes:
        path: relative to the package.
        lines: its length, with comments and empty lines.
        imports: names of the modules that it imports anywhere, in functions too.
    """

    path: str
    lines: int
    imports: frozenset[str]

    @property
    def room(self) -> str:
        """The folder of the module; empty for one beside the folders."""
        return self.path.rpartition("/")[0].partition("/")[0]

    def uses(self, names: Iterable[str]) -> bool:
        """Return whether the module imports one of the distributions ``names``."""
        return bool({name.partition(".")[0] for name in self.imports} & set(names))


def modules() -> tuple[Module, ...]:
    """Return every module of the package with a line in it, sorted by path."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.strip():
            name = path.relative_to(PACKAGE).as_posix()
            found.append(Module(path=name, lines=len(text.splitlines()), imports=frozenset(_imported(text))))
    return tuple(found)


def whole_modules() -> tuple[Module, ...]:
    """Return the modules that are more than the docstring of a folder: all but ``__init__.py`` and ``__main__.py``."""
    return tuple(module for module in modules() if not module.path.endswith("__.py"))


def rooms() -> tuple[str, ...]:
    """Return the folders of the package that hold modules, sorted."""
    return tuple(sorted({module.room for module in whole_modules()}))


def floors() -> tuple[tuple[str, ...], ...]:
    """Return the folders as import-linter is configured to layer them, from the top down."""
    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (each["layers"] for each in document["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    return tuple(tuple(room.strip() for room in layer.split("|")) for layer in layers)


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def walk(folder: Path) -> tuple[str, ...]:
    """Return the files of the package that one tick passes, from a sample of Prometheus to the alert at Alertmanager.

    A whole service fetches from a stub of Prometheus the metrics of a server whose disk fills, and sends to a stub of
    Alertmanager. The files of all functions that run count, in any thread, in the order of their first call, from the
    start of the tick that raises the alert until the alert arrives. Imports and start-up do not count.

    Args:
        folder: an empty one, for the service's data.
    """
    start = parse_time(START)
    with _prometheus() as url, WebhookReceiver() as receiver:
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(_configuration(url, receiver.url.rstrip("/"))))
        service = build_service(load_config(config), config)
        try:
            for tick in range(MOST_TICKS):
                files: dict[str, None] = {}
                with _recorded(files, receiver):
                    service.tick(start + tick * STEP_SECONDS)
                if receiver.notifications():
                    return tuple(files)
        finally:
            service.stop()
    raise RuntimeError(f"no alert within {MOST_TICKS} ticks")


def _configuration(prometheus: str, alertmanager: str) -> dict[str, Any]:
    return {
        "data_dir": "data",
        "sources": [
            {
                "name": "main",
                "type": "prometheus",
                "url": prometheus,
                "queries": {"disk_used_pct": "disk", "cpu_busy_pct": "cpu"},
                "backfill_hours": 336,
            }
        ],
        "metrics": {
            "disk_used_pct": {"unit": "%", "minimum": 0, "maximum": 100, "critical": 90},
            "cpu_busy_pct": {"unit": "%", "minimum": 0, "maximum": 100, "critical": 95},
        },
        "clock": {"start": START},
        "http": {"listen": "127.0.0.1:0"},
        "alerting": {"alertmanagers": [{"name": "main", "url": alertmanager}]},
        "training": {"schedule": None, "triggers": []},
        "logging": {"level": "error"},
    }


def _value(query: str, at: float) -> float:
    """Return the value of a series: a disk that fills by 2.5 % an hour from 55 % on, or a CPU with a daily rhythm."""
    hours = (at - parse_time(START)) / 3600
    if query == "disk":
        return float(np.clip(82 + 2.5 * hours, 55, 100)) + 0.2 * float(np.sin(at / 700))
    return 40 + 15 * float(np.sin(hours / 24 * 2 * np.pi)) + float(np.sin(at / 500))


@contextmanager
def _prometheus() -> Iterator[str]:
    """Serve range queries of the two series as Prometheus does; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in urllib.parse.parse_qs(body).items()}
            times = range(int(form["start"]), int(form["end"]) + 1, int(form["step"]))
            pairs = [[at, f"{_value(form['query'], at):.3f}"] for at in times]
            result = [{"metric": {"instance": "db-1:9100"}, "values": pairs}]
            answer = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _recorded(files: dict[str, None], receiver: WebhookReceiver) -> Iterator[None]:
    """Record the files whose functions run, in this thread and in those that it starts, until the alert arrives."""
    prefix = f"{PACKAGE}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(prefix) or code.co_name == "<module>":
            return
        if not receiver.notifications():
            files.setdefault(code.co_filename.removeprefix(prefix))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def main() -> None:
    """Print the figures."""
    whole = whole_modules()
    lines = sorted(module.lines for module in whole)
    print(f"modules: {len(whole)}, of {lines[0]} to {lines[-1]} lines, median {median(lines):g}")
    for room in rooms():
        inside = [module for module in whole if module.room == room]
        print(f"  {room:12} {len(inside):3} modules {sum(module.lines for module in inside):6} lines")
    with tempfile.TemporaryDirectory() as folder:
        files = walk(Path(folder))
    print(f"files that one tick passes from a sample to the alert: {len(files)}")
    for number, file in enumerate(files, 1):
        print(f"  {number:2} {file}")


if __name__ == "__main__":
    main()
