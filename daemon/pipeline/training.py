"""Train a model on a panel and let it serve."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from daemon.domain.gate import Verdict
from daemon.domain.levels import Level
from daemon.domain.metric import Metric
from daemon.domain.series import Panel
from daemon.learning.artifact import load_network
from daemon.learning.breach.base import BASE_FOLDER
from daemon.learning.breach.learning import TARGET_PRECISION
from daemon.learning.fitting import EpochRecord
from daemon.learning.network import TemporalFusionTransformer
from daemon.learning.training import TrainedModel, train
from daemon.learning.training_info import fingerprint
from daemon.pipeline.promotion import verdict_of
from daemon.registry.models import ModelRegistry
from daemon.registry.records import read_info

_log = structlog.get_logger()


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
    verdict: Verdict


def train_and_register(
    panel: Panel,
    metrics: Mapping[str, Metric],
    zone: ZoneInfo,
    level: Level,
    registry: ModelRegistry,
    progress: TrainingProgress,
    *,
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
        BadModel: the model to start from cannot be loaded.
    """
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
    verdict = verdict_of(model, registry)
    measured_on = {key: model.info["held_out"][key] for key in ("origins", "from", "to")}
    model = replace(model, info={**model.info, "verdict": {**asdict(verdict), **measured_on}})
    with registry.new() as (name, folder):
        model.write(folder)
    if verdict.promoted:
        registry.promote(name, "promoted by the gate after training")
        _log.info("model_promoted", model=name, level=level.name.value, reasons=verdict.reasons)
    else:
        _log.warning("model_rejected", model=name, level=level.name.value, reasons=verdict.reasons)
    return Trained(name, model, verdict)


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
