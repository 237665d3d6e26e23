"""Metrics of the service as such: whether it is ready, what its reloads came to, how much memory it has left."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.api.control_group import memory


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
