"""Prometheus as a source of metrics."""

from threading import Event
from time import monotonic
from typing import Any

import httpx

from daemon.config.sources import PrometheusConfig
from daemon.domain.errors import QueryRejected, SourceUnavailable
from daemon.domain.grid import STEP_SECONDS, STEPS_PER_HOUR, ceil_to_grid, floor_to_grid
from daemon.domain.series import Samples
from daemon.sources.interruptible import run_interruptibly
from daemon.sources.prometheus_http import PrometheusHttp, QueryTooLarge
from daemon.sources.prometheus_matrix import joined, to_samples

MAXIMUM_POINTS = 11_000
_GRACE_SECONDS = 1.0


class PrometheusSource:
    """The queries of one Prometheus server behind the `Source` port; a stream is a query."""

    def __init__(self, config: PrometheusConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._stopping = Event()
        self._http = PrometheusHttp(config, self._stopping, transport)

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._config.name

    @property
    def streams(self) -> tuple[str, ...]:
        """The metrics that have a query."""
        return tuple(self._config.queries)

    @property
    def backfill_seconds(self) -> int:
        """How far before now a gap is still worth asking for."""
        return self._config.backfill_seconds

    @property
    def overlap_seconds(self) -> int:
        """How much before the watermark is asked for again, for samples that came late."""
        return self._config.overlap_steps * STEP_SECONDS

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the samples of the metric ``stream`` at the grid times ``start .. end`` (both included).

        Values that are not finite, and servers that have none, are left out.

        Raises:
            SourceUnavailable: the server cannot be asked now, or not within ``deadline_seconds``.
            QueryRejected: this query cannot be served; its text says what to change.
        """
        if stream not in self._config.queries:
            raise QueryRejected(f"source {self.name}: no query for {stream!r}, only for {', '.join(self.streams)}")
        start, end = ceil_to_grid(start), floor_to_grid(end)
        seconds = self._config.deadline_seconds
        until = monotonic() + seconds
        try:
            return run_interruptibly(
                lambda: self._fetch(stream, start, end, until), self._stopping, seconds + _GRACE_SECONDS
            )
        except InterruptedError as error:
            raise SourceUnavailable(f"source {self.name}: closed while {stream} was being fetched") from error
        except TimeoutError as error:
            raise SourceUnavailable(
                f"source {self.name}: {self._http.url}: {stream} did not arrive within {seconds:g} s; "
                "see that the server is up, or raise deadline_seconds"
            ) from error
        except QueryRejected as error:
            raise QueryRejected(f"source {self.name}: query {stream}: {error}") from error

    def close(self) -> None:
        """Give up fetches under way and release the connections."""
        self._stopping.set()
        self._http.close()

    def _fetch(self, stream: str, start: int, end: int, until: float) -> Samples:
        try:
            return to_samples(joined(self._matrices(stream, start, end, until)), stream, end, self._config)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceUnavailable(
                f"source {self.name}: {self._http.url}: it answers, but not as Prometheus' API does ({error!r}); "
                "set url to Prometheus itself"
            ) from error

    def _matrices(self, stream: str, start: int, end: int, until: float) -> list[list[Any]]:
        promql = self._config.queries[stream]
        steps = min(MAXIMUM_POINTS, int(self._config.chunk_hours * STEPS_PER_HOUR))
        matrices, at = [], start
        while at <= end:
            to = min(end, at + (steps - 1) * STEP_SECONDS)
            try:
                matrices.append(self._http.query_range(promql, at, to, STEP_SECONDS, until))
            except QueryTooLarge:
                asked = (to - at) // STEP_SECONDS + 1
                if asked <= STEPS_PER_HOUR:
                    raise
                steps = max(STEPS_PER_HOUR, asked // 2)
                continue
            at = to + STEP_SECONDS
        return matrices
