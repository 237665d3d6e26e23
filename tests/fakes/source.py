"""A source, a clock and a telemetry that a test controls."""

from collections import Counter

from daemon.core.errors import QueryRejected, SourceUnavailable
from daemon.core.series import Panel, Samples


class FakeSource:
    """Implement the ``Source`` port over a panel; each metric of the panel is a stream.

    It passes the same conformance suite as the real sources.

    Attributes:
        down: error that every fetch raises; None while the source works.
        rejected: streams whose query the source rejects.
        asked: every fetch, in order.
        closed: whether ``close`` was called.
    """

    def __init__(self, name: str, panel: Panel, backfill_seconds: int = 86_400, overlap_seconds: int = 0) -> None:
        self.name = name
        self.streams = tuple(sorted({key.metric for key in panel.keys}))
        self.backfill_seconds = backfill_seconds
        self.overlap_seconds = overlap_seconds
        self.down: SourceUnavailable | None = None
        self.rejected: set[str] = set()
        self.asked: list[tuple[str, int, int]] = []
        self.closed = False
        self._panel = panel

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the panel's samples of one metric."""
        self.asked.append((stream, start, end))
        if self.closed:
            raise SourceUnavailable(f"source {self.name}: closed")
        if self.down is not None:
            raise self.down
        if stream not in self.streams:
            raise QueryRejected(f"source {self.name}: no stream {stream!r}")
        if stream in self.rejected:
            raise QueryRejected(f"{stream}: bad query")
        rows = [row for row, key in enumerate(self._panel.keys) if key.metric == stream]
        return Samples.from_panel(self._panel.select(rows).between(start, end))

    def close(self) -> None:
        """Record that the source was closed."""
        self.closed = True


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float, speed: float = 1.0) -> None:
        self.time = now
        self.speed = speed

    def now(self) -> float:
        """Return the time that the test set."""
        return self.time


class FakeTelemetry:
    """Implement the ``Telemetry`` port; count every report."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def stage(self, name: str, seconds: float, succeeded: bool) -> None:
        """Count a run of a stage."""
        self.counts["stage", name, str(succeeded)] += 1

    def ingested(self, source: str, samples: int) -> None:
        """Count samples."""
        self.counts["ingested", source] += samples

    def rejected(self, source: str, reason: str, samples: int) -> None:
        """Count rejected samples."""
        self.counts["rejected", source, reason] += samples

    def source_failed(self, source: str, stream: str) -> None:
        """Count a failed fetch."""
        self.counts["failed", source, stream] += 1

    def notifications(self, target: str, result: str, count: int) -> None:
        """Count notifications."""
        self.counts["notifications", target, result] += count

    def queued(self, target: str, count: int) -> None:
        """Record the length of the queue."""
        self.counts["queued", target] = count

    def source_empty(self, source: str, stream: str) -> None:
        """Count a fetch without samples."""
        self.counts["empty", source, stream] += 1
