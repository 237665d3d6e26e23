"""Metrics of the model that serves, from what is on record of its training."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.domain.model_record import ModelRecord
from daemon.domain.ports import Clock
from daemon.domain.shown_figures import ShownFigures, shown_figures
from daemon.pipeline.retraining import TrainingState


class ModelMetrics(Collector):
    """Collects at each scrape; without a model there is no series."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._shown: tuple[str, ModelRecord | None] = ("", None)
        self._training_state: Callable[[], TrainingState] | None = None
        registry.register(self)

    def publish(self, model: str, record: ModelRecord | None) -> None:
        """Show ``model``, an id or empty for none, and its record if there is one."""
        self._shown = (model, record)

    def show_training(self, state: Callable[[], TrainingState]) -> None:
        """Show the newest epoch of a training that is under way in place of the serving model's last one."""
        self._training_state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        model, record = self._shown
        if model:
            level = record.level.value if record else ""
            info = GaugeMetricFamily("forewarn_model_info", "The model that serves.", labels=["model", "level"])
            info.add_metric([model, level], 1)
            yield info
        epoch = self._epoch_under_way() or (record and _last_epoch(record))
        if epoch:
            yield from _fitting(epoch)
        if record is not None:
            age = max(0.0, self._clock.now() - record.trained_at)
            yield GaugeMetricFamily("forewarn_model_age_seconds", "Time since the model was trained.", age)
            text = "Duration of the serving model's training."
            yield GaugeMetricFamily("forewarn_training_duration_seconds", text, record.duration_seconds)
            text = "When the serving model's training ended."
            yield GaugeMetricFamily("forewarn_training_last_success_timestamp_seconds", text, record.trained_at)
            yield from _quality(shown_figures(record))

    def _epoch_under_way(self) -> Mapping[str, float] | None:
        told = self._training_state().told if self._training_state is not None else ()
        return next((said["record"] for said in reversed(told) if "record" in said), None)


def _last_epoch(record: ModelRecord) -> Mapping[str, float]:
    return {
        "epoch": record.epochs - 1,
        "train_loss": record.train_loss,
        "val_loss": record.validation_loss,
        "learning_rate": record.learning_rate,
        "samples_per_second": record.samples_per_second,
    }


def _fitting(epoch: Mapping[str, float]) -> Iterator[GaugeMetricFamily]:
    text = "Weighted pinball loss of the newest epoch of a training under way, else of the serving model's."
    loss = GaugeMetricFamily("forewarn_training_loss", text, labels=["stage"])
    loss.add_metric(["train"], epoch["train_loss"])
    loss.add_metric(["validation"], epoch["val_loss"])
    yield loss
    for name, text, value in (
        ("epoch", "Epochs made.", epoch["epoch"] + 1),
        ("learning_rate", "Learning rate at the end of the last epoch.", epoch["learning_rate"]),
        ("samples_per_second", "Training windows per second in the last epoch.", epoch["samples_per_second"]),
    ):
        yield GaugeMetricFamily(f"forewarn_training_{name}", text, value)


def _quality(shown: ShownFigures) -> Iterator[GaugeMetricFamily]:
    if shown.quantile_loss is not None:
        text = "Pinball loss on held-out time over the seasonal naive error."
        yield GaugeMetricFamily("forewarn_model_quantile_loss", text, shown.quantile_loss)
    if not shown.skill:
        return
    skill = GaugeMetricFamily(
        "forewarn_model_skill_ratio",
        "Pinball loss on held-out time relative to seasonal naive's; below 1 is better.",
        labels=["metric"],
    )
    for metric, ratio in shown.skill.items():
        skill.add_metric([metric], ratio)
    yield skill
