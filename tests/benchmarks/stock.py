"""Stock pytorch-forecasting as its tutorial uses it, on forewarn's panels and behind forewarn's port."""

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from pytorch_forecasting import (
    GroupNormalizer,
    MultiLoss,
    MultiNormalizer,
    QuantileLoss,
    TemporalFusionTransformer,
    TimeSeriesDataSet,
)

from daemon.core.forecast import QUANTILES, Forecast, ForecastSource, within_range
from daemon.core.metric import bounds
from daemon.core.series import (
    GENERIC_PROFILE,
    HORIZON_STEPS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_WEEK,
    Float32,
    Panel,
)

ENCODER_STEPS = 288
BATCH_SIZE = 64
TUTORIAL_SIZE = 16
HIDDEN_SIZE = 32
LEARNING_RATE = 0.03
_CALENDAR = ["day_sin", "day_cos", "week_sin", "week_cos"]


def frame_of(panel: Panel, future_steps: int = 0) -> pd.DataFrame:
    """Return a row per server and time, every metric a column, and ``future_steps`` rows after the end of each server.

    The data set takes no gaps: the last value is carried forward, and a metric that a server lacks is 0.
    """
    servers = list(dict.fromkeys(key.server for key in panel.keys))
    steps = panel.start // STEP_SECONDS + np.arange(panel.steps + future_steps)
    frame = pd.DataFrame(_filled(panel, servers, len(steps)), columns=metrics_of(panel))
    angles = [2 * np.pi * steps / period for period in (STEPS_PER_DAY, STEPS_PER_WEEK)]
    waves = [wave(angle).astype(np.float32) for angle in angles for wave in (np.sin, np.cos)]
    for name, values in zip(("step", *_CALENDAR), (steps, *waves), strict=True):
        frame[name] = np.tile(values, len(servers))
    frame["server"] = np.repeat(servers, len(steps))
    frame["profile"] = np.repeat([panel.profiles.get(server, GENERIC_PROFILE) for server in servers], len(steps))
    return frame


def _filled(panel: Panel, servers: list[str], steps: int) -> Float32:
    """Return ``(servers · steps, metrics)`` without gaps."""
    metrics = metrics_of(panel)
    rows = pd.Index(servers).get_indexer([key.server for key in panel.keys])
    columns = pd.Index(metrics).get_indexer([key.metric for key in panel.keys])
    known = pd.DataFrame(panel.values.T).reindex(range(steps)).ffill().bfill().fillna(0)
    cube = np.zeros((len(servers), steps, len(metrics)), dtype=np.float32)
    cube[rows, :, columns] = known.to_numpy(np.float32).T
    return cube.reshape(-1, len(metrics))


def metrics_of(panel: Panel) -> list[str]:
    """Return the metrics of ``panel``, which are the targets, in the order of their names."""
    return sorted({key.metric for key in panel.keys})


def data_set(panel: Panel) -> TimeSeriesDataSet:
    """Return the windows of ``panel`` with all metrics as targets.

    Each is scaled per server, as in the tutorial. The encoder of the servers must not have a class for unknown ones:
    with ``NaNLabelEncoder(add_nan=True)`` every server would be given the scale of its neighbour.
    """
    metrics = metrics_of(panel)
    with _quiet():
        return TimeSeriesDataSet(
            frame_of(panel),
            time_idx="step",
            target=metrics,
            group_ids=["server"],
            max_encoder_length=ENCODER_STEPS,
            max_prediction_length=HORIZON_STEPS,
            static_categoricals=["profile"],
            time_varying_known_reals=_CALENDAR,
            time_varying_unknown_reals=metrics,
            target_normalizer=MultiNormalizer([GroupNormalizer(groups=["server"]) for _ in metrics]),
            add_relative_time_idx=True,
            add_target_scales=True,
            add_encoder_length=True,
        )


def network_for(windows: TimeSeriesDataSet, hidden_size: int = HIDDEN_SIZE) -> TemporalFusionTransformer:
    """Return an untrained network for ``windows``; each metric weighs by its spread, as their units differ."""
    targets = windows.target_names
    spreads = [float(np.median(normalizer.norm_["scale"])) for normalizer in windows.target_normalizer.normalizers]
    with _quiet():
        return TemporalFusionTransformer.from_dataset(
            windows,
            hidden_size=hidden_size,
            hidden_continuous_size=hidden_size // 2,
            attention_head_size=4,
            dropout=0.1,
            output_size=[len(QUANTILES)] * len(targets),
            loss=MultiLoss([QuantileLoss(list(QUANTILES)) for _ in targets], [1 / spread for spread in spreads]),
            learning_rate=LEARNING_RATE,
        )


@dataclass(eq=False)
class StepTimes(Callback):
    """When each training step ended, in seconds of the performance counter."""

    ends: list[float] = field(default_factory=list)

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def fit(
    network: TemporalFusionTransformer,
    windows: TimeSeriesDataSet,
    *,
    steps: int = -1,
    seconds: float | None = None,
    batch_size: int = BATCH_SIZE,
) -> StepTimes:
    """Train ``network`` in place for ``steps`` or ``seconds`` and return when its steps ended."""
    times = StepTimes()
    with _quiet(), _every_core():
        trainer = Trainer(
            max_epochs=-1,
            max_steps=steps,
            max_time=None if seconds is None else timedelta(seconds=seconds),
            gradient_clip_val=0.1,
            callbacks=[times],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(network, windows.to_dataloader(train=True, batch_size=batch_size, num_workers=0))
    return times


@dataclass(frozen=True)
class StockForecaster:
    """Forecast with a network of pytorch-forecasting the servers that it was made for."""

    network: TemporalFusionTransformer

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series of ``panel`` from its last day up to ``origin``."""
        known = panel.between(origin - (ENCODER_STEPS - 1) * STEP_SECONDS, origin)
        with _quiet(), _every_core():
            made = self.network.predict(frame_of(known, HORIZON_STEPS), mode="quantiles", return_index=True)
        row_of = {server: row for row, server in enumerate(made.index["server"])}
        target_of = {metric: target for target, metric in enumerate(metrics_of(known))}
        levels: Float32 = torch.stack(made.output).cpu().numpy()
        targets = [target_of[key.metric] for key in known.keys]
        paths = levels[targets, [row_of[key.server] for key in known.keys]]
        paths = within_range(paths, *bounds(known, {}))
        return Forecast(
            origin=origin,
            keys=known.keys,
            paths=paths,
            sources=(ForecastSource.MODEL,) * len(known.keys),
            model="stock",
        )


@contextmanager
def _every_core() -> Iterator[None]:
    # its fastest on a quiet machine; forewarn has threads of its own instead
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _quiet() -> Iterator[None]:
    # Lightning and pytorch-forecasting greet, advertise and warn of what the tutorial does
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
