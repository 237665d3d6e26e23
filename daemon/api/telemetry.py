"""The service's own metrics."""

import time
from collections.abc import Callable, Collection, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from daemon import __version__
from daemon.api.alert_metrics import AlertMetrics
from daemon.api.gpu_metrics import GpuMetrics
from daemon.api.live_metrics import LiveMetrics
from daemon.api.model_metrics import ModelMetrics
from daemon.api.service_metrics import ServiceMetrics
from daemon.api.training_metrics import TrainingMetrics
from daemon.domain.forecast import ForecastSource
from daemon.domain.ports import Clock
from daemon.learning.gpu_memory import TorchMemory
from daemon.pipeline.cycle import Snapshot
from daemon.pipeline.retraining import TrainingState

_STAGE_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class PrometheusTelemetry:
    """Implements the ``Telemetry`` port on a registry of its own, and renders it."""

    def __init__(self, clock: Clock, problems: Callable[[], Collection[str]] = tuple) -> None:
        """Register the metrics.

        Args:
            clock: the service's.
            problems: why the service is not ready; empty if it is.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._stage_seconds = Histogram(
            "forewarn_stage_duration_seconds",
            "Duration of each stage of the pipeline.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self._stage_runs = Counter(
            "forewarn_stage_runs", "Runs of each stage of the pipeline.", ["stage", "result"], registry=registry
        )
        self._ingested = Counter(
            "forewarn_ingest_samples", "Samples that were new or changed a value.", ["source"], registry=registry
        )
        self._rejected = Counter(
            "forewarn_ingest_rejected_samples", "Samples that were refused.", ["source", "reason"], registry=registry
        )
        self._failures = Counter(
            "forewarn_source_failures",
            "Fetches that failed; the stream is empty when the whole source failed.",
            ["source", "stream"],
            registry=registry,
        )
        self._empty = Counter(
            "forewarn_source_empty_fetches", "Fetches that gave no sample.", ["source", "stream"], registry=registry
        )
        self._skipped = Counter(
            "forewarn_ticks_skipped",
            "Grid times without a tick of their own, as one before took too long.",
            registry=registry,
        )
        self._refused = Counter(
            "forewarn_http_requests_refused",
            "Requests that were refused before they were looked at any further, by why.",
            ["reason"],
            registry=registry,
        )
        self._source_up = Gauge(
            "forewarn_source_up", "1 if the source could be fetched in the last tick.", ["source"], registry=registry
        )
        self._lag = Gauge("forewarn_ingest_lag_seconds", "Age of the newest sample.", registry=registry)
        self._age = Gauge("forewarn_forecast_age_seconds", "Age of the forecast's origin.", registry=registry)
        self._rows = Gauge("forewarn_forecast_source", "Series forecast by each source.", ["source"], registry=registry)
        self._servers = Gauge("forewarn_servers", "Servers by state.", ["state"], registry=registry)
        self._service = ServiceMetrics(registry, problems, time.time())
        self._model = ModelMetrics(clock, registry)
        self._alerts = AlertMetrics(registry)
        self._live = LiveMetrics(registry)
        build = Gauge("forewarn_build_info", "The running version.", ["version"], registry=registry)
        build.labels(__version__).set(1)
        self._sources: frozenset[str] = frozenset()
        self._targets: frozenset[str] = frozenset()

    def configure(self, sources: Collection[str], targets: Collection[str]) -> None:
        """Show no state of sources and targets that are configured no more."""
        for source in self._sources.difference(sources):
            self._source_up.remove(source)
        for target in self._targets.difference(targets):
            self._alerts.forget(target)
        self._sources, self._targets = frozenset(sources), frozenset(targets)

    def show_training(self, state: Callable[[], TrainingState]) -> None:
        """Show, from now on, what ``state`` says of trainings."""
        self._registry.register(TrainingMetrics(state))
        self._model.show_training(state)

    def show_gpus(self, torch_memory: Callable[[], Mapping[str, TorchMemory]]) -> None:
        """Show, from now on, the GPUs, and what ``torch_memory`` says that this process holds of them."""
        self._registry.register(GpuMetrics(torch_memory))

    def reloaded(self, succeeded: bool) -> None:
        """Note that the configuration file was read again."""
        self._service.reloaded(succeeded, time.time())

    def stage(self, name: str, seconds: float, succeeded: bool) -> None:
        """Note that a stage of the pipeline ran."""
        self._stage_seconds.labels(name).observe(seconds)
        self._stage_runs.labels(name, "success" if succeeded else "failure").inc()

    def ingested(self, source: str, samples: int) -> None:
        """Note samples that were new or changed."""
        self._ingested.labels(source).inc(samples)

    def rejected(self, source: str, reason: str, samples: int) -> None:
        """Note samples that were refused, and why."""
        self._rejected.labels(source, reason).inc(samples)

    def source_failed(self, source: str, stream: str) -> None:
        """Note that a stream, or the whole source, could not be fetched."""
        self._failures.labels(source, stream).inc()

    def source_empty(self, source: str, stream: str) -> None:
        """Note that a stream answered without a sample."""
        self._empty.labels(source, stream).inc()

    def notifications(self, target: str, result: str, count: int) -> None:
        """Note notifications that were sent, failed, rejected or dropped."""
        self._alerts.notifications(target, result, count)

    def queued(self, target: str, count: int) -> None:
        """Note how many notifications wait for ``target``."""
        self._alerts.queued(target, count)

    def request_refused(self, reason: str) -> None:
        """Note a request that was refused: for its rate, its credentials, its origin or its size."""
        self._refused.labels(reason).inc()

    def ticks_skipped(self, ticks: int) -> None:
        """Note grid times that had no tick of their own."""
        self._skipped.inc(ticks)

    def publish(self, snapshot: Snapshot) -> None:
        """Show the state as of a tick."""
        newest = max((server.newest for server in snapshot.servers), default=0)
        self._lag.set_function(lambda: max(0.0, self._clock.now() - newest))
        self._age.set_function(lambda: max(0.0, self._clock.now() - snapshot.at))
        for source in ForecastSource:
            self._rows.labels(source.value).set(snapshot.rows_by_source.get(source, 0))
        for state in ("known", "cold", "stale"):
            self._servers.labels(state).set(sum(server.state == state for server in snapshot.servers))
        for fetched in snapshot.sources:
            self._source_up.labels(fetched.name).set(fetched.healthy)
        self._model.publish(snapshot.model, snapshot.record)
        self._alerts.publish(snapshot.warned)
        self._live.publish(snapshot)

    def render(self) -> bytes:
        """Return the metrics in the text format."""
        return generate_latest(self._registry)
