"""Training of a model at a level: its data, the fit, calibration, the breach model, and the measurement.

The panel ends with a validation span, which chooses the epoch. For levels that claim accuracy a test span follows.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import torch

from daemon.breach.model import BreachModel, base_breach_model, write_calibration
from daemon.breach.training import learn, measure
from daemon.config.alerting import TARGET_PRECISION
from daemon.core.errors import NotEnoughHistory
from daemon.core.forecast import QUANTILE_COLUMNS, Forecaster
from daemon.core.levels import MINIMUM_HOURS, Level
from daemon.core.metric import Metric
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, Panel
from daemon.core.training_info import EpochRecord, TrainingInfo, write_epochs
from daemon.forecasting.evaluation import evaluate
from daemon.network.artifact import write_network
from daemon.network.calibration import Calibration, calibrate
from daemon.network.device import choose_device
from daemon.network.fitting import Fit, Plan, Progress, fit
from daemon.network.forecaster import NetworkForecaster
from daemon.network.history import LOOKBACK_STEPS, History
from daemon.network.identity import Vocabulary
from daemon.network.model import Architecture, TemporalFusionTransformer
from daemon.network.sampling import (
    ColdStartSampler,
    InterleavedSampler,
    WindowSampler,
    held_out_servers,
    tsmixup,
    without_servers,
)
from daemon.network.training_record import TrainingFacts, training_info
from daemon.system.process import keep_freed_memory

BATCH_SIZE = 256
LEARNING_RATE = 1e-2
TUNING_RATE = 3e-3
"""Highest learning rate of a training that starts from another network's weights."""

_TUNING_EPOCHS = 3
# batches per round: of the fleet, of TSMixup and of cold starts
_REAL_SHARE, _MIXED_SHARE, _COLD_START_SHARE = 2, 1, 1
# steps between origins: one in two hours, and one in an hour
_VALIDATION_STRIDE_STEPS = 24
_CALIBRATION_STRIDE_STEPS = 12
_LARGEST_HELD_OUT_SHARE = 1 / 7
_MOST_SAMPLED_SERIES = 64


@dataclass(frozen=True)
class Spans:
    """The first columns of a panel after training, after validation and after test.

    Attributes:
        training: first column after training.
        validation: first column after validation.
        end: number of columns of the panel; equal to ``validation`` without a test span.
    """

    training: int
    validation: int
    end: int


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A trained network with everything that its model directory holds.

    Attributes:
        network: in evaluation mode, on the device of the training.
        vocabulary: names of the metrics that it can forecast.
        zone: civil time zone of the calendar.
        panel: the history that it was trained and measured on, without the hours before it.
        metrics: ranges and thresholds by metric name.
        spans: the training, validation and test spans of ``panel``.
        fit: result of the fit.
        calibration: factors of the quantiles.
        breach: its breach model.
        info: the record of the training.
    """

    network: TemporalFusionTransformer
    vocabulary: tuple[str, ...]
    zone: ZoneInfo
    panel: Panel
    metrics: Mapping[str, Metric]
    spans: Spans
    fit: Fit
    calibration: Calibration
    breach: BreachModel
    info: TrainingInfo

    def forecaster(self, name: str) -> NetworkForecaster:
        """Return the model as a forecaster; ``name`` is the model id of its forecasts."""
        stretch = self.calibration.stretch
        return NetworkForecaster(
            network=self.network,
            vocabulary=self.vocabulary,
            metrics=self.metrics,
            zone=self.zone,
            model=name,
            stretch=stretch,
        )

    @property
    def held_out(self) -> tuple[int, int]:
        """Epoch seconds of the first origin and the last target of the span that the figures were measured on."""
        return measured_span(self.panel, self.spans)

    def write(self, folder: Path) -> pd.DataFrame:
        """Write the model's files, except for the report, into ``folder``; return its sample forecasts.

        Raises:
            OSError: a file cannot be written.
        """
        write_network(folder, self.network, self.vocabulary, self.zone)
        write_calibration(folder, asdict(self.calibration), self.breach)
        write_epochs(folder, self.fit.records)
        self.info.write(folder)
        origin = self.panel.start + (self.spans.end - HORIZON_STEPS - 1) * STEP_SECONDS
        samples = sample_forecasts(self.forecaster(folder.name), self.panel, origin)
        samples.to_parquet(folder / "samples.parquet", index=False)
        return samples


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
    started_from: str = "base",
    seen: Collection[str] = (),
    target_precision: float = TARGET_PRECISION,
    checkpoint: Path | None = None,
    device: torch.device | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    on_step: Progress = lambda epoch, step, steps: None,
) -> TrainedModel:
    """Train a model on the newest hours of ``panel``, at most those of ``level``.

    A panel that is too short for the spans of the level gets shorter ones, as ``split`` says.

    Args:
        panel: the history.
        metrics: ranges and thresholds by metric name; other metrics have none.
        zone: civil time zone of the calendar.
        level: amount of data, epochs and held-out spans.
        seed: seed of the initial weights, the origins and the order.
        epochs: maximum number of epochs; the level's if None.
        force: train also on less than a week.
        start: network with the initial weights; random weights if None.
        started_from: name of ``start`` in the record.
        seen: servers that ``start`` was trained on; none of them is held out.
        target_precision: precision of the alerts, 0 to 1, that decision thresholds are chosen for.
        checkpoint: file that training writes, and resumes from if it exists; resuming does not change the result.
        device: device of the network and the histories; ``choose_device`` decides if None.
        on_epoch: called as each epoch ends.
        on_step: called after each batch.

    Raises:
        NotEnoughHistory: there is less than a week without ``force``, or too little for one window.
    """
    keep_freed_memory()
    device = choose_device(device)
    panel = last_hours(panel, level.history_hours)
    hours = panel.steps / STEPS_PER_HOUR
    if hours < MINIMUM_HOURS and not force:
        raise NotEnoughHistory(
            f"there are {hours:.1f} h of history and training needs {MINIMUM_HOURS} h (7 days): "
            "wait, back-fill more, or use --force; with --force weekly rhythms cannot be learnt"
        )
    started = time.perf_counter()
    torch.manual_seed(seed)
    spans = split(panel, level)
    held_out = held_out_servers(panel, level.unknown_server_every, seen)
    fleet = without_servers(panel, held_out)
    names = Vocabulary.of(fleet)
    known = fleet.between(fleet.start, _time(fleet, spans.training - 1))
    history = History.from_panel(fleet, zone, known.end, vocabulary=names).to(device)
    network = TemporalFusionTransformer(Architecture() if start is None else start.architecture, names)
    if start is not None:
        network.start_from(start)
    own = _sampler(history, (0, spans.training), level.stride_steps, seed)
    validation = _sampler(history, (spans.training, spans.validation), _VALIDATION_STRIDE_STEPS, None)
    if not len(own) or not len(validation):
        raise NotEnoughHistory(
            f"{hours:.1f} h of {len(panel.keys)} series have no window to train and validate on: "
            "training needs two days, and a series that is not constant"
        )
    training = _interleaved(own, known, zone, names, stride=level.stride_steps, seed=seed, device=device)
    plan = Plan(
        epochs=epochs or level.epochs,
        learning_rate=LEARNING_RATE if start is None else TUNING_RATE,
        # no longer than the patience: only at a low learning rate is an epoch better than good initial weights
        schedule_epochs=None if start is None else _TUNING_EPOCHS,
        accumulate=level.accumulate_batches,
        mixed_precision=level.mixed_precision,
        keep_start=start is not None,
        checkpoint=checkpoint,
        checkpoint_every_epochs=level.checkpoint_every_epochs,
    )
    fitted = fit(network, training, validation, plan=plan, device=device, on_epoch=on_epoch, on_step=on_step)
    calibration = calibrate(network, *_halves(history, spans))
    forecaster = NetworkForecaster(
        network=network,
        vocabulary=names.metrics,
        metrics=metrics,
        zone=zone,
        model="",
        stretch=calibration.stretch,
    )
    known_until, end = measured_span(panel, spans)
    breach = learn(
        panel,
        known_until,
        forecaster,
        metrics=metrics,
        base=base_breach_model(),
        target_precision=target_precision,
        seed=seed,
    )
    facts = TrainingFacts(
        seed=seed,
        seconds=time.perf_counter() - started,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        latency_ms=_latency_ms(forecaster, panel),
        started_from=started_from if start is not None else "scratch",
        planned_epochs=plan.epochs,
        seen=tuple(sorted(seen)) if start is not None else (),
    )
    info = training_info(
        panel,
        level,
        fitted,
        measured=evaluate(forecaster, panel, known_until, end, held_out),
        breaches=measure(breach, panel, known_until, end=end, forecaster=forecaster, metrics=metrics),
        calibration=calibration,
        held_out=(known_until, end),
        facts=facts,
    )
    return TrainedModel(
        network=network,
        vocabulary=names.metrics,
        zone=zone,
        panel=panel,
        metrics=metrics,
        spans=spans,
        fit=fitted,
        calibration=calibration,
        breach=breach,
        info=info,
    )


def measured_span(panel: Panel, spans: Spans) -> tuple[int, int]:
    """Return epoch seconds of the first origin and the last target of the test span, or of validation without one."""
    last_known = spans.validation if spans.end > spans.validation else spans.training
    return _time(panel, last_known - 1), panel.end


def last_hours(panel: Panel, hours: int) -> Panel:
    """Return at most the last ``hours`` of ``panel``, without series that have no sample there."""
    start = max(panel.start, panel.end - (hours * STEPS_PER_HOUR - 1) * STEP_SECONDS)
    recent = panel.between(start, panel.end)
    return recent.select([row for row, known in enumerate((recent.values == recent.values).any(axis=1)) if known])


def split(panel: Panel, level: Level) -> Spans:
    """Return the spans of ``panel`` for ``level``; validation and test are each at most a seventh of it."""
    longest = math.ceil(panel.steps * _LARGEST_HELD_OUT_SHARE)
    test = min(level.test_hours * STEPS_PER_HOUR, longest)
    validation = min(level.validation_hours * STEPS_PER_HOUR, longest)
    return Spans(panel.steps - test - validation, panel.steps - test, panel.steps)


def sample_forecasts(forecaster: Forecaster, panel: Panel, origin: int) -> pd.DataFrame:
    """Return the forecast of up to 64 series from ``origin`` with the actual values, one row per series and step."""
    rows = np.unique(np.linspace(0, len(panel.keys) - 1, min(_MOST_SAMPLED_SERIES, len(panel.keys)), dtype=int))
    chosen = panel.select(rows)
    forecast = forecaster.forecast(chosen, origin)
    after = chosen.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS)
    row_of = {key: row for row, key in enumerate(chosen.keys)}
    actual = after.values[[row_of[key] for key in forecast.keys]]
    frame = pd.DataFrame(
        {
            "origin": pd.Timestamp(origin, unit="s", tz="UTC"),
            "server": np.repeat([key.server for key in forecast.keys], HORIZON_STEPS),
            "metric": np.repeat([key.metric for key in forecast.keys], HORIZON_STEPS),
            "step": np.tile(np.arange(1, HORIZON_STEPS + 1, dtype=np.int16), len(forecast.keys)),
            "actual": actual.ravel(),
        }
    )
    for column, name in enumerate(QUANTILE_COLUMNS):
        frame[name] = forecast.paths[:, :, column].ravel()
    return frame


def _sampler(history: History, span: tuple[int, int], stride: int, seed: int | None) -> WindowSampler:
    first, last = span[0] + LOOKBACK_STEPS, span[1] + LOOKBACK_STEPS - 1
    return WindowSampler(history, (first, last), stride, BATCH_SIZE, seed)


def _interleaved(
    own: WindowSampler,
    known: Panel,
    zone: ZoneInfo,
    names: Vocabulary,
    *,
    stride: int,
    seed: int,
    device: torch.device,
) -> InterleavedSampler:
    """Return the fleet's ``own`` windows interleaved with those of TSMixup and of cold starts, both from ``known``."""
    mixture = History.from_panel(tsmixup(known, np.random.default_rng(seed)), zone).to(device)
    cold_start = ColdStartSampler(
        panel=known,
        zone=zone,
        vocabulary=names,
        batches=math.ceil(len(own) / _REAL_SHARE),
        batch_size=BATCH_SIZE,
        seed=seed,
        device=device,
    )
    return InterleavedSampler(
        [
            (own, _REAL_SHARE),
            (_sampler(mixture, (0, known.steps), stride, seed), _MIXED_SHARE),
            (cold_start, _COLD_START_SHARE),
        ]
    )


def _halves(history: History, spans: Spans) -> tuple[WindowSampler, WindowSampler]:
    middle = (spans.training + spans.validation) // 2
    first = _sampler(history, (spans.training, middle), _CALIBRATION_STRIDE_STEPS, None)
    return first, _sampler(history, (middle, spans.validation), _CALIBRATION_STRIDE_STEPS, None)


def _time(panel: Panel, column: int) -> int:
    return panel.start + column * STEP_SECONDS


def _latency_ms(forecaster: NetworkForecaster, panel: Panel) -> float:
    started = time.perf_counter()
    forecaster.forecast(panel, panel.end)
    return (time.perf_counter() - started) * 1000
