"""A training that was cut off goes on from its checkpoint."""

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import torch

from daemon.core.levels import LEVELS, LevelName
from daemon.core.training_info import EpochRecord
from daemon.network.training import TrainedModel, train
from tests.panels import daily_panel

THREE = replace(LEVELS[LevelName.DEMO], epochs=3, stride_steps=96)


class CutOffError(Exception):
    """What ends a training in its middle."""


def trained(checkpoint: Path | None, cut_after: int | None = None) -> TrainedModel:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == cut_after:
            raise CutOffError

    return train(daily_panel(3), {}, ZoneInfo("UTC"), THREE, seed=4, checkpoint=checkpoint, on_epoch=on_epoch)


def test_a_training_that_goes_on_gives_the_same_model(tmp_path: Path) -> None:
    """Cut off in its third epoch and started again: to the last bit what it would have been, and no epoch lost."""
    checkpoint = tmp_path / "checkpoints" / "run.ckpt"
    with pytest.raises(CutOffError):
        trained(checkpoint, cut_after=2)
    assert checkpoint.exists()
    resumed, whole = trained(checkpoint), trained(None)
    assert not checkpoint.exists()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    assert [record.epoch for record in resumed.fit.records] == [0, 1, 2]
    losses = [[record.val_loss for record in model.fit.records] for model in (resumed, whole)]
    assert losses[0] == losses[1]
