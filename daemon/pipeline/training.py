"""Train a model on a panel and let it serve."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import structlog

from daemon.breach.model import BASE_FOLDER
from daemon.breach.training import TARGET_PRECISION
from daemon.core.errors import BadModel
from daemon.core.forecast import Forecaster, ForecasterKind
from daemon.core.levels import Level
from daemon.core.metric import Metric
from daemon.core.scoring import coverage, scaled_pinball
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, Panel
from daemon.core.training_info import EpochRecord
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.evaluation import Scores, held_out_origins, score
from daemon.models.gate import GateDecision, judge
from daemon.models.record import read_info
from daemon.models.registry import ModelRegistry
from daemon.network.artifact import load_forecaster, load_network
from daemon.network.model import TemporalFusionTransformer
from daemon.network.training import TrainedModel, train
from daemon.network.training_info import fingerprint
from daemon.reports.training import render_training_report

_log = structlog.get_logger()


def gate_decision(model: TrainedModel, registry: ModelRegistry) -> GateDecision:
    """Return whether ``model`` may serve: it is scored beside what serves on the windows that both can forecast.

    The base network is nothing to beat: training starts from it and keeps it where no epoch is better.
    """
    name, serving = _serving(registry, model)
    origins = held_out_origins(*model.held_out)
    varying = _varying(model.panel, origins)
    forecasters: dict[str, Forecaster] = {"candidate": model.forecaster("candidate"), "naive": SeasonalNaive({})}
    if serving is not None:
        both = score({**forecasters, "serving": serving}, model.panel, origins)
        loss = _loss(both, "serving")
        if np.isfinite(loss):
            return judge(_loss(both, "candidate"), name, loss, _coverage(both, varying))
    alone = score(forecasters, model.panel, origins)
    return judge(_loss(alone, "candidate"), name, None, _coverage(alone, varying))


def _loss(scores: Scores, name: str) -> float:
    """Return scaled pinball loss relative to seasonal naive's.

    Means over series, and no mean of their ratios: naive is all but perfect where a series only grows steadily.
    """
    naive = scaled_pinball(scores.sums["naive"], scores.scale)
    return scaled_pinball(scores.sums[name], scores.scale) / naive if naive > 0 else float("nan")


def _coverage(scores: Scores, rows: npt.NDArray[np.bool_]) -> float:
    return coverage(scores.sums["candidate"].select(rows))["80"]


def _serving(registry: ModelRegistry, model: TrainedModel) -> tuple[str | None, Forecaster | None]:
    """Return the id and the forecaster of the model that serves; one that cannot be loaded is no forecaster.

    Where it, or the base network, was withdrawn, the baseline serves.
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


class TrainingProgress(Protocol):
    """Somebody who watches a training run."""

    def epoch(self, record: EpochRecord) -> None:
        """Note that an epoch ended."""
        ...

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Note that ``step`` of the ``steps`` of an epoch is done."""
        ...


@dataclass(frozen=True)
class Trained:
    """A model that was trained and written, and what the gate said of it."""

    name: str
    model: TrainedModel
    verdict: GateDecision


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

    A run that was cut off goes on from its checkpoint, if data, level, seed and start are the same.

    Args:
        panel: the history.
        metrics: ranges and thresholds by metric name.
        zone: civil time zone of the calendar.
        level: the training level.
        registry: where the model goes.
        progress: who watches.
        seed: of all randomness.
        start: ``base``, ``scratch`` or the id of a model, whose weights training starts from.
        epochs: passes at most, instead of the level's.
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
        seen=_seen(registry, start, panel),
        target_precision=target_precision,
        checkpoint=registry.checkpoint(run[:16]),
        on_epoch=progress.epoch,
        on_step=progress.step,
    )
    verdict = gate_decision(model, registry)
    measured_on = {key: model.info["held_out"][key] for key in ("origins", "from", "to")}
    model = replace(model, info={**model.info, "verdict": {**asdict(verdict), **measured_on}})
    with registry.new() as (name, folder):
        write_model(model, folder)
    if verdict.promoted:
        registry.promote(name, "promoted by the gate after training")
        _log.info("model_promoted", model=name, level=level.name.value, reasons=verdict.reasons)
    else:
        _log.warning("model_rejected", model=name, level=level.name.value, reasons=verdict.reasons)
    return Trained(name, model, verdict)


def write_model(model: TrainedModel, folder: Path) -> None:
    """Write every file of the directory of ``model`` into ``folder``, the report too."""
    samples = model.write(folder)
    units = {name: metric.unit for name, metric in model.metrics.items()}
    report = render_training_report(model.info, [asdict(record) for record in model.fit.records], samples, units)
    (folder / "report.html").write_text(report, encoding="utf-8")


def _seen(registry: ModelRegistry, start: str, panel: Panel) -> set[str]:
    """Return the servers that the weights of ``start`` were trained on, themselves or in what they started from.

    Where that is not on record, it may have been all of ``panel``.
    """
    if start in ("base", "scratch"):
        return set()
    info = read_info(registry.path(start))
    if info is None or "servers" not in info:
        return {key.server for key in panel.keys}
    unknown = info.get("unknown_servers") or {}
    return {*info["servers"], *(info.get("seen_before") or ())} - {*(unknown.get("names") or ())}


def _network(registry: ModelRegistry, start: str) -> TemporalFusionTransformer | None:
    if start == "scratch":
        return None
    return load_network(BASE_FOLDER if start == "base" else registry.path(start))[0]
