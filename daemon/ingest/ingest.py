"""Fetches new samples, and fills gaps, from the sources into the store."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from daemon.core.errors import QueryRejected, SourceUnavailable
from daemon.core.series import STEP_SECONDS, Samples, as_text, ceil_to_grid
from daemon.core.telemetry import Telemetry, timed
from daemon.ingest.ports import Source, Store

_SLICE_SECONDS = 86_400

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """The state of one source after its fetch in a tick.

    Attributes:
        name: the source.
        error: why the source could not be fetched; empty if it was.
        failed_streams: the streams that could not be fetched, each with the reason.
        empty_streams: the streams that returned no sample for the newest time.
        newest: grid time up to which every stream is fetched; None before the first fetch.
    """

    name: str
    error: str = ""
    failed_streams: dict[str, str] = field(default_factory=dict)
    empty_streams: tuple[str, ...] = ()
    newest: int | None = None

    @property
    def healthy(self) -> bool:
        """Whether every stream of the source was fetched."""
        return not self.error and not self.failed_streams


class Ingest:
    """Fetches all sources up to a grid time; a source or a stream that fails does not affect the others."""

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        store: Store,
        metrics: Collection[str],
        retention_seconds: int,
        telemetry: Telemetry,
        stopping: Callable[[], bool] = lambda: False,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the ingest.

        Args:
            sources: the sources.
            store: where samples are written.
            metrics: the configured metrics; samples of other metrics are rejected.
            retention_seconds: older samples are not fetched.
            telemetry: receives counts and durations.
            stopping: called between slices; the fetch ends early once it returns true.
            progress: called after each slice.
        """
        self._sources, self._store, self._metrics = sources, store, frozenset(metrics)
        self._retention_seconds, self._telemetry, self._stopping = retention_seconds, telemetry, stopping
        self._progress = progress

    def run(self, at: int) -> tuple[SourceState, ...]:
        """Fetch all samples up to grid time ``at`` and return the state of each source."""
        watermarks = self._store.watermarks()
        return tuple(self._fetch(source, at, watermarks) for source in self._sources)

    def accept(self, source: str, samples: Samples) -> int:
        """Write pushed samples; return the number of new ones after they are stored."""
        with timed(self._telemetry, "ingest"):
            written = self._store.append(self._configured(source, samples))
        self._telemetry.ingested(source, written)
        return written

    def _fetch(self, source: Source, at: int, watermarks: dict[tuple[str, str], int]) -> SourceState:
        begin = {stream: self._begin(source, stream, at, watermarks) for stream in source.streams}
        first = min(begin.values(), default=at + STEP_SECONDS)
        if at - first >= _SLICE_SECONDS:
            _log.info("backfill_started", source=source.name, since=as_text(first), until=as_text(at))
        failed: dict[str, str] = {}
        empty: list[str] = []
        error = ""
        while first <= at and not error and not self._stopping():
            last = min(first + _SLICE_SECONDS - STEP_SECONDS, at)
            with timed(self._telemetry, "ingest"):
                error = self._fetch_slice(source, begin, (first, last), failed, empty if last == at else [])
            self._progress()
            first = last + STEP_SECONDS
        reached = self._store.watermarks()
        known = [reached[source.name, stream] for stream in source.streams if (source.name, stream) in reached]
        return SourceState(
            name=source.name,
            error=error,
            failed_streams=failed,
            empty_streams=tuple(empty),
            newest=min(known, default=None) if len(known) == len(source.streams) else None,
        )

    def _begin(self, source: Source, stream: str, at: int, watermarks: dict[tuple[str, str], int]) -> int:
        reach = ceil_to_grid(at - min(source.backfill_seconds, self._retention_seconds))
        known = watermarks.get((source.name, stream))
        return reach if known is None else max(reach, known + STEP_SECONDS - source.overlap_seconds)

    def _fetch_slice(
        self, source: Source, begin: dict[str, int], span: tuple[int, int], failed: dict[str, str], empty: list[str]
    ) -> str:
        """Fetch one span of every stream and write it in one transaction; return the error of the source, if any."""
        batches, watermarks, error = [], {}, ""
        for stream in source.streams:
            start = max(begin[stream], span[0])
            if start > span[1] or stream in failed:
                continue
            try:
                batch = source.fetch(stream, start, span[1])
            except QueryRejected as problem:
                failed[stream] = str(problem)
                self._telemetry.source_failed(source.name, stream)
                _log.warning("stream_rejected", source=source.name, stream=stream, reason=str(problem))
                continue
            except SourceUnavailable as problem:
                error = str(problem)
                self._telemetry.source_failed(source.name, "")
                _log.warning("source_unavailable", source=source.name, reason=error)
                break
            if not len(batch):
                empty.append(stream)
                self._telemetry.source_empty(source.name, stream)
            batches.append(self._configured(source.name, batch))
            watermarks[source.name, stream] = span[1]
        written = self._store.append(Samples.concatenate(batches), watermarks)
        self._telemetry.ingested(source.name, written)
        return error

    def _configured(self, source: str, samples: Samples) -> Samples:
        known = np.array([key.metric in self._metrics for key in samples.keys], dtype=bool)
        if known.all():
            return samples
        unknown = sorted({key.metric for key in samples.keys} - self._metrics)
        chosen = known[samples.series]
        self._telemetry.rejected(source, "unknown_metric", int((~chosen).sum()))
        _log.warning("metrics_not_configured", source=source, metrics=unknown[:20], fix="add them under metrics:")
        return samples.where(chosen)
