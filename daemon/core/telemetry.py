"""The port through which the pipeline reports its own work; ``api/telemetry`` turns it into metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Telemetry(Protocol):
    """Counts and durations."""

    def stage(self, name: str, seconds: float, succeeded: bool) -> None:
        """Report one run of a stage of the pipeline (ingest, forecast, …)."""
        ...

    def ingested(self, source: str, samples: int) -> None:
        """Report new or changed samples."""
        ...

    def rejected(self, source: str, reason: str, samples: int) -> None:
        """Report rejected samples, with the reason."""
        ...

    def source_failed(self, source: str, stream: str) -> None:
        """Report a stream that could not be fetched; ``stream`` is empty if the whole source failed."""
        ...

    def notifications(self, target: str, result: str, count: int) -> None:
        """Report notifications; ``result`` is ``sent``, ``failed``, ``rejected`` or ``dropped``."""
        ...

    def queued(self, target: str, count: int) -> None:
        """Report the number of notifications queued for ``target``."""
        ...

    def source_empty(self, source: str, stream: str) -> None:
        """Report a stream that answered without a sample."""
        ...


@contextmanager
def timed(telemetry: Telemetry, name: str) -> Iterator[None]:
    """Report the duration and the success of the stage that runs inside."""
    started = time.perf_counter()
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        telemetry.stage(name, time.perf_counter() - started, succeeded)
