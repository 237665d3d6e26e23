"""A real Alertmanager for tests."""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.processes import Process, answers, free_port, require_programs


class RunningAlertmanager:
    """Alertmanager on a free port of the loopback interface; skips the test if it is not installed.

    Args:
        folder: its folder; notifications and silences are in ``folder / "data"`` and survive a restart.
        config_text: its configuration, or the path of the file.
        flags: further command-line flags.
    """

    def __init__(self, folder: Path, config_text: str | Path, flags: Sequence[str] = ()) -> None:
        require_programs("prometheus-alertmanager")
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "alertmanager.yml"
        self.config.write_text(config_text.read_text() if isinstance(config_text, Path) else config_text)
        command: list[str | Path] = [
            "prometheus-alertmanager",
            f"--config.file={self.config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            # a single instance, so no cluster
            "--cluster.listen-address=",
            *flags,
        ]
        self._process = Process(command, folder / "alertmanager.log")

    @property
    def pid(self) -> int:
        """Process id, while it runs."""
        return self._process.pid

    def start(self) -> None:
        """Start it on its data and wait until it is ready."""
        self._process.start(lambda: answers(f"{self.url}/-/ready"))

    def stop(self) -> None:
        """Stop it; the alerts are lost, because Alertmanager keeps them in memory."""
        self._process.stop()

    def kill(self) -> None:
        """Kill it, like a power failure."""
        self._process.kill()

    def restart(self) -> None:
        """Stop it and start it again on the same port and data."""
        self.stop()
        self.start()

    def alerts(self) -> list[dict[str, Any]]:
        """Return the active alerts of API v2, including inhibited and silenced ones."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=60) as response:
            result: list[dict[str, Any]] = json.load(response)
        return result

    def post(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Send ``alerts`` over API v2."""
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", json.dumps(list(alerts)).encode(), kind)
        with urllib.request.urlopen(request, timeout=60):
            pass

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
