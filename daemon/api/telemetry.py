"""The service's own metrics."""

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
from daemon.models.retraining import TrainingState
from daemon.pipeline.cycle import Snapshot
from daemon.system.process import TorchMemory, memory

_log = structlog.get_logger()


def _pynvml() -> Any:
    import pynvml  # noqa: PLC0415 - a start does not wait for it

    return pynvml


class GpuMetrics(Collector):
    """Collects at each scrape; without a GPU, or without a driver that answers, there is no series of it."""

    def __init__(
        self, torch_memory: Callable[[], Mapping[str, TorchMemory]], library: Callable[[], Any] = _pynvml
    ) -> None:
        """Note where the figures come from; neither is asked before the first scrape.

        Args:
            torch_memory: what torch holds in this process, by the driver's UUID of the GPU.
            library: gives the NVML module.
        """
        self._torch_memory, self._library = torch_memory, library
        self._lock = threading.Lock()
        self._begun = False
        self._nvml: Any = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        memory = GaugeMetricFamily(
            "forewarn_gpu_memory_bytes",
            "Memory of a GPU: used by all and total, as the driver says; allocated, reserved and at the peak allocated "
            "by torch in this process, which a training is not part of.",
            labels=["device", "kind"],
        )
        utilization = GaugeMetricFamily(
            "forewarn_gpu_utilization_ratio", "Share of the last moments in which the GPU worked.", labels=["device"]
        )
        names = self._add_what_the_driver_says(memory, utilization)
        for uuid, held in self._torch_memory().items():
            # the driver counts by slot, torch by speed and by CUDA_VISIBLE_DEVICES; the UUID is the same
            device = names.get(uuid, uuid)
            memory.add_metric([device, "allocated"], held.allocated)
            memory.add_metric([device, "reserved"], held.reserved)
            memory.add_metric([device, "peak"], held.peak)
        yield from (family for family in (memory, utilization) if family.samples)

    def _add_what_the_driver_says(self, memory: GaugeMetricFamily, utilization: GaugeMetricFamily) -> dict[str, str]:
        """Return the devices' names by UUID."""
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
            # a GPU that fell off the bus, or that does not know a figure, takes none from the others
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                names[nvml.nvmlDeviceGetUUID(handle)] = device
                said = nvml.nvmlDeviceGetMemoryInfo(handle)
                memory.add_metric([device, "used"], said.used)
                memory.add_metric([device, "total"], said.total)
                utilization.add_metric([device], nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
            except nvml.NVMLError:
                continue
        return names

    def _initialised(self) -> Any:
        """Return NVML, initialised at the first call; None where that failed: then there is no GPU to speak of."""
        with self._lock:
            if not self._begun:
                self._begun = True
                nvml = self._library()
                try:
                    nvml.nvmlInit()
                    self._nvml = nvml
                except nvml.NVMLError as error:
                    _log.info("gpus_not_shown", reason=str(error))
            return self._nvml


class ServiceMetrics(Collector):
    """Collects what is true at the moment of a scrape."""

    def __init__(self, registry: CollectorRegistry, problems: Callable[[], Collection[str]], started: float) -> None:
        """Register the metrics.

        Args:
            registry: where.
            problems: why the service is not ready; empty if it is.
            started: wall time of the start, in epoch seconds, at which the configuration was read.
        """
        self._problems = problems
        registry.register(self)
        self._reloaded = Gauge(
            "forewarn_config_last_reload_successful",
            "1 if the configuration file could be used when it was last read.",
            registry=registry,
        )
        self._reload_time = Gauge(
            "forewarn_config_last_reload_success_timestamp_seconds",
            "When the configuration that is followed was read.",
            registry=registry,
        )
        self.reloaded(True, started)

    def reloaded(self, succeeded: bool, now: float) -> None:
        """Note that the configuration file was read at wall time ``now``."""
        self._reloaded.set(succeeded)
        if succeeded:
            self._reload_time.set(now)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        text = "1 if there is a forecast that is fresh enough, as /readyz says."
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
        for source in ForecasterKind:
            self._rows.labels(source.value).set(snapshot.rows_by_source.get(source, 0))
        for state in ("known", "cold", "stale"):
            self._servers.labels(state).set(sum(server.state == state for server in snapshot.servers))
        for fetched in snapshot.sources:
            self._source_up.labels(fetched.name).set(fetched.healthy)
        self._model.publish(snapshot.model, snapshot.record)
        self._alerts.publish(snapshot.alerting)
        self._live.publish(snapshot)

    def render(self) -> bytes:
        """Return the metrics in the text format."""
        return generate_latest(self._registry)
