"""Train a model on a panel and let it serve."""

from collections.abc import Mapping
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from daemon.domain.levels import Level
from daemon.domain.metric import Metric
from daemon.domain.series import Panel
from daemon.learning.fitting import EpochRecord
from daemon.learning.training import TrainedModel, train
from daemon.registry.models import ModelRegistry

_log = structlog.get_logger()


class TrainingProgress(Protocol):
    """Somebody who watches a training run."""

    def epoch(self, record: EpochRecord) -> None:
        """Note that an epoch ended."""
        ...

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Note that ``step`` of the ``steps`` of an epoch is done."""
        ...


def train_and_register(
    panel: Panel,
    metrics: Mapping[str, Metric],
    zone: ZoneInfo,
    level: Level,
    registry: ModelRegistry,
    progress: TrainingProgress,
    *,
    seed: int,
    epochs: int | None = None,
    force: bool = False,
) -> tuple[str, TrainedModel]:
    """Train on ``panel``, write the model's directory and make it the current one; return its id.

    Raises:
        NotEnoughHistory: there is too little to train on.
    """
    model = train(
        panel,
        metrics,
        zone,
        level,
        seed=seed,
        epochs=epochs,
        force=force,
        on_epoch=progress.epoch,
        on_step=progress.step,
    )
    with registry.new() as (name, folder):
        model.write(folder)
    registry.promote(name)
    _log.info("model_registered", model=name, level=level.name.value, quantile_loss=model.info["quantile_loss"])
    return name, model
