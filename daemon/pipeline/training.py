"""Train a model on a panel, decide whether it may serve, and register it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import structlog

from daemon.breach.model import BASE_FOLDER
from daemon.config.alerting import TARGET_PRECISION
from daemon.core.errors import BadModel
from daemon.core.forecast import Forecaster, ForecasterKind
from daemon.core.levels import Level
from daemon.core.metric import Metric
from daemon.core.scoring import coverage, scaled_pinball
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, Panel, as_text
from daemon.core.training_info import EpochRecord, GateDecision, TrainingInfo
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.evaluation import Scores, held_out_origins, score
from daemon.models.gate import decide
from daemon.models.registry import ModelRegistry
from daemon.network.artifact import load_forecaster, load_network
from daemon.network.model import TemporalFusionTransformer
from daemon.network.training import TrainedModel, train
from daemon.network.training_record import fingerprint
from daemon.reports.training import render_training_report

_log = structlog.get_logger()


class TrainingProgress(Protocol):
    """Receives the progress of a training."""

    def epoch(self, record: EpochRecord) -> None:
        """An epoch ended."""
        ...

    def step(self, epoch: int, step: int, steps: int) -> None:
        """``step`` of the ``steps`` of an epoch is done."""
        ...


@dataclass(frozen=True)
class Trained:
    """A trained and registered model: its id, the model, and the decision of the gate."""

    name: str
    model: TrainedModel
    decision: GateDecision


def train_and_register(
    panel: Panel,
    metrics: Mapping[str, Metric],
    zone: ZoneInfo,
    level: Level,
    *,
    registry: ModelRegistry,
    progress: TrainingProgress,
    seed: int,
    start: str,
    epochs: int | None = None,
    force: bool = False,
    target_precision: float = TARGET_PRECISION,
) -> Trained:
    """Train on ``panel``, write the model's directory, and let it serve if the gate promotes it.

    A run that was interrupted resumes from its checkpoint, if data, level, seed and start are the same.

    Args:
        panel: the history.
        metrics: ranges and thresholds by metric name.
        zone: civil time zone of the calendar.
        level: the training level.
        registry: where the model is written.
        progress: receives the steps and the epochs.
        seed: of all randomness.
        start: ``base``, ``scratch`` or the id of a model, whose weights training starts from.
        epochs: maximum number of epochs, instead of that of the level.
        force: train even on less than a week.
        target_precision: of the alerts.

    Raises:
        NotEnoughHistory: there is too little to train on.
        BadModel: the model to start from cannot be loaded, or no model can be written to ``registry``.
    """
    registry.require_access()
    run = hashlib.sha256(f"{fingerprint(panel)} {level} {seed} {start} {epochs}".encode()).hexdigest()
    model = train(
        panel,
        metrics,
        zone,
        level,
        seed=seed,
        epochs=epochs,
        force=force,
        start=_network(registry, start),
        started_from=start,
        seen=_seen_servers(registry, start, panel),
        target_precision=target_precision,
        checkpoint=registry.checkpoint(run[:16]),
        on_epoch=progress.epoch,
        on_step=progress.step,
    )
    decision = gate_decision(model, registry)
    model = replace(model, info=model.info.model_copy(update={"verdict": decision}))
    with registry.new() as (name, folder):
        write_model(model, folder)
    if decision.promoted:
        registry.promote(name, "promoted by the gate after training")
        _log.info("model_promoted", model=name, level=level.name.value, reasons=decision.reasons)
    else:
        _log.warning("model_rejected", model=name, level=level.name.value, reasons=decision.reasons)
    return Trained(name, model, decision)


def write_model(model: TrainedModel, folder: Path) -> None:
    """Write all files of ``model`` into ``folder``, with the report."""
    samples = model.write(folder)
    units = {name: metric.unit for name, metric in model.metrics.items()}
    report = render_training_report(model.info, model.fit.records, samples, units)
    (folder / "report.html").write_text(report, encoding="utf-8")


def _seen_servers(registry: ModelRegistry, start: str, panel: Panel) -> set[str]:
    """Return the servers that the weights of ``start`` were trained on, also in the trainings before it.

    Without a record of them, these are all servers of ``panel``.
    """
    if start in ("base", "scratch"):
        return set()
    info = TrainingInfo.read(registry.path(start))
    if info is None or info.servers is None:
        return {key.server for key in panel.keys}
    held_out = () if info.unknown_servers is None else info.unknown_servers.names
    return {*info.servers, *info.seen_before} - {*held_out}


def _network(registry: ModelRegistry, start: str) -> TemporalFusionTransformer | None:
    if start == "scratch":
        return None
    return load_network(BASE_FOLDER if start == "base" else registry.path(start))[0]


def gate_decision(model: TrainedModel, registry: ModelRegistry) -> GateDecision:
    """Return whether ``model`` may serve: compare it with seasonal naive, and with the serving model on shared windows.

    There is no comparison with the base network: training starts from its weights, and keeps them where no epoch is
    better.
    """
    name, serving = _serving(registry, model)
    first, end = model.held_out
    origins = held_out_origins(first, end)
    varying = _varying(model.panel, origins)
    forecasters: dict[str, Forecaster] = {"candidate": model.forecaster("candidate"), "naive": SeasonalNaive({})}
    if serving is not None:
        both = score({**forecasters, "serving": serving}, model.panel, origins)
        loss = _loss(both, "serving")
        if np.isfinite(loss):
            decision = decide(_loss(both, "candidate"), name, loss, _candidate_coverage(both, varying))
            return _with_span(decision, origins, end)
    alone = score(forecasters, model.panel, origins)
    decision = decide(_loss(alone, "candidate"), name, None, _candidate_coverage(alone, varying))
    return _with_span(decision, origins, end)


def _with_span(decision: GateDecision, origins: range, end: int) -> GateDecision:
    """Return the decision with the held-out span that it was measured on."""
    span = {"origins": len(origins), "from_": as_text(origins.start), "to": as_text(end)}
    return decision.model_copy(update=span)


def _loss(scores: Scores, name: str) -> float:
    """Return scaled pinball loss relative to seasonal naive.

    It is a ratio of means over series, not a mean of ratios: naive has almost no loss where a series grows steadily.
    """
    naive = scaled_pinball(scores.sums["naive"], scores.scale)
    return scaled_pinball(scores.sums[name], scores.scale) / naive if naive > 0 else float("nan")


def _candidate_coverage(scores: Scores, rows: npt.NDArray[np.bool_]) -> float:
    return coverage(scores.sums["candidate"].select(rows))["80"]


def _serving(registry: ModelRegistry, model: TrainedModel) -> tuple[str | None, Forecaster | None]:
    """Return the id and the forecaster of the serving model; None where there is none, or it cannot be loaded.

    Where the model, or the base network, was demoted, they are those of the baseline.
    """
    name = None
    try:
        name = registry.current()
        if registry.demotion(name or ForecasterKind.BASE.value) is not None:
            return ForecasterKind.BASELINE.value, Climatology(model.metrics)
        return name, None if name is None else load_forecaster(registry.path(name), model.metrics)
    except BadModel as problem:
        _log.warning("serving_model_unusable", model=name, reason=str(problem))
        return name, None


def _varying(panel: Panel, origins: range) -> npt.NDArray[np.bool_]:
    """Return which series are not constant over the steps that forecasts from ``origins`` are scored on."""
    last = max(origins, default=origins.start) + HORIZON_STEPS * STEP_SECONDS
    values = panel.between(origins.start + STEP_SECONDS, last).values
    varying: npt.NDArray[np.bool_] = np.fmax.reduce(values, axis=1) > np.fmin.reduce(values, axis=1)
    return varying
