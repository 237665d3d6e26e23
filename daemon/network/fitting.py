"""Fitting of the network with Lightning: optimiser, schedule, weight averaging, early stopping, checkpoints, records.

AdamW (Loshchilov and Hutter, 2019) with one cycle of the learning rate (Smith, 2018) and an exponential moving average
of the weights. Validation and everything after it use the averaged weights.
"""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from daemon.core.file_access import is_present, reason_of
from daemon.core.training_info import EpochRecord
from daemon.network.loss import weighted_loss
from daemon.network.model import TemporalFusionTransformer
from daemon.network.sampling import Batch, InterleavedSampler, prefetched
from daemon.system.files import atomic_path

_WARM_UP_SHARE = 0.15
_AVERAGE_DECAY = 0.995
# learning rates at the first and the last step, as shares of the highest
_FIRST_SHARE, _LAST_SHARE = 0.04, 0.01
# a smaller improvement counts as none: at the lowest learning rate nearly every epoch has one
_WORTH = 0.999
_START = -1

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a fit.

    Attributes:
        epochs: maximum number of epochs.
        learning_rate: highest learning rate of the schedule.
        schedule_epochs: epochs until the learning rate is at its lowest, where it stays; None is ``epochs``.
        patience_epochs: epochs without a lower validation loss after which fitting stops; None is never.
        accumulate: batches per step of the optimiser.
        mixed_precision: compute in bf16 on a GPU.
        keep_start: keep the initial weights if no epoch has a lower validation loss.
        checkpoint: file that fitting writes, and resumes from if it exists; None is no checkpoint.
        checkpoint_every_epochs: epochs between two checkpoints.
    """

    epochs: int
    learning_rate: float
    schedule_epochs: int | None = None
    patience_epochs: int | None = 3
    accumulate: int = 1
    mixed_precision: bool = False
    keep_start: bool = False
    checkpoint: Path | None = None
    checkpoint_every_epochs: int = 1


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The result of a fit.

    Attributes:
        records: one per epoch.
        best_epoch: epoch of the kept weights; None if they are the initial ones.
        best_loss: validation loss of the kept weights: weighted pinball loss in window units.
        early_stopping: whether fitting stopped because the validation loss did not improve.
        device: name of the device, as torch writes it.
    """

    records: tuple[EpochRecord, ...]
    best_epoch: int | None
    best_loss: float
    early_stopping: bool
    device: str


Progress = Callable[[int, int, int], None]
"""Called after each batch with the epoch, its number of finished batches, and the largest number of an epoch."""


def fit(
    network: TemporalFusionTransformer,
    training: InterleavedSampler,
    validation: Iterable[Batch],
    *,
    plan: Plan,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None],
    on_step: Progress,
) -> Fit:
    """Train ``network`` in place; afterwards it is on ``device``, in evaluation mode, with the best weights.

    Args:
        network: has the initial weights.
        training: yields different batches at each pass.
        validation: yields the same batches at each pass.
        plan: the settings.
        device: device of the network; the batches must be on it.
        on_epoch: called as each epoch ends.
        on_step: called after each batch.
    """
    # before inference mode: parameters that are moved inside it cannot be trained
    network.to(device)
    # Lightning keeps the mode, and cuDNN's LSTM has no backward pass in evaluation mode
    network.train()
    recorder = _Recorder(
        network=network,
        steps=len(training),
        patience=plan.patience_epochs,
        device=device,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    if plan.keep_start:
        recorder.keep(_START, _loss_of(network, validation))
    average = WeightAveraging(device, use_buffers=False, multi_avg_fn=_average)
    done = _epochs_done(plan.checkpoint)
    with _without_lightning_messages():
        trainer = _trainer(plan, device, [average, recorder])
        scheduled = min(plan.epochs, plan.schedule_epochs or plan.epochs)
        steps = math.ceil(scheduled * len(training) / plan.accumulate)
        module = _Module(network, steps, plan.learning_rate)
        passes = _Passes(training, done)
        loaders = DataLoader(passes, batch_size=None), DataLoader(_Passes(validation, 0), batch_size=None)
        trainer.fit(module, *loaders, ckpt_path=plan.checkpoint if done else None, weights_only=True)
    # Lightning leaves it on the CPU
    network.to(device)
    network.load_state_dict(recorder.best_weights)
    network.eval()
    if plan.checkpoint is not None:
        # a file that it cannot delete is not of this run
        with suppress(OSError):
            plan.checkpoint.unlink()
    best = None if recorder.best_epoch == _START else recorder.best_epoch
    return Fit(
        records=tuple(recorder.records),
        best_epoch=best,
        best_loss=recorder.best_loss,
        early_stopping=recorder.stopped,
        device=str(device),
    )


def _loss_of(network: TemporalFusionTransformer, batches: Iterable[Batch]) -> float:
    mean = _Mean()
    with torch.inference_mode():
        for batch in batches:
            paths = network(batch.windows)
            loss = weighted_loss(batch.target, batch.observed, paths, batch.weight)
            mean.add(loss, len(batch.weight))
    return mean.value


def _trainer(plan: Plan, device: torch.device, callbacks: list[Callback]) -> Trainer:
    if plan.checkpoint is not None:
        callbacks = [*callbacks, _Checkpoint(plan.checkpoint, plan.checkpoint_every_epochs)]
    return Trainer(
        max_epochs=plan.epochs,
        accelerator=device.type,
        strategy=SingleDeviceStrategy(device),
        devices=1 if device.index is None else [device.index],
        precision="bf16-mixed" if plan.mixed_precision and device.type == "cuda" else "32-true",
        gradient_clip_val=1.0,
        accumulate_grad_batches=plan.accumulate,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,
    )


def _epochs_done(checkpoint: Path | None) -> int:
    """Return the number of epochs in ``checkpoint``; 0 without one. An unusable one is renamed."""
    if checkpoint is None or not is_present(checkpoint):
        return 0
    try:
        return int(torch.load(checkpoint, weights_only=True)["epoch"]) + 1
    except Exception as error:  # noqa: BLE001 - unpickling a damaged file raises anything
        _log.warning(
            "checkpoint_unusable",
            file=str(checkpoint),
            reason=reason_of(error),
            consequence="training starts at its first epoch",
        )
        with suppress(OSError):
            checkpoint.replace(checkpoint.with_suffix(".unusable"))
        return 0


@contextmanager
def _without_lightning_messages() -> Iterator[None]:
    # Lightning prints tips, and warns of a lack of loader workers, which these samplers do not need
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(level)


class _Passes(IterableDataset[Batch]):
    """Batches without a length, one pass per epoch.

    With a length Lightning validates after that many batches, and a pass with missing samples has fewer.
    """

    def __init__(self, batches: Iterable[Batch], first_epoch: int) -> None:
        self._batches, self._epoch = batches, first_epoch

    def __iter__(self) -> Iterator[Batch]:
        if isinstance(self._batches, InterleavedSampler):
            self._batches.begin(self._epoch)
        self._epoch += 1
        return prefetched(self._batches)


class _Module(LightningModule):
    def __init__(self, network: TemporalFusionTransformer, steps: int, learning_rate: float) -> None:
        super().__init__()
        self.network = network
        self._steps = max(steps, 2)
        self._learning_rate = learning_rate

    def training_step(self, batch: Batch) -> Tensor:
        return self._loss(batch)

    def validation_step(self, batch: Batch) -> Tensor:
        return self._loss(batch)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self._learning_rate, betas=(0.9, 0.99), weight_decay=0.01, foreach=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share(self, step: int) -> float:
        """Return the share of the highest learning rate at ``step``: one cycle, then its lowest value."""
        rising = _WARM_UP_SHARE * self._steps
        if step < rising:
            return _FIRST_SHARE + (1 - _FIRST_SHARE) * (1 - math.cos(math.pi * step / rising)) / 2
        done = min(1.0, (step - rising) / (self._steps - rising))
        return _LAST_SHARE + (1 - _LAST_SHARE) * (1 + math.cos(math.pi * done)) / 2

    def _loss(self, batch: Batch) -> Tensor:
        paths = self.network(batch.windows)
        return weighted_loss(batch.target, batch.observed, paths, batch.weight)


def _average(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
    # as in TensorFlow's ExponentialMovingAverage: the decay rises, so that a short run forgets its initial weights
    done = int(count)
    decay = min(_AVERAGE_DECAY, (1 + done) / (10 + done))
    torch._foreach_lerp_(averaged, current, 1 - decay)


class _Checkpoint(Callback):
    """Write a checkpoint every few epochs, atomically. Without write access training continues without one.

    Lightning's ModelCheckpoint writes in place, ignores a directory without write access, or blames fsspec.
    """

    def __init__(self, path: Path, every_epochs: int) -> None:
        self._path, self._every_epochs = path, every_epochs

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if (trainer.current_epoch + 1) % self._every_epochs == 0:
            try:
                with atomic_path(self._path) as temporary:
                    trainer.save_checkpoint(temporary)
            except OSError as error:
                _log.warning(
                    "checkpoint_not_written",
                    file=str(self._path),
                    reason=reason_of(error),
                    consequence="an interrupted training starts over",
                )


class _Recorder(Callback):
    """Record each epoch, keep the best weights, and stop when the validation loss does not improve.

    Lightning's EarlyStopping has no relative improvement and no loss of the start, and ModelCheckpoint keeps weights on
    the disk only.
    """

    def __init__(
        self,
        *,
        network: TemporalFusionTransformer,
        steps: int,
        patience: int | None,
        device: torch.device,
        on_epoch: Callable[[EpochRecord], None],
        on_step: Progress,
    ) -> None:
        self._network, self._steps, self._patience, self._device = network, steps, patience, device
        self.records: list[EpochRecord] = []
        self.best_weights: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.best_loss = float("inf")
        self.stopped = False
        self._on_epoch, self._on_step = on_epoch, on_step
        self._train_loss = _Mean()
        self._val_loss = _Mean()
        self._windows = 0
        self._started = 0.0
        self._seconds = 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._train_loss, self._windows = _Mean(), 0
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._train_loss.add(outputs["loss"], len(batch.weight))
        self._windows += len(batch.weight)
        self._seconds = time.perf_counter() - self._started
        self._on_step(trainer.current_epoch, batch_idx + 1, self._steps)

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._val_loss = _Mean()

    def on_validation_batch_end(  # noqa: PLR0917 - the signature of Lightning
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._val_loss.add(outputs, len(batch.weight))

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        # the module has the averaged weights only during validation
        loss = self._val_loss.value
        if loss < _WORTH * self.best_loss or not self.best_weights:
            self.keep(trainer.current_epoch, loss)
        record = EpochRecord(
            epoch=trainer.current_epoch,
            train_loss=self._train_loss.value,
            val_loss=loss,
            learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]),
            time_seconds=time.perf_counter() - self._started,
            gpu_memory_mb=torch.cuda.max_memory_allocated(self._device) / 1e6 if self._device.type == "cuda" else 0.0,
            samples_per_second=self._windows / max(self._seconds, 1e-9),
        )
        self.records.append(record)
        self._on_epoch(record)
        if self._patience is not None and trainer.current_epoch - self.best_epoch >= self._patience:
            self.stopped = True
            trainer.should_stop = True

    def keep(self, epoch: int, loss: float) -> None:
        """Keep the current weights as the best ones."""
        self.best_epoch, self.best_loss = epoch, loss
        self.best_weights = {name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "records": [asdict(record) for record in self.records],
            "best_weights": self.best_weights,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.records = [EpochRecord(**record) for record in state_dict["records"]]
        self.best_weights, self.best_epoch = state_dict["best_weights"], state_dict["best_epoch"]
        self.best_loss = state_dict["best_loss"]


class _Mean:
    """A running mean, weighted by batch size."""

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def add(self, value: Any, count: int) -> None:
        """Add ``value``, the mean over ``count`` windows."""
        self._total += float(value.detach()) * count
        self._count += count

    @property
    def value(self) -> float:
        """The mean; NaN without a window."""
        return self._total / self._count if self._count else float("nan")
