"""From the matrices of range queries to samples of servers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from daemon.config.sources import PrometheusConfig
from daemon.domain.errors import QueryRejected
from daemon.domain.grid import STEP_SECONDS, as_text
from daemon.domain.series import Float32, Int64, Samples, SeriesKey

_HANDOVER_STEPS = 2


class LabelledSeries(NamedTuple):
    """One series as Prometheus names it, finite values only."""

    labels: Mapping[str, str]
    timestamps: Int64
    values: Float32


def joined(matrices: Iterable[list[Any]]) -> list[LabelledSeries]:
    """Return the series of matrices that follow each other in time, each series in one piece.

    Raises:
        QueryRejected: a series has no plain numbers.
        ValueError: a series has times that are not on the grid.
    """
    pieces: dict[tuple[tuple[str, str], ...], list[tuple[Int64, Float32]]] = defaultdict(list)
    for matrix in matrices:
        for item in matrix:
            labels: dict[str, str] = item["metric"]
            if not item.get("values"):
                raise QueryRejected(f"{_shown(labels)} has no plain numbers; use a query that gives them")
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
    """Return the samples of ``metric`` in ``series``, fetched up to ``end``, under their servers' names.

    Raises:
        QueryRejected: a series names no server, or two series give one server a value at the same time.
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
        tuple(SeriesKey(server, metric) for server in by_server),
        np.repeat(np.array([row for row, _ in rows], dtype=np.int32), [len(one.timestamps) for _, one in rows]),
        np.concatenate([one.timestamps for _, one in rows]),
        np.concatenate([one.values for _, one in rows]),
        profiles,
    )


def server_name(value: str, pattern: re.Pattern[str]) -> str | None:
    """Return the server in the label value ``value``: the one group of ``pattern``; None where it finds none."""
    match = pattern.search(value)
    return (match.group(1) or None) if match else None


def _finite(pairs: list[tuple[float, str]]) -> tuple[Int64, Float32]:
    times, texts = zip(*pairs, strict=True)
    with np.errstate(over="ignore"):
        values = np.fromiter(map(float, texts), np.float64, len(texts)).astype(np.float32)
    stamps = np.array(times, np.float64)
    if (stamps % STEP_SECONDS).any():
        raise ValueError("samples at times that were not asked for")
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
            f"server_pattern {config.server_pattern!r} finds no server in {label}={labels[label]!r}; "
            "change server_pattern"
        )
    return server


def _refuse_collision(
    server: str, earlier: LabelledSeries, later: LabelledSeries, end: int, config: PrometheusConfig
) -> None:
    both = np.intersect1d(earlier.timestamps, later.timestamps)
    # A target that was renamed lives on in five-minute averages for a moment; the series that goes on counts.
    handed_over = earlier.timestamps[-1] < end and len(both) <= _HANDOVER_STEPS
    if len(both) and not handed_over:
        raise QueryRejected(
            f"two series are server {server!r} at {as_text(int(both[0]))}: {_shown(earlier.labels)} and "
            f"{_shown(later.labels)}; aggregate by ({config.server_label}), or change server_pattern so that it "
            "tells them apart"
        )


def _shown(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
