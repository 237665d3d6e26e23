"""The exporters and metrics of a live Prometheus that forewarn can forecast, for ``forewarn init``."""

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

KEEP_PORT = "^(.+)$"
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class ExporterQuery:
    """The query of one exporter for a metric; ``hint`` names the usual reason why ``series`` is missing."""

    metric: str
    series: str
    promql: str
    hint: str = ""


@dataclass(frozen=True)
class Exporter:
    """An exporter: its name, a series that every instance exposes, and its queries."""

    name: str
    probe: str
    queries: tuple[ExporterQuery, ...]


def known_exporters() -> tuple[Exporter, ...]:
    """Return the exporters that ``exporters.yaml`` describes."""
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


class NothingToWatch(ForewarnError):
    """A Prometheus has no series of a known exporter."""


@dataclass(frozen=True)
class FoundExporter:
    """An exporter and its instances."""

    name: str
    instances: tuple[str, ...]


@dataclass(frozen=True)
class FoundMetric:
    """A metric, its query, its exporters and the number of its servers."""

    metric: str
    promql: str
    exporters: tuple[str, ...]
    servers: int


@dataclass(frozen=True)
class LeftOut:
    """A metric without data, and the reason."""

    metric: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """The result; ``collision`` has instances that differ only by their port, if there are any."""

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
    """Return the exporters and ``metrics`` that the server of ``config`` has now; its queries are not used.

    Raises:
        SourceUnavailable: the server cannot be reached.
        NothingToWatch: it has none of ``exporters``, or no query returns data.
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
        # an operator waits for this, so an address without an answer fails soon
        self._api.query("vector(1)", monotonic() + _CONNECT_SECONDS)
        label = self._config.server_label
        probed = [(exporter, self._instances(f"count by ({label}) ({exporter.probe})")) for exporter in exporters]
        present = [(exporter, instances) for exporter, instances in probed if instances]
        if not present:
            known = ", ".join(f"{exporter.name} ({exporter.probe})" for exporter in exporters)
            raise NothingToWatch(
                f"{self._api.http.url} answers, but has no series now of any exporter that forewarn knows: {known}; "
                "let it scrape one of them, or write sources: and metrics: yourself, see docs/configuration.md"
            )
        given: dict[str, list[_Answer]] = defaultdict(list)
        reasons: dict[str, list[str]] = defaultdict(list)
        for exporter, _ in present:
            for query in exporter.queries:
                self._try(exporter, query, given[query.metric], reasons[query.metric])
        kept = [metric for metric in metrics if given[metric]]
        if not kept:
            raise NothingToWatch(
                f"{self._api.http.url} has {', '.join(exporter.name for exporter, _ in present)}, no query has data: "
                f"{'; '.join(sorted({reason for each in reasons.values() for reason in each}))}"
            )
        groups = [instances for _, instances in present]
        groups += [tuple(one for answer in given[metric] for one in answer.instances) for metric in kept]
        collision = _collision(groups, self._config.server_pattern)
        pattern = KEEP_PORT if collision else self._config.server_pattern
        return Discovery(
            exporters=tuple(FoundExporter(exporter.name, instances) for exporter, instances in present),
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
            reasons.append(f"{exporter.name} has {query.series}, but the query returns no data{hint}")

    def _instances(self, promql: str) -> tuple[str, ...]:
        vector = self._api.query(promql, monotonic() + self._config.deadline_seconds)
        values = (item["metric"].get(self._config.server_label, "") for item in vector)
        return tuple(sorted({value for value in values if value}))


def _wanted(metric: str, exporters: Sequence[Exporter]) -> str:
    exporters_of = [each.name for each in exporters if any(query.metric == metric for query in each.queries)]
    return f"needs {' or '.join(exporters_of)}, which was not found" if exporters_of else "no known exporter has it"


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
    """Return instances of one group that ``pattern`` maps to the same server; empty if there are none."""
    compiled = re.compile(pattern)
    for group in groups:
        by_server: dict[str | None, set[str]] = defaultdict(set)
        for instance in group:
            by_server[server_name(instance, compiled)].add(instance)
        for instances in by_server.values():
            if len(instances) > 1:
                return tuple(sorted(instances))
    return ()
