"""Training a model at a level: what data it sees, what it is measured on, and the record of it."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import lightning
import numpy as np
import torch

from daemon.domain.errors import NotEnoughHistory
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, as_text
from daemon.domain.levels import MINIMUM_HOURS, Level
from daemon.domain.metric import Metric
from daemon.domain.series import GENERIC_PROFILE, Panel
from daemon.learning.artifact import versions, write_network
from daemon.learning.evaluation import Evaluation, evaluate
from daemon.learning.fitting import EpochRecord, Fit, Plan, Progress, fit
from daemon.learning.forecaster import NetworkForecaster
from daemon.learning.history import LOOKBACK_STEPS, History
from daemon.learning.memory import keep_freed_memory
from daemon.learning.mixing import mixed
from daemon.learning.network import Architecture, TemporalFusionTransformer
from daemon.learning.samples import write_samples
from daemon.learning.sampling import Rounds, WindowSampler

BATCH_SIZE = 256
LEARNING_RATE = 1e-2
_TUNING_RATE = 3e-3
_REAL_SHARE, _MIXED_SHARE = 2, 1
_VALIDATION_STRIDE = 24
_LARGEST_HELD_SHARE = 1 / 7


@dataclass(frozen=True)
class Spans:
    """Columns of a panel at which its parts end: training, validation, test (the end of the panel)."""

    training: int
    validation: int
    end: int


@dataclass(frozen=True)
class TrainedModel:
    """A network with everything that goes into its directory."""

    network: TemporalFusionTransformer
    vocabulary: tuple[str, ...]
    zone: ZoneInfo
    panel: Panel
    metrics: Mapping[str, Metric]
    spans: Spans
    fit: Fit
    info: Mapping[str, Any]

    def forecaster(self, name: str) -> NetworkForecaster:
        """Return the model as a forecaster whose forecasts say that ``name`` made them."""
        return NetworkForecaster(self.network, self.vocabulary, self.metrics, self.zone, name)

    def write(self, folder: Path) -> None:
        """Write the model's files into ``folder``."""
        profiles = tuple(sorted({*self.panel.profiles.values(), GENERIC_PROFILE}))
        write_network(folder, self.network, self.vocabulary, profiles, self.zone)
        lines = [json.dumps(asdict(record)) + "\n" for record in self.fit.records]
        (folder / "epochs.jsonl").write_text("".join(lines), encoding="utf-8")
        info = json.dumps(self.info, indent=2, allow_nan=False) + "\n"
        (folder / "training_info.json").write_text(info, encoding="utf-8")
        origin = self.panel.start + (self.spans.end - HORIZON_STEPS - 1) * STEP_SECONDS
        write_samples(folder / "samples.parquet", self.forecaster(folder.name), self.panel, origin)


def train(
    panel: Panel,
    metrics: Mapping[str, Metric],
    zone: ZoneInfo,
    level: Level,
    *,
    seed: int = 0,
    epochs: int | None = None,
    force: bool = False,
    start: TemporalFusionTransformer | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    on_step: Progress = lambda epoch, step, steps: None,
) -> TrainedModel:
    """Train a network on the last hours of ``panel`` that ``level`` asks for.

    Args:
        panel: the history, as long as it is.
        metrics: ranges by metric name; a metric that is not named has none.
        zone: civil time zone of the calendar.
        level: how much and how long.
        seed: seed of the weights, the origins and the order.
        epochs: passes at most, instead of the level's.
        force: train even on less than a week.
        start: network whose weights training starts from; None is afresh.
        checkpoint: file that training writes, and goes on from if it is there: the result is the same.
        on_epoch: called as each epoch ends.
        on_step: called after each step.

    Raises:
        NotEnoughHistory: less than a week of data and not forced, or too little for one window.
    """
    keep_freed_memory()
    panel = last_hours(panel, level.data_hours)
    hours = panel.steps / STEPS_PER_HOUR
    if hours < MINIMUM_HOURS and not force:
        raise NotEnoughHistory(
            f"there are {hours:.1f} h of history and training needs {MINIMUM_HOURS} h (7 days): "
            "wait, back-fill more, or use --force, knowing that weekly rhythms cannot be learnt"
        )
    started = time.perf_counter()
    torch.manual_seed(seed)
    spans = split(panel, level)
    history = History.from_panel(panel, zone, panel.start + (spans.training - 1) * STEP_SECONDS).to(_device())
    vocabulary = tuple(sorted({key.metric for key in panel.keys}))
    network = TemporalFusionTransformer(Architecture() if start is None else start.architecture)
    if start is not None:
        network.load_state_dict(start.state_dict())
    training = Rounds(
        [
            (_sampler(history, (0, spans.training), level.stride_steps, seed), _REAL_SHARE),
            (_sampler(_mixed(panel, spans, zone, seed), (0, spans.training), level.stride_steps, seed), _MIXED_SHARE),
        ]
    )
    validation = _sampler(history, (spans.training, spans.validation), _VALIDATION_STRIDE, None)
    if not len(training) or not len(validation):
        raise NotEnoughHistory(
            f"{hours:.1f} h of {len(panel.keys)} series give no window to train and validate on: "
            "two days are needed, and some series that is not constant"
        )
    plan = Plan(
        epochs or level.epochs,
        LEARNING_RATE if start is None else _TUNING_RATE,
        accumulate=level.accumulate_batches,
        mixed_precision=level.mixed_precision,
        checkpoint=checkpoint,
        checkpoint_every_epochs=level.checkpoint_every_epochs,
    )
    fitted = fit(network, training, validation, plan, on_epoch, on_step)
    seconds = time.perf_counter() - started
    forecaster = NetworkForecaster(network, vocabulary, metrics, zone, "")
    held_from = spans.validation if spans.end > spans.validation else spans.training
    measured = evaluate(forecaster, panel, _time(panel, held_from - 1), panel.end)
    info = _info(panel, level, fitted, measured, network, seconds, seed, _latency_ms(forecaster, panel))
    return TrainedModel(network, vocabulary, zone, panel, metrics, spans, fitted, info)


def last_hours(panel: Panel, hours: int) -> Panel:
    """Return the last ``hours`` of ``panel``, or all of it, without series that have no sample there."""
    start = max(panel.start, panel.end - (hours * STEPS_PER_HOUR - 1) * STEP_SECONDS)
    recent = panel.between(start, panel.end)
    return recent.select([row for row, known in enumerate((recent.values == recent.values).any(axis=1)) if known])


def split(panel: Panel, level: Level) -> Spans:
    """Return where training and validation end; no held-out part is longer than a seventh of the panel."""
    longest = math.ceil(panel.steps * _LARGEST_HELD_SHARE)
    test = min(level.test_hours * STEPS_PER_HOUR, longest)
    validation = min(level.validation_hours * STEPS_PER_HOUR, longest)
    return Spans(panel.steps - test - validation, panel.steps - test, panel.steps)


def _sampler(history: History, span: tuple[int, int], stride: int, seed: int | None) -> WindowSampler:
    first, last = span[0] + LOOKBACK_STEPS, span[1] + LOOKBACK_STEPS - 1
    return WindowSampler(history, (first, last), stride, BATCH_SIZE, seed)


def _mixed(panel: Panel, spans: Spans, zone: ZoneInfo, seed: int) -> History:
    known = panel.between(panel.start, _time(panel, spans.training - 1))
    return History.from_panel(mixed(known, np.random.default_rng(seed)), zone).to(_device())


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _time(panel: Panel, column: int) -> int:
    return panel.start + column * STEP_SECONDS


def _latency_ms(forecaster: NetworkForecaster, panel: Panel) -> float:
    started = time.perf_counter()
    forecaster.forecast(panel, panel.end)
    return (time.perf_counter() - started) * 1000


def fingerprint(panel: Panel) -> str:
    """Return the SHA-256 of a panel's series, times and values."""
    digest = hashlib.sha256(repr((panel.keys, panel.start)).encode())
    digest.update(panel.values.tobytes())
    return digest.hexdigest()


def _info(
    panel: Panel,
    level: Level,
    fitted: Fit,
    measured: Evaluation,
    network: TemporalFusionTransformer,
    seconds: float,
    seed: int,
    latency_ms: float,
) -> dict[str, Any]:
    best = next(record for record in fitted.records if record.epoch == fitted.best_epoch)
    info: dict[str, Any] = {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "level": level.name.value,
        "epochs": len(fitted.records),
        "data_hours": panel.steps / STEPS_PER_HOUR,
        "num_servers": len({key.server for key in panel.keys}),
        "final_train_loss": fitted.records[-1].train_loss,
        "final_val_loss": best.val_loss,
        "quantile_loss": measured.quantile_loss,
        "training_time_hours": seconds / 3600,
        "model_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "convergence": "achieved" if fitted.early_stopping else "not achieved",
        "early_stopping": fitted.early_stopping,
        "data_fingerprint": fingerprint(panel),
        "data_from": as_text(panel.start),
        "data_to": as_text(panel.end),
        "best_epoch": fitted.best_epoch,
        "device": fitted.device,
        "gpu_memory_peak_mb": max(record.gpu_memory_mb for record in fitted.records),
        "inference_latency_ms": latency_ms,
        "measured_on": "test" if level.test_hours else "validation",
        "coverage": measured.coverage,
        "skill_vs_seasonal_naive": measured.skill,
        "versions": {**versions(), "lightning": lightning.__version__},
        "seed": seed,
    }
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in info.items()}
