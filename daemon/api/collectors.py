"""Collectors of the metrics of live scores, model, trainings and alerts, from the newest snapshot."""

import collections
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from daemon.alerting.engine import AlertingResult
from daemon.alerting.state import AlertState
from daemon.core.clock import Clock
from daemon.core.levels import LevelName
from daemon.core.training_info import EpochRecord
from daemon.forecasting.verification import Tally, VerificationResult, grouped
from daemon.models.claims import ShownFigures, shown_figures
from daemon.models.record import ModelRecord
from daemon.models.retraining import TrainingState
from daemon.models.runs import RunState
from daemon.pipeline.cycle import Snapshot

_WITH_A_MODEL = (RunState.SUCCEEDED, RunState.REJECTED)
_LEAD_BUCKETS = (300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800)


class LiveMetrics(Collector):
    """Collects the live scores of the last tick; a ratio without a count has no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._verification = VerificationResult()
        self._is_demoted = False
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._by_metric: dict[str, Tally] = {}
        registry.register(self)

    def publish(self, snapshot: Snapshot) -> None:
        """Show the scores of earlier forecasts as of a tick."""
        if snapshot.verification.scores is not self._verification.scores:
            scores = snapshot.verification.scores
            self._tallies = grouped(scores, lambda score: (score.metric, score.horizon))
            self._by_metric = grouped(scores, lambda score: score.metric)
        self._verification, self._is_demoted = snapshot.verification, snapshot.demotion is not None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        text = "1 while the baseline serves instead of a demoted model or base network."
        yield GaugeMetricFamily("forewarn_model_withdrawn", text, self._is_demoted)
        text = "Forecasts that are not scored yet."
        yield GaugeMetricFamily("forewarn_live_forecasts_waiting", text, self._verification.pending)
        yield self._coverage()
        skill = GaugeMetricFamily(
            "forewarn_live_skill_ratio",
            "Pinball loss of the served forecasts relative to seasonal naive; below 1 is better.",
            labels=["metric", "horizon"],
        )
        baseline = GaugeMetricFamily(
            "forewarn_live_baseline_skill_ratio",
            "Pinball loss of the climatology relative to seasonal naive, on the same values.",
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
            "Share of the values inside their forecast interval.",
            labels=["metric", "interval"],
        )
        for metric, tally in self._by_metric.items():
            for interval, share in tally.coverage.items():
                family.add_metric([metric, interval], share)
        return family


class ModelMetrics(Collector):
    """Collects the metrics of the serving model and its training; without a model there is no series."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._shown: tuple[str, ModelRecord | None] = ("", None)
        self._training_state: Callable[[], TrainingState] | None = None
        registry.register(self)

    def publish(self, model: str, record: ModelRecord | None) -> None:
        """Show ``model`` (an id; empty for none) and its record if there is one."""
        self._shown = (model, record)

    def show_training(self, state: Callable[[], TrainingState]) -> None:
        """While a training runs, show its newest epoch instead of the serving model's last one."""
        self._training_state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        model, record = self._shown
        if model:
            level = record.info.level.value if record else ""
            info = GaugeMetricFamily("forewarn_model_info", "The model that serves.", labels=["model", "level"])
            info.add_metric([model, level], 1)
            yield info
        epoch = self._running_epoch() or (record and _kept_epoch(record))
        if epoch:
            yield from _fitting(epoch)
        if record is not None:
            training = record.info
            age = max(0.0, self._clock.now() - training.trained_seconds)
            yield GaugeMetricFamily("forewarn_model_age_seconds", "Time since the model was trained.", age)
            text = "Duration of the serving model's training."
            yield GaugeMetricFamily("forewarn_training_duration_seconds", text, training.duration_seconds)
            text = "When the serving model's training ended."
            yield GaugeMetricFamily("forewarn_training_last_success_timestamp_seconds", text, training.trained_seconds)
            yield from _quality(shown_figures(training))

    def _running_epoch(self) -> EpochRecord | None:
        epochs = self._training_state().progress.epochs if self._training_state is not None else ()
        return epochs[-1] if epochs else None


def _kept_epoch(record: ModelRecord) -> EpochRecord:
    """Return the last epoch, with the validation loss of the weights that were kept."""
    return replace(record.last_epoch, val_loss=record.info.final_val_loss)


def _fitting(epoch: EpochRecord) -> Iterator[GaugeMetricFamily]:
    text = "Weighted pinball loss of the newest epoch: of a running training, else of the serving model."
    loss = GaugeMetricFamily("forewarn_training_loss", text, labels=["stage"])
    loss.add_metric(["train"], epoch.train_loss)
    loss.add_metric(["validation"], epoch.val_loss)
    yield loss
    for name, text, value in (
        ("epoch", "Number of finished epochs.", epoch.epoch + 1),
        ("learning_rate", "Learning rate at the end of the last epoch.", epoch.learning_rate),
        ("samples_per_second", "Training windows per second in the last epoch.", epoch.samples_per_second),
    ):
        yield GaugeMetricFamily(f"forewarn_training_{name}", text, value)


def _quality(shown: ShownFigures) -> Iterator[GaugeMetricFamily]:
    if shown.quantile_loss is not None:
        text = "Pinball loss on held-out time divided by the seasonal naive error."
        yield GaugeMetricFamily("forewarn_model_quantile_loss", text, shown.quantile_loss)
    if not shown.skill:
        return
    skill = GaugeMetricFamily(
        "forewarn_model_skill_ratio",
        "Pinball loss on held-out time relative to seasonal naive; below 1 is better.",
        labels=["metric"],
    )
    for metric, ratio in shown.skill.items():
        skill.add_metric([metric], ratio)
    yield skill


class TrainingMetrics(Collector):
    """Collects the state of the trainings at each scrape."""

    def __init__(self, state: Callable[[], TrainingState]) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the metrics."""
        state = self._state()
        running = state.current is not None
        yield GaugeMetricFamily("forewarn_training_in_progress", "1 while a training runs.", running)
        counts = collections.Counter((run.level, run.state) for run in state.runs)
        runs = CounterMetricFamily(
            "forewarn_training_runs", "Finished trainings, by result.", labels=["level", "result"]
        )
        # also results without a training: an increase is visible only if the series existed before
        for level, result in product(LevelName, RunState):
            if result is not RunState.RUNNING:
                runs.add_metric([level.value, result.value], counts[level, result])
        yield runs
        promotions = CounterMetricFamily(
            "forewarn_model_promotions", "Models by decision of the promotion gate.", labels=["result"]
        )
        for name, result in (("promoted", RunState.SUCCEEDED), ("rejected", RunState.REJECTED)):
            promotions.add_metric([name], sum(run.state is result for run in state.runs))
        yield promotions
        if state.next_time is not None:
            text = "When the next training is scheduled."
            yield GaugeMetricFamily("forewarn_training_next_run_timestamp_seconds", text, state.next_time)
        if state.trigger_check.drift is not None:
            text = "Share of the series whose distribution differs from that of the training data."
            yield GaugeMetricFamily("forewarn_drift_ratio", text, state.trigger_check.drift)
        text = "When a training last ended with a model, by the service's clock."
        ended = [run.ended for run in state.runs if run.state in _WITH_A_MODEL and run.ended is not None]
        if ended:
            yield GaugeMetricFamily("forewarn_training_last_run_timestamp_seconds", text, max(ended))


class AlertMetrics(Collector):
    """Collects the figures of the prediction log at each scrape; a ratio without a count has no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._alerting = AlertingResult()
        registry.register(self)
        self._notifications = Counter(
            "forewarn_notifications", "Alerts sent to a target, by result.", ["target", "result"], registry=registry
        )
        self._queued = Gauge(
            "forewarn_notifications_queued", "Notifications queued for a target.", ["target"], registry=registry
        )

    def publish(self, alerting: AlertingResult) -> None:
        """Show the alerts and the prediction log as of a tick."""
        self._alerting = alerting

    def notifications(self, target: str, result: str, count: int) -> None:
        """Count notifications that were sent, failed, rejected or dropped."""
        self._notifications.labels(target, result).inc(count)

    def forget(self, target: str) -> None:
        """Remove the queue of a target that is no longer configured."""
        self._queued.remove(target)

    def queued(self, target: str, count: int) -> None:
        """Set the number of queued notifications."""
        self._queued.labels(target).set(count)

    def collect(self) -> Iterator[GaugeMetricFamily | HistogramMetricFamily]:
        """Yield the metrics."""
        alerting = self._alerting
        figures = alerting.figures
        states = GaugeMetricFamily("forewarn_alerts", "Alerts by state.", labels=["state"])
        for state in (AlertState.PENDING, AlertState.FIRING):
            count = sum(alert.status.state is state for alert in alerting.alerts.values())
            states.add_metric([state.value], count)
        yield states
        predictions = GaugeMetricFamily(
            "forewarn_alert_predictions", "Predictions in the prediction log, by outcome.", labels=["outcome"]
        )
        for outcome in ("hits", "late", "false", "missed", "unknown", "open"):
            predictions.add_metric([outcome], getattr(figures, outcome))
        yield predictions
        for name, text, value in (
            (
                "precision",
                "Share of the scored alerts that a breach followed in time.",
                figures.precision,
            ),
            ("recall", "Share of the breaches that were predicted in time.", figures.recall),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"forewarn_alert_{name}_ratio", text, value)
        yield _lead_times(figures.lead_seconds)


def _lead_times(seconds: tuple[int, ...]) -> HistogramMetricFamily:
    ordered = sorted(seconds)
    buckets = [(str(float(edge)), bisect_left(ordered, edge + 1)) for edge in _LEAD_BUCKETS]
    family = HistogramMetricFamily(
        "forewarn_alert_lead_time_seconds", "Time from an alert to the breach that it predicted."
    )
    family.add_metric([], [*buckets, ("+Inf", len(ordered))], sum(ordered))
    return family
