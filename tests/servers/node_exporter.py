"""A real node_exporter for tests."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.processes import Process, answers, free_port, require_programs


class RunningNodeExporter:
    """node_exporter with the default collectors and tcpstat; skips the test if it is not installed."""

    def __init__(self, folder: Path, flags: Sequence[str] = ("--collector.tcpstat",)) -> None:
        require_programs("prometheus-node-exporter")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}/metrics"
        self._process = Process(
            ["prometheus-node-exporter", f"--web.listen-address={self.address}", *flags],
            folder / f"node_exporter-{self.port}.log",
        )

    def start(self) -> None:
        """Start it and wait until it answers a scrape."""
        self._process.start(lambda: answers(self.url))

    def stop(self) -> None:
        """Stop it."""
        self._process.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
