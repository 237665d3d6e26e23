"""The stock temporal fusion transformer of pytorch-forecasting, as a peer in a backtest and in ``make bench``.

It stands for what a user gets from the library with little work: one network for all series, each scaled by its own
group normaliser, with the calendar as known inputs and QuantileLoss at QUANTILES. Only this module imports the library.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from pytorch_forecasting import GroupNormalizer, QuantileLoss, TemporalFusionTransformer, TimeSeriesDataSet

from daemon.core.forecast import QUANTILES, Forecast, ForecasterKind, within_range
from daemon.core.metric import bounds
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY, Float32, Panel, SeriesKey
from daemon.network.device import choose_device

ENCODER_STEPS = STEPS_PER_DAY
BATCH_SIZE = 64
HIDDEN_SIZE = 16
MAXIMUM_SECONDS = 600.0
MAXIMUM_STEPS = 2_000

_ATTENTION_HEADS = 4
_DROPOUT = 0.1
_LEARNING_RATE = 0.03
_GRADIENT_CLIP = 0.1
_FORECAST_BATCH_SIZE = 256
# the library holds one row of a data frame per series and step
_MOST_ROWS = 2_000_000
_LEAST_STEPS = 2 * (ENCODER_STEPS + HORIZON_STEPS)
_CALENDAR = ["day_sin", "day_cos", "week_sin", "week_cos"]


@dataclass(frozen=True)
class StockForecaster:
    """A trained stock TFT; it forecasts the series that it was trained on.

    Attributes:
        network: of the library.
        keys: the series that it was trained on.
        zone: time zone of the calendar inputs.
    """

    network: TemporalFusionTransformer
    keys: frozenset[SeriesKey]
    zone: ZoneInfo

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series that it was trained on and that has a sample in the day up to ``origin``."""
        known = panel.between(origin - (ENCODER_STEPS - 1) * STEP_SECONDS, origin)
        trained = np.array([key in self.keys for key in known.keys], dtype=bool)
        known = known.select(np.flatnonzero(trained & np.isfinite(known.values).any(axis=1)))
        if not known.keys:
            return Forecast.concatenate(origin, ())
        with _without_messages(), _all_cores():
            made = self.network.predict(
                data_frame(known, self.zone, future_steps=HORIZON_STEPS),
                mode="quantiles",
                return_index=True,
                batch_size=_FORECAST_BATCH_SIZE,
                trainer_kwargs=_trainer_arguments(),
            )
        row_of = {series: row for row, series in enumerate(made.index["series"])}
        rows = [row_of[name] for name in _names(known)]
        paths: Float32 = made.output.float().cpu().numpy()[rows]
        return Forecast(
            origin=origin,
            keys=known.keys,
            paths=within_range(paths, *bounds(known, {})),
            kinds=(ForecasterKind.BASELINE,) * len(known.keys),
        )


def fit_stock_tft(
    panel: Panel,
    zone: ZoneInfo,
    seed: int = 0,
    *,
    steps: int = MAXIMUM_STEPS,
    seconds: float = MAXIMUM_SECONDS,
    on_progress: Callable[[float], None] = lambda done: None,
) -> StockForecaster:
    """Return one network trained on all series of ``panel``.

    Args:
        panel: the history; at least 32 h, of which the newest part is used if there are many series.
        zone: time zone of the calendar inputs.
        seed: seed of the initial weights and the order of the windows.
        steps: maximum number of optimiser steps.
        seconds: maximum training time.
        on_progress: called with the finished share of the training, 0 to 1.
    """
    windows = data_set(panel, zone)
    torch.manual_seed(seed)
    network = untrained_network(windows)
    fit(network, windows, steps=steps, seconds=seconds, on_progress=on_progress)
    return StockForecaster(network, frozenset(_trainable(panel).keys), zone)


def data_frame(panel: Panel, zone: ZoneInfo, future_steps: int = 0) -> pd.DataFrame:
    """Return one row per series and step, with ``future_steps`` rows after the end of each series.

    The library accepts no gaps: a missing value is replaced by the last one before it, or by the first one after it if
    there is none before, and has no weight in the loss.
    """
    steps = panel.steps + future_steps
    observed = np.zeros((len(panel.keys), steps), dtype=np.float32)
    observed[:, : panel.steps] = np.isfinite(panel.values)
    filled = pd.DataFrame(panel.values.T).reindex(range(steps)).ffill().bfill().to_numpy(np.float32).T
    times = pd.to_datetime(panel.start + np.arange(steps) * STEP_SECONDS, unit="s", utc=True).tz_convert(str(zone))
    day = np.asarray(times.hour * 60 + times.minute) / 1440
    week = (np.asarray(times.dayofweek) + day) / 7
    waves = [wave(2 * np.pi * part).astype(np.float32) for part in (day, week) for wave in (np.sin, np.cos)]
    return pd.DataFrame(
        {
            "series": np.repeat(_names(panel), steps),
            "metric": np.repeat([key.metric for key in panel.keys], steps),
            "step": np.tile(panel.start // STEP_SECONDS + np.arange(steps), len(panel.keys)),
            "value": filled.ravel(),
            "observed": observed.ravel(),
            **{name: np.tile(values, len(panel.keys)) for name, values in zip(_CALENDAR, waves, strict=True)},
        }
    )


def data_set(panel: Panel, zone: ZoneInfo) -> TimeSeriesDataSet:
    """Return all windows of the newest part of ``panel`` whose data frame fits into memory."""
    known = _trainable(panel)
    with _without_messages():
        return TimeSeriesDataSet(
            data_frame(known, zone),
            time_idx="step",
            target="value",
            weight="observed",
            group_ids=["series"],
            max_encoder_length=ENCODER_STEPS,
            max_prediction_length=HORIZON_STEPS,
            static_categoricals=["metric"],
            time_varying_known_reals=_CALENDAR,
            time_varying_unknown_reals=["value"],
            target_normalizer=GroupNormalizer(groups=["series"]),
            add_relative_time_idx=True,
            add_target_scales=True,
            add_encoder_length=False,
        )


def untrained_network(windows: TimeSeriesDataSet, hidden_size: int = HIDDEN_SIZE) -> TemporalFusionTransformer:
    """Return a network with random weights for ``windows``, of the size of the library's tutorial."""
    with _without_messages():
        return TemporalFusionTransformer.from_dataset(
            windows,
            hidden_size=hidden_size,
            hidden_continuous_size=hidden_size // 2,
            attention_head_size=_ATTENTION_HEADS,
            dropout=_DROPOUT,
            output_size=len(QUANTILES),
            loss=QuantileLoss(list(QUANTILES)),
            learning_rate=_LEARNING_RATE,
        )


def fit(
    network: TemporalFusionTransformer,
    windows: TimeSeriesDataSet,
    *,
    steps: int = MAXIMUM_STEPS,
    seconds: float = MAXIMUM_SECONDS,
    on_progress: Callable[[float], None] = lambda done: None,
) -> "StepTimes":
    """Train ``network`` in place until ``steps`` or ``seconds`` are reached; return the end of each step."""
    times = StepTimes(steps, seconds, on_progress)
    with _without_messages(), _all_cores():
        trainer = Trainer(
            max_epochs=-1, max_steps=steps, gradient_clip_val=_GRADIENT_CLIP, callbacks=[times], **_trainer_arguments()
        )
        trainer.fit(network, windows.to_dataloader(train=True, batch_size=BATCH_SIZE, num_workers=0))
    return times


@dataclass(eq=False)
class StepTimes(Callback):
    """Stops a training in time, reports its progress, and keeps the end of each step.

    Attributes:
        steps: maximum number of steps.
        seconds: maximum training time.
        on_progress: called after each step with the finished share of the training, 0 to 1.
        ends: end of each step, in seconds of the performance counter.
    """

    steps: int
    seconds: float
    on_progress: Callable[[float], None]
    ends: list[float] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Keep the time, and stop the training when ``seconds`` have passed."""
        self.ends.append(time.perf_counter())
        elapsed = self.ends[-1] - self._started
        trainer.should_stop = trainer.should_stop or elapsed >= self.seconds
        self.on_progress(min(1.0, max(len(self.ends) / self.steps, elapsed / self.seconds)))


def _trainable(panel: Panel) -> Panel:
    """Return the series with any sample, in the newest steps that fit into memory."""
    steps = max(_LEAST_STEPS, _MOST_ROWS // max(1, len(panel.keys)))
    newest = panel.between(max(panel.start, panel.end - (steps - 1) * STEP_SECONDS), panel.end)
    return newest.select(np.flatnonzero(np.isfinite(newest.values).any(axis=1)))


def _names(panel: Panel) -> list[str]:
    # a tab is in no name, so two series never share one
    return [f"{key.server}\t{key.metric}" for key in panel.keys]


def _trainer_arguments() -> dict[str, Any]:
    device = choose_device()
    return {
        "accelerator": device.type,
        "devices": 1 if device.index is None else [device.index],
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


@contextmanager
def _all_cores() -> Iterator[None]:
    # a backtest has the machine to itself; the service limits its threads
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _without_messages() -> Iterator[None]:
    # Lightning and pytorch-forecasting print tips, and warn of the library's own defaults
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
