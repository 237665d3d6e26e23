"""The service's own metrics: the ``Telemetry`` port on a Prometheus registry."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog
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
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon import __version__
from daemon.api.collectors import AlertMetrics, LiveMetrics, ModelMetrics, TrainingMetrics
from daemon.core.clock import Clock
from daemon.core.forecast import ForecasterKind
from daemon.core.series import DataState
from daemon.models.retraining import TrainingState
from daemon.network.device import TorchMemory
from daemon.pipeline.cycle import Snapshot
from daemon.system.process import memory

_STAGE_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)

_log = structlog.get_logger()


def _pynvml() -> Any:
    import pynvml  # noqa: PLC0415 - keeps the start short

    return pynvml


class GpuMetrics(Collector):
    """Collects GPU metrics at each scrape; without a GPU or a working driver there are no series."""

    def __init__(
        self, torch_memory: Callable[[], Mapping[str, TorchMemory]], library: Callable[[], Any] = _pynvml
    ) -> None:
        """Prepare the collector; the sources are read at the first scrape.

        Args:
            torch_memory: returns the memory that torch uses in this process, by the UUID of the GPU.
            library: returns the NVML module.
        """
        self._torch_memory, self._library = torch_memory, library
        self._lock = threading.Lock()
        self._initialised_once = False
        self._nvml: Any = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        sizes = GaugeMetricFamily(
            "forewarn_gpu_memory_bytes",
            "Memory of a GPU: used and total, from the driver; allocated, reserved and peak allocated by torch in this "
            "process, without trainings.",
            labels=["device", "kind"],
        )
        utilization = GaugeMetricFamily(
            "forewarn_gpu_utilization_ratio", "Share of the last seconds in which the GPU was busy.", labels=["device"]
        )
        names = self._add_driver_metrics(sizes, utilization)
        for uuid, held in self._torch_memory().items():
            # the driver numbers GPUs by slot, torch by speed and CUDA_VISIBLE_DEVICES; the UUID is the same
            device = names.get(uuid, uuid)
            sizes.add_metric([device, "allocated"], held.allocated)
            sizes.add_metric([device, "reserved"], held.reserved)
            sizes.add_metric([device, "peak"], held.peak)
        yield from (family for family in (sizes, utilization) if family.samples)

    def _add_driver_metrics(self, sizes: GaugeMetricFamily, utilization: GaugeMetricFamily) -> dict[str, str]:
        """Add the metrics of the driver, and return the names of the devices by UUID."""
        names: dict[str, str] = {}
        nvml = self._initialised()
        if nvml is None:
            return names
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError:
            return names
        for index in range(count):
            device = str(index)
            # a GPU that fails, or lacks a value, must not affect the others
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                names[nvml.nvmlDeviceGetUUID(handle)] = device
                found = nvml.nvmlDeviceGetMemoryInfo(handle)
                sizes.add_metric([device, "used"], found.used)
                sizes.add_metric([device, "total"], found.total)
                utilization.add_metric([device], nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
            except nvml.NVMLError:
                continue
        return names

    def _initialised(self) -> Any:
        """Return NVML, initialised at the first call; None if that failed, so without a GPU."""
        with self._lock:
            if not self._initialised_once:
                self._initialised_once = True
                nvml = self._library()
                try:
                    nvml.nvmlInit()
                    self._nvml = nvml
                except nvml.NVMLError as error:
                    _log.info("gpus_not_shown", reason=str(error))
            return self._nvml


class ServiceMetrics(Collector):
    """Collects readiness and memory at the moment of a scrape."""

    def __init__(self, registry: CollectorRegistry, problems: Callable[[], Collection[str]], started: float) -> None:
        """Register the metrics.

        Args:
            registry: registry of the metrics.
            problems: returns why the service is not ready; empty if it is ready.
            started: wall time at which the configuration was read, in epoch seconds.
        """
        self._problems = problems
        registry.register(self)
        self._reloaded = Gauge(
            "forewarn_config_last_reload_successful",
            "1 if the configuration file was valid when it was last read.",
            registry=registry,
        )
        self._reload_time = Gauge(
            "forewarn_config_last_reload_success_timestamp_seconds",
            "Time at which the running configuration was read.",
            registry=registry,
        )
        self.reloaded(True, started)

    def reloaded(self, succeeded: bool, now: float) -> None:
        """Record that the configuration file was read at wall time ``now``."""
        self._reloaded.set(succeeded)
        if succeeded:
            self._reload_time.set(now)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        text = "1 if there is a recent forecast, as for /readyz."
        yield GaugeMetricFamily("forewarn_ready", text, not self._problems())
        found = memory(Path("/"))
        if found is not None:
            family = GaugeMetricFamily(
                "forewarn_memory_bytes",
                "Anonymous memory of the control group, training included, and its limit.",
                labels=["kind"],
            )
            family.add_metric(["used"], found.used)
            family.add_metric(["limit"], found.limit)
            yield family


class PrometheusTelemetry:
    """Implements the ``Telemetry`` port on its own registry, and renders it."""

    def __init__(self, clock: Clock, problems: Callable[[], Collection[str]] = tuple) -> None:
        """Register the metrics.

        Args:
            clock: clock of the service.
            problems: returns why the service is not ready; empty if it is ready.
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
            "forewarn_ingest_rejected_samples", "Rejected samples.", ["source", "reason"], registry=registry
        )
        self._failures = Counter(
            "forewarn_source_failures",
            "Failed fetches; the label stream is empty if the whole source failed.",
            ["source", "stream"],
            registry=registry,
        )
        self._empty = Counter(
            "forewarn_source_empty_fetches", "Fetches without a sample.", ["source", "stream"], registry=registry
        )
        self._skipped = Counter(
            "forewarn_ticks_skipped",
            "Grid times without a tick, because an earlier tick took too long.",
            registry=registry,
        )
        self._refused = Counter(
            "forewarn_http_requests_refused",
            "Requests that were refused before they were processed, by reason.",
            ["reason"],
            registry=registry,
        )
        self._source_up = Gauge(
            "forewarn_source_up",
            "1 if every stream of the source was fetched in the last tick.",
            ["source"],
            registry=registry,
        )
        self._lag = Gauge("forewarn_ingest_lag_seconds", "Age of the newest sample.", registry=registry)
        self._age = Gauge(
            "forewarn_forecast_age_seconds", "Age of the origin of the newest forecast.", registry=registry
        )
        self._series = Gauge(
            "forewarn_forecast_source", "Series by the forecaster that served them.", ["source"], registry=registry
        )
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
        """Remove the state of sources and targets that are no longer configured."""
        for source in self._sources.difference(sources):
            self._source_up.remove(source)
        for target in self._targets.difference(targets):
            self._alerts.forget(target)
        self._sources, self._targets = frozenset(sources), frozenset(targets)

    def show_training(self, state: Callable[[], TrainingState]) -> None:
        """Add the metrics of trainings; ``state`` returns the present state."""
        self._registry.register(TrainingMetrics(state))
        self._model.show_training(state)

    def show_gpus(self, torch_memory: Callable[[], Mapping[str, TorchMemory]]) -> None:
        """Add the metrics of GPUs; ``torch_memory`` returns the memory that this process uses."""
        self._registry.register(GpuMetrics(torch_memory))

    def reloaded(self, succeeded: bool) -> None:
        """Record that the configuration file was read again."""
        self._service.reloaded(succeeded, time.time())

    def stage(self, name: str, seconds: float, succeeded: bool) -> None:
        """Record the duration and the result of a stage of the pipeline."""
        self._stage_seconds.labels(name).observe(seconds)
        self._stage_runs.labels(name, "success" if succeeded else "failure").inc()

    def ingested(self, source: str, samples: int) -> None:
        """Count samples that were new or changed."""
        self._ingested.labels(source).inc(samples)

    def rejected(self, source: str, reason: str, samples: int) -> None:
        """Count rejected samples by reason."""
        self._rejected.labels(source, reason).inc(samples)

    def source_failed(self, source: str, stream: str) -> None:
        """Count a failed fetch of a stream, or of the whole source."""
        self._failures.labels(source, stream).inc()

    def source_empty(self, source: str, stream: str) -> None:
        """Count a fetch of a stream without a sample."""
        self._empty.labels(source, stream).inc()

    def notifications(self, target: str, result: str, count: int) -> None:
        """Count notifications that were sent, failed, rejected or dropped."""
        self._alerts.notifications(target, result, count)

    def queued(self, target: str, count: int) -> None:
        """Record the number of queued notifications for ``target``."""
        self._alerts.queued(target, count)

    def request_refused(self, reason: str) -> None:
        """Count a request that was refused for its rate, credentials, origin or size."""
        self._refused.labels(reason).inc()

    def ticks_skipped(self, ticks: int) -> None:
        """Count grid times without a tick."""
        self._skipped.inc(ticks)

    def publish(self, snapshot: Snapshot) -> None:
        """Record the result of a tick."""
        newest = max((server.newest for server in snapshot.servers), default=0)
        self._lag.set_function(lambda: max(0.0, self._clock.now() - newest))
        self._age.set_function(lambda: max(0.0, self._clock.now() - snapshot.at))
        for kind in ForecasterKind:
            self._series.labels(kind.value).set(snapshot.series_by_forecaster.get(kind, 0))
        for state in DataState:
            self._servers.labels(state.value).set(sum(server.state is state for server in snapshot.servers))
        for fetched in snapshot.sources:
            self._source_up.labels(fetched.name).set(fetched.healthy)
        self._model.publish(snapshot.model, snapshot.record)
        self._alerts.publish(snapshot.alerting)
        self._live.publish(snapshot)

    def render(self) -> bytes:
        """Return the metrics in the text format."""
        return generate_latest(self._registry)
