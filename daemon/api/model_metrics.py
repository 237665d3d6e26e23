"""Metrics of the model that serves, from what is on record of its training."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.domain.levels import LevelName
from daemon.domain.model_record import ModelRecord
from daemon.domain.ports import Clock


class ModelMetrics(Collector):
    """Collects at each scrape; without a model there is no series."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._shown: tuple[str, ModelRecord | None] = ("", None)
        registry.register(self)

    def publish(self, model: str, record: ModelRecord | None) -> None:
        """Show ``model``, an id or empty for none, and its record if there is one."""
        self._shown = (model, record)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        model, record = self._shown
        if model:
            level = record.level.value if record else ""
            info = GaugeMetricFamily("forewarn_model_info", "The model that serves.", labels=["model", "level"])
            info.add_metric([model, level], 1)
            yield info
        if record is not None:
            yield from self._training(record)
            # of a demo model nothing may be said of its accuracy
            if record.level is not LevelName.DEMO:
                yield from _quality(record)

    def _training(self, record: ModelRecord) -> Iterator[GaugeMetricFamily]:
        age = max(0.0, self._clock.now() - record.trained_at)
        yield GaugeMetricFamily("forewarn_model_age_seconds", "Time since the model was trained.", age)
        loss = GaugeMetricFamily(
            "forewarn_training_loss", "Weighted pinball loss at the end of the training.", labels=["stage"]
        )
        loss.add_metric(["train"], record.train_loss)
        loss.add_metric(["validation"], record.validation_loss)
        yield loss
        for name, text, value in (
            ("epoch", "Epochs of the training.", record.epochs),
            ("learning_rate", "Learning rate at the end of the last epoch.", record.learning_rate),
            ("samples_per_second", "Training windows per second in the last epoch.", record.samples_per_second),
            ("duration_seconds", "Duration of the training.", record.duration_seconds),
            ("last_success_timestamp_seconds", "When the training ended.", record.trained_at),
        ):
            yield GaugeMetricFamily(f"forewarn_training_{name}", text, value)


def _quality(record: ModelRecord) -> Iterator[GaugeMetricFamily]:
    if record.quantile_loss is not None:
        text = "Pinball loss on held-out time over the seasonal naive error."
        yield GaugeMetricFamily("forewarn_model_quantile_loss", text, record.quantile_loss)
    skill = GaugeMetricFamily(
        "forewarn_model_skill_ratio",
        "Pinball loss on held-out time relative to seasonal naive's; below 1 is better.",
        labels=["metric"],
    )
    for metric, ratio in record.skill.items():
        skill.add_metric([metric], ratio)
    yield skill
