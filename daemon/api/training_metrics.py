"""Metrics of trainings: the one under way, and how those before ended."""

import collections
from collections.abc import Callable, Iterator
from itertools import product

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.domain.levels import LevelName
from daemon.domain.retraining import RunState
from daemon.pipeline.retraining import TrainingState

_MADE_A_MODEL = (RunState.SUCCEEDED, RunState.REJECTED)


class TrainingMetrics(Collector):
    """Collects what is true at the moment of a scrape."""

    def __init__(self, state: Callable[[], TrainingState]) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the metrics."""
        state = self._state()
        running = state.current is not None
        yield GaugeMetricFamily("forewarn_training_in_progress", "1 while a model is trained.", running)
        counts = collections.Counter((run.level, run.state) for run in state.runs)
        runs = CounterMetricFamily(
            "forewarn_training_runs", "Trainings that ended, by what became of them.", labels=["level", "result"]
        )
        # those that never came about as well: an increase is seen only of a series that was there before
        for level, result in product(LevelName, RunState):
            if result is not RunState.RUNNING:
                runs.add_metric([level.value, result.value], counts[level, result])
        yield runs
        promotions = CounterMetricFamily(
            "forewarn_model_promotions", "Models that the gate let serve, or not.", labels=["result"]
        )
        for name, result in (("promoted", RunState.SUCCEEDED), ("rejected", RunState.REJECTED)):
            promotions.add_metric([name], sum(run.state is result for run in state.runs))
        yield promotions
        if state.next_time is not None:
            text = "When the next training is scheduled."
            yield GaugeMetricFamily("forewarn_training_next_run_timestamp_seconds", text, state.next_time)
        if state.looked.drift is not None:
            text = "Share of the series that behave otherwise than when the model was trained."
            yield GaugeMetricFamily("forewarn_drift_ratio", text, state.looked.drift)
        text = "When a training last ended by itself with a model, by the service's clock."
        ended = [run.ended for run in state.runs if run.state in _MADE_A_MODEL and run.ended is not None]
        if ended:
            yield GaugeMetricFamily("forewarn_training_last_run_timestamp_seconds", text, max(ended))
