"""Metrics of forecasts that were checked against what then happened."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.domain.live_scores import Tally, grouped
from daemon.pipeline.cycle import Snapshot
from daemon.pipeline.verification import Verified


class LiveMetrics(Collector):
    """Collects what was known at the last tick; a ratio that nothing was counted for is no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._verified = Verified()
        self._withdrawn = False
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._by_metric: dict[str, Tally] = {}
        registry.register(self)

    def publish(self, snapshot: Snapshot) -> None:
        """Show what earlier forecasts came to as of a tick."""
        if snapshot.verified.scores is not self._verified.scores:
            scores = snapshot.verified.scores
            self._tallies = grouped(scores, lambda score: (score.metric, score.horizon))
            self._by_metric = grouped(scores, lambda score: score.metric)
        self._verified, self._withdrawn = snapshot.verified, bool(snapshot.withdrawn)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        text = "1 while the baseline serves in place of a model, or of the base network, that was worse."
        yield GaugeMetricFamily("forewarn_model_withdrawn", text, self._withdrawn)
        text = "Forecasts that are kept until their time has come."
        yield GaugeMetricFamily("forewarn_live_forecasts_waiting", text, self._verified.waiting)
        yield self._coverage()
        skill = GaugeMetricFamily(
            "forewarn_live_skill_ratio",
            "Pinball loss of what was served relative to seasonal naive's; below 1 is better.",
            labels=["metric", "horizon"],
        )
        baseline = GaugeMetricFamily(
            "forewarn_live_baseline_skill_ratio",
            "Pinball loss of the climatology relative to seasonal naive's, on the same values.",
            labels=["metric", "horizon"],
        )
        for labels, tally in self._tallies.items():
            if tally.naive > 0:
                skill.add_metric(labels, tally.pinball / tally.naive)
                baseline.add_metric(labels, tally.baseline / tally.naive)
        yield skill
        yield baseline

    def _coverage(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "forewarn_live_coverage_ratio",
            "Share of the values inside the interval that was forecast for them.",
            labels=["metric", "interval"],
        )
        for metric, tally in self._by_metric.items():
            for interval, share in tally.coverage.items():
                family.add_metric([metric, interval], share)
        return family
