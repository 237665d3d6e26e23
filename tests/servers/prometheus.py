"""A real Prometheus for tests."""

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.processes import Process, accepts, answers, free_port, require_programs


class RunningPrometheus:
    """Prometheus on a free port of the loopback interface; skips the test if it is not installed.

    Args:
        folder: its folder; the samples are in ``folder / "data"`` and survive a restart.
        targets: addresses to scrape, by job.
        scrape_seconds: scrape interval.
        web_config: content of its ``--web.config.file``, for TLS and basic authentication.
        extra_config: YAML to append to ``prometheus.yml``.
        flags: further command-line flags.
    """

    def __init__(
        self,
        *,
        folder: Path,
        targets: Mapping[str, Sequence[str]] | None = None,
        scrape_seconds: int = 1,
        web_config: str | None = None,
        extra_config: str = "",
        flags: Sequence[str] = (),
    ) -> None:
        require_programs("prometheus")
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.data.mkdir(parents=True, exist_ok=True)
        self.config = folder / "prometheus.yml"
        self.config.write_text(_config(targets or {}, scrape_seconds) + extra_config)
        command: list[str | Path] = [
            "prometheus",
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.data}",
            "--storage.tsdb.retention.time=10y",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
            *flags,
        ]
        self._scheme = "http"
        if web_config is not None:
            (folder / "web.yml").write_text(web_config)
            command.append(f"--web.config.file={folder / 'web.yml'}")
            self._scheme = "https" if "tls_server_config" in web_config else "http"
        self._process = Process(command, folder / "prometheus.log")

    @property
    def url(self) -> str:
        """Base URL; with TLS, its host is ``localhost``."""
        return f"{self._scheme}://{'localhost' if self._scheme == 'https' else '127.0.0.1'}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id, while it runs."""
        return self._process.pid

    def start(self) -> None:
        """Start it on its data and wait until it answers queries."""
        ready = (lambda: accepts(self.port)) if self._scheme == "https" else self._ready
        self._process.start(ready)

    def stop(self) -> None:
        """Stop it; the data stays."""
        self._process.stop()

    def kill(self) -> None:
        """Kill it, like a power failure."""
        self._process.kill()

    def restart(self) -> None:
        """Stop it and start it again on the same port and data."""
        self.stop()
        self.start()

    def query(self, promql: str, time: float | None = None, user: tuple[str, str] | None = None) -> list[Any]:
        """Return the instant vector of ``promql`` at ``time`` (epoch seconds) or now."""
        form = {"query": promql} | ({} if time is None else {"time": str(time)})
        request = urllib.request.Request(f"{self.url}/api/v1/query?{urllib.parse.urlencode(form)}")
        if user is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(":".join(user).encode()).decode())
        with urllib.request.urlopen(request, timeout=60) as response:
            result: list[Any] = json.load(response)["data"]["result"]
        return result

    def query_range(self, promql: str, start: int, end: int, step: int) -> list[Any]:
        """Return the range vector of ``promql`` at ``start, start + step .. end`` (epoch seconds)."""
        form = {"query": promql, "start": str(start), "end": str(end), "step": str(step)}
        url = f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(form)}"
        with urllib.request.urlopen(url, timeout=60) as response:
            result: list[Any] = json.load(response)["data"]["result"]
        return result

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ready(self) -> bool:
        return answers(f"{self.url}/-/ready")


def _config(targets: Mapping[str, Sequence[str]], scrape_seconds: int) -> str:
    jobs = [{"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()]
    # JSON is valid YAML
    return (
        f"global: {json.dumps({'scrape_interval': f'{scrape_seconds}s', 'scrape_timeout': f'{scrape_seconds}s'})}\n"
        f"scrape_configs: {json.dumps(jobs)}\n"
    )
