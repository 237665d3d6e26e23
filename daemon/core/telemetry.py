"""What a use case reports of its own work; the edge turns it into metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Telemetry(Protocol):
    """Counts and durations."""

    def stage(self, name: str, seconds: float, succeeded: bool) -> None:
        """Note that a stage of the pipeline (ingest, forecast, …) ran."""
        ...

    def ingested(self, source: str, samples: int) -> None:
        """Note samples that were new or changed."""
        ...

    def rejected(self, source: str, reason: str, samples: int) -> None:
        """Note samples that were refused, and why."""
        ...

    def source_failed(self, source: str, stream: str) -> None:
        """Note that a stream could not be fetched; the stream is empty if the whole source failed."""
        ...

    def notifications(self, target: str, result: str, count: int) -> None:
        """Note notifications that were ``sent``, ``failed``, ``rejected`` or ``dropped``."""
        ...

    def queued(self, target: str, count: int) -> None:
        """Note how many notifications wait for ``target``."""
        ...

    def source_empty(self, source: str, stream: str) -> None:
        """Note that a stream answered without a sample."""
        ...


@contextmanager
def timed(telemetry: Telemetry, name: str) -> Iterator[None]:
    """Report the duration and the outcome of the stage that runs inside."""
    started = time.perf_counter()
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        telemetry.stage(name, time.perf_counter() - started, succeeded)
