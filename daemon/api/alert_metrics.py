"""Metrics of alerts and of what became of them."""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from daemon.domain.alerts import Phase
from daemon.pipeline.alerting import Warned

_LEAD_BUCKETS = (300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800)


class AlertMetrics(Collector):
    """Collects the ledger's figures at each scrape; a ratio that nothing was counted for is no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._warned = Warned()
        registry.register(self)
        self._notifications = Counter(
            "forewarn_notifications", "Alerts that were handed over, or not.", ["target", "result"], registry=registry
        )
        self._queued = Gauge(
            "forewarn_notifications_queued", "Notifications that wait for a target.", ["target"], registry=registry
        )

    def publish(self, warned: Warned) -> None:
        """Show the alerts and the ledger as of a tick."""
        self._warned = warned

    def notifications(self, target: str, result: str, count: int) -> None:
        """Note notifications that were sent, failed, rejected or dropped."""
        self._notifications.labels(target, result).inc(count)

    def forget(self, target: str) -> None:
        """Show no queue of a target that is configured no more."""
        self._queued.remove(target)

    def queued(self, target: str, count: int) -> None:
        """Note how many notifications wait."""
        self._queued.labels(target).set(count)

    def collect(self) -> Iterator[GaugeMetricFamily | HistogramMetricFamily]:
        """Yield the metrics."""
        warned, figures = self._warned, self._warned.figures
        states = GaugeMetricFamily("forewarn_alerts", "Alerts by state.", labels=["state"])
        for phase in (Phase.PENDING, Phase.FIRING):
            states.add_metric([phase.value], sum(alert.state.phase is phase for alert in warned.alerts.values()))
        yield states
        judged = GaugeMetricFamily(
            "forewarn_alert_predictions", "Predictions in the ledger, by what became of them.", labels=["outcome"]
        )
        for outcome in ("hits", "late", "false", "missed", "unknown", "open"):
            judged.add_metric([outcome], getattr(figures, outcome))
        yield judged
        for name, text, value in (
            ("precision", "Share of the judged alerts that a breach followed in time.", figures.precision),
            ("recall", "Share of the breaches that were foretold in time.", figures.recall),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"forewarn_alert_{name}_ratio", text, value)
        yield _lead_times(figures.lead_seconds)


def _lead_times(seconds: tuple[int, ...]) -> HistogramMetricFamily:
    ordered = sorted(seconds)
    buckets = [(str(float(edge)), bisect_left(ordered, edge + 1)) for edge in _LEAD_BUCKETS]
    family = HistogramMetricFamily(
        "forewarn_alert_lead_time_seconds", "Time from an alert to the breach that it foretold."
    )
    family.add_metric([], [*buckets, ("+Inf", len(ordered))], sum(ordered))
    return family
