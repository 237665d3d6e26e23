"""Prometheus as a source of metrics: range queries, and their series as samples of servers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations
from time import monotonic
from typing import Any, NamedTuple

import httpx
import numpy as np

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import QueryRejected, SourceUnavailable
from daemon.core.series import (
    STEP_SECONDS,
    STEPS_PER_HOUR,
    Float32,
    Int64,
    Samples,
    SeriesKey,
    as_text,
    ceil_to_grid,
    floor_to_grid,
)
from daemon.ingest.prometheus_client import PrometheusApi, QueryTooLarge

MAXIMUM_POINTS = 11_000
_HANDOVER_STEPS = 2
_GRACE_SECONDS = 1.0


class LabelledSeries(NamedTuple):
    """One series with the labels of Prometheus; finite values only."""

    labels: Mapping[str, str]
    timestamps: Int64
    values: Float32


def joined(matrices: Iterable[list[Any]]) -> list[LabelledSeries]:
    """Return the series of consecutive matrices, each series in one piece.

    Raises:
        QueryRejected: a series has no numbers, such as one of native histograms.
        ValueError: a series has times that are not on the grid.
    """
    pieces: dict[tuple[tuple[str, str], ...], list[tuple[Int64, Float32]]] = defaultdict(list)
    for matrix in matrices:
        for item in matrix:
            labels: dict[str, str] = item["metric"]
            if not item.get("values"):
                raise QueryRejected(f"{_shown(labels)} has no plain numbers; write a query that returns numbers")
            pieces[tuple(sorted(labels.items()))].append(_finite(item["values"]))
    return [
        LabelledSeries(
            dict(labels),
            np.concatenate([times for times, _ in parts]),
            np.concatenate([values for _, values in parts]),
        )
        for labels, parts in pieces.items()
    ]


def to_samples(series: Iterable[LabelledSeries], metric: str, end: int, config: PrometheusConfig) -> Samples:
    """Return the samples of ``metric`` by server, from ``series`` that were fetched up to ``end``.

    Raises:
        QueryRejected: a series has no server, or two series of a server have a value at the same time.
    """
    pattern = re.compile(config.server_pattern)
    by_server: dict[str, list[LabelledSeries]] = defaultdict(list)
    profiles: dict[str, str] = {}
    for one in series:
        server = _server(one.labels, pattern, config)
        profile = one.labels.get(config.profile_label) if config.profile_label else None
        if profile:
            profiles[server] = profile
        if len(one.timestamps):
            by_server[server].append(one)
    for server, rivals in by_server.items():
        rivals.sort(key=lambda one: int(one.timestamps[-1]))
        for earlier, later in combinations(rivals, 2):
            _refuse_collision(server, earlier, later, end, config)
    rows = [(row, one) for row, group in enumerate(by_server.values()) for one in group]
    if not rows:
        return Samples.empty()
    return Samples(
        keys=tuple(SeriesKey(server, metric) for server in by_server),
        series=np.repeat(np.array([row for row, _ in rows], dtype=np.int32), [len(one.timestamps) for _, one in rows]),
        timestamps=np.concatenate([one.timestamps for _, one in rows]),
        values=np.concatenate([one.values for _, one in rows]),
        profiles=profiles,
    )


def server_name(value: str, pattern: re.Pattern[str]) -> str | None:
    """Return the server in a label value: the group of ``pattern``; None if it does not match."""
    match = pattern.search(value)
    return (match.group(1) or None) if match else None


def _finite(pairs: list[tuple[float, str]]) -> tuple[Int64, Float32]:
    times, texts = zip(*pairs, strict=True)
    with np.errstate(over="ignore"):
        values = np.fromiter(map(float, texts), np.float64, len(texts)).astype(np.float32)
    stamps = np.array(times, np.float64)
    if (stamps % STEP_SECONDS).any():
        raise ValueError("samples at times that were not requested")
    finite = np.isfinite(values)
    return stamps.astype(np.int64)[finite], values[finite]


def _server(labels: Mapping[str, str], pattern: re.Pattern[str], config: PrometheusConfig) -> str:
    label = config.server_label
    if label not in labels:
        raise QueryRejected(
            f"a series has no label {label!r}, only {_shown(labels)}; aggregate by ({label}) or change server_label"
        )
    server = server_name(labels[label], pattern)
    if server is None:
        raise QueryRejected(
            f"server_pattern {config.server_pattern!r} matches no server in {label}={labels[label]!r}; "
            "change server_pattern"
        )
    return server


def _refuse_collision(
    server: str, earlier: LabelledSeries, later: LabelledSeries, end: int, config: PrometheusConfig
) -> None:
    both = np.intersect1d(earlier.timestamps, later.timestamps)
    # a renamed target stays in five-minute averages for a moment; then the later series applies
    handed_over = earlier.timestamps[-1] < end and len(both) <= _HANDOVER_STEPS
    if len(both) and not handed_over:
        raise QueryRejected(
            f"two series belong to server {server!r} at {as_text(int(both[0]))}: {_shown(earlier.labels)} and "
            f"{_shown(later.labels)}; aggregate by ({config.server_label}), or change server_pattern so that it "
            "gives them different names"
        )


def _shown(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


class PrometheusSource:
    """A Prometheus server behind the `Source` port; each query is a stream."""

    def __init__(self, config: PrometheusConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._api = PrometheusApi(config, transport)

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._config.name

    @property
    def streams(self) -> tuple[str, ...]:
        """The metrics with a query."""
        return tuple(self._config.queries)

    @property
    def backfill_seconds(self) -> int:
        """How far before now gaps are fetched."""
        return int(self._config.backfill_hours * 3600)

    @property
    def overlap_seconds(self) -> int:
        """How far before the watermark samples are fetched again, because some arrive late."""
        return self._config.overlap_steps * STEP_SECONDS

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the samples of the metric ``stream`` at the grid times ``start .. end`` (both included).

        Values that are not finite, and servers without finite values, are left out.

        Raises:
            SourceUnavailable: the server has no usable answer within ``deadline_seconds``.
            QueryRejected: the query cannot be used; the text names the fix.
        """
        if stream not in self._config.queries:
            raise QueryRejected(f"source {self.name}: no query for {stream!r}, only for {', '.join(self.streams)}")
        start, end = ceil_to_grid(start), floor_to_grid(end)
        seconds = self._config.deadline_seconds
        until = monotonic() + seconds
        try:
            return self._api.http.run_interruptibly(
                lambda: self._fetch(stream, start, end, until), seconds + _GRACE_SECONDS
            )
        except InterruptedError as error:
            raise SourceUnavailable(f"source {self.name}: closed while {stream} was being fetched") from error
        except TimeoutError as error:
            raise SourceUnavailable(
                f"source {self.name}: {self._api.http.url}: {stream} did not arrive within {seconds:g} s; "
                "check that the server is running, or raise deadline_seconds"
            ) from error
        except QueryRejected as error:
            raise QueryRejected(f"source {self.name}: query {stream}: {error}") from error

    def close(self) -> None:
        """End fetches under way and release the connections."""
        self._api.http.close()

    def _fetch(self, stream: str, start: int, end: int, until: float) -> Samples:
        try:
            return to_samples(joined(self._matrices(stream, start, end, until)), stream, end, self._config)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._api.not_prometheus(f" ({error!r})") from error

    def _matrices(self, stream: str, start: int, end: int, until: float) -> list[list[Any]]:
        promql = self._config.queries[stream]
        steps = min(MAXIMUM_POINTS, int(self._config.chunk_hours * STEPS_PER_HOUR))
        matrices, at = [], start
        while at <= end:
            to = min(end, at + (steps - 1) * STEP_SECONDS)
            try:
                matrices.append(self._api.query_range(promql, at, to, STEP_SECONDS, until))
            except QueryTooLarge:
                requested = (to - at) // STEP_SECONDS + 1
                if requested <= STEPS_PER_HOUR:
                    raise
                steps = max(STEPS_PER_HOUR, requested // 2)
                continue
            at = to + STEP_SECONDS
        return matrices
