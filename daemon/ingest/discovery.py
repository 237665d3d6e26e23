"""What a live Prometheus has that forewarn can watch."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from time import monotonic

import httpx
import yaml

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import ForewarnError, QueryRejected
from daemon.ingest.prometheus import server_name
from daemon.ingest.prometheus_client import PrometheusApi


@dataclass(frozen=True)
class ExporterQuery:
    """How one exporter gives a metric; ``hint`` says what to do where it does not."""

    metric: str
    series: str
    promql: str
    hint: str = ""


@dataclass(frozen=True)
class Exporter:
    """An exporter, the series that shows that it is there, and what it can give."""

    name: str
    probe: str
    queries: tuple[ExporterQuery, ...]


def known_exporters() -> tuple[Exporter, ...]:
    """Return the exporters that ship with the package."""
    known = yaml.safe_load((files("daemon.config") / "exporters.yaml").read_text(encoding="utf-8"))
    return tuple(
        Exporter(
            name,
            exporter["probe"],
            tuple(
                ExporterQuery(metric, entry["series"], entry["query"], entry.get("hint", ""))
                for metric, entry in exporter["metrics"].items()
            ),
        )
        for name, exporter in known.items()
    )


KEEP_PORT = "^(.+)$"
_REACH_SECONDS = 5.0


class NothingToWatch(ForewarnError):
    """A Prometheus has no series that forewarn knows how to use."""


@dataclass(frozen=True)
class FoundExporter:
    """An exporter and the instances that have it."""

    name: str
    instances: tuple[str, ...]


@dataclass(frozen=True)
class FoundMetric:
    """A metric, the query for it, who gives it and for how many servers."""

    metric: str
    promql: str
    exporters: tuple[str, ...]
    servers: int


@dataclass(frozen=True)
class LeftOut:
    """A metric that no exporter gives, and why."""

    metric: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """What was found; ``collision`` names instances that only their port tells apart, if there are any."""

    exporters: tuple[FoundExporter, ...]
    metrics: tuple[FoundMetric, ...]
    left_out: tuple[LeftOut, ...]
    server_pattern: str
    collision: tuple[str, ...] = ()

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers of all exporters together, by name."""
        return _servers((one for found in self.exporters for one in found.instances), self.server_pattern)


@dataclass(frozen=True)
class _Answer:
    exporter: str
    query: ExporterQuery
    instances: tuple[str, ...]


def discover(
    config: PrometheusConfig,
    exporters: Sequence[Exporter],
    metrics: Sequence[str],
    transport: httpx.BaseTransport | None = None,
) -> Discovery:
    """Return what the server of ``config`` has now of ``metrics``; its queries are not used.

    Raises:
        SourceUnavailable: the server cannot be asked.
        NothingToWatch: it has none of ``exporters``, or none of them gives a metric.
    """
    api = PrometheusApi(config, transport)
    try:
        return _Survey(api, config).discovery(exporters, metrics)
    finally:
        api.http.close()


class _Survey:
    def __init__(self, api: PrometheusApi, config: PrometheusConfig) -> None:
        self._api, self._config = api, config

    def discovery(self, exporters: Sequence[Exporter], metrics: Sequence[str]) -> Discovery:
        # Someone waits for this, so an address where nothing answers is not tried for long.
        self._api.query("vector(1)", monotonic() + _REACH_SECONDS)
        label = self._config.server_label
        probed = [(exporter, self._instances(f"count by ({label}) ({exporter.probe})")) for exporter in exporters]
        there = [(exporter, instances) for exporter, instances in probed if instances]
        if not there:
            sought = ", ".join(f"{exporter.name} ({exporter.probe})" for exporter in exporters)
            raise NothingToWatch(
                f"{self._api.http.url} answers, but has no series now of any exporter that forewarn knows: {sought}; "
                "have it scrape one of them, or write sources: and metrics: yourself as docs/configuration.md shows"
            )
        given: dict[str, list[_Answer]] = defaultdict(list)
        reasons: dict[str, list[str]] = defaultdict(list)
        for exporter, _ in there:
            for query in exporter.queries:
                self._try(exporter, query, given[query.metric], reasons[query.metric])
        kept = [metric for metric in metrics if given[metric]]
        if not kept:
            raise NothingToWatch(
                f"{self._api.http.url} has {', '.join(exporter.name for exporter, _ in there)}, but no query has data: "
                f"{'; '.join(sorted({reason for each in reasons.values() for reason in each}))}"
            )
        groups = [instances for _, instances in there]
        groups += [tuple(one for answer in given[metric] for one in answer.instances) for metric in kept]
        collision = _collision(groups, self._config.server_pattern)
        pattern = KEEP_PORT if collision else self._config.server_pattern
        return Discovery(
            exporters=tuple(FoundExporter(exporter.name, instances) for exporter, instances in there),
            metrics=tuple(_found(metric, given[metric], pattern) for metric in kept),
            left_out=tuple(
                LeftOut(metric, "; ".join(reasons[metric]) or _wanted(metric, exporters))
                for metric in metrics
                if not given[metric]
            ),
            server_pattern=pattern,
            collision=collision,
        )

    def _try(self, exporter: Exporter, query: ExporterQuery, given: list[_Answer], reasons: list[str]) -> None:
        try:
            instances = self._instances(query.promql)
        except QueryRejected as error:
            reasons.append(f"{exporter.name}: {error}")
            return
        if instances:
            given.append(_Answer(exporter.name, query, instances))
            return
        hint = f": {query.hint}" if query.hint else ""
        if not self._instances(f"count by ({self._config.server_label}) ({query.series})"):
            reasons.append(f"{exporter.name} has no {query.series}{hint}")
        else:
            hint = hint or "; a rate needs two scrapes in five minutes"
            reasons.append(f"{exporter.name} has {query.series}, but the query gives nothing{hint}")

    def _instances(self, promql: str) -> tuple[str, ...]:
        vector = self._api.query(promql, monotonic() + self._config.deadline_seconds)
        values = (item["metric"].get(self._config.server_label, "") for item in vector)
        return tuple(sorted({value for value in values if value}))


def _wanted(metric: str, exporters: Sequence[Exporter]) -> str:
    givers = [each.name for each in exporters if any(query.metric == metric for query in each.queries)]
    return f"needs {' or '.join(givers)}, which is not there" if givers else "no known exporter gives it"


def _found(metric: str, answers: list[_Answer], pattern: str) -> FoundMetric:
    promql = [answer.query.promql for answer in answers]
    return FoundMetric(
        metric,
        promql[0] if len(promql) == 1 else " or ".join(f"({one})" for one in promql),
        tuple(answer.exporter for answer in answers),
        len(_servers((one for answer in answers for one in answer.instances), pattern)),
    )


def _servers(instances: Iterable[str], pattern: str) -> tuple[str, ...]:
    compiled = re.compile(pattern)
    return tuple(sorted({server_name(instance, compiled) or instance for instance in instances}))


def _collision(groups: Iterable[tuple[str, ...]], pattern: str) -> tuple[str, ...]:
    """Return the instances of one group that ``pattern`` makes the same server; empty where there are none."""
    compiled = re.compile(pattern)
    for group in groups:
        by_server: dict[str | None, set[str]] = defaultdict(set)
        for instance in group:
            by_server[server_name(instance, compiled)].add(instance)
        for instances in by_server.values():
            if len(instances) > 1:
                return tuple(sorted(instances))
    return ()
