"""An interrupted training resumes from its checkpoint."""

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import torch
from structlog.testing import capture_logs

from daemon.core.levels import LEVELS, LevelName
from daemon.core.training_info import EpochRecord
from daemon.network.training import TrainedModel, train
from tests.other_user import as_nobody, needs_root, reachable_folder
from tests.panels import daily_panel

THREE = replace(LEVELS[LevelName.DEMO], epochs=3, stride_steps=96)


class InterruptionError(Exception):
    """Interrupts a training."""


def trained(checkpoint: Path | None, interrupted_after: int | None = None) -> TrainedModel:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == interrupted_after:
            raise InterruptionError

    return train(daily_panel(3), {}, ZoneInfo("UTC"), THREE, seed=4, checkpoint=checkpoint, on_epoch=on_epoch)


def test_a_resumed_training_gives_the_same_model(tmp_path: Path) -> None:
    """Interrupted in its third epoch and resumed: every bit is that of an uninterrupted training, with all epochs."""
    checkpoint = tmp_path / "checkpoints" / "run.ckpt"
    with pytest.raises(InterruptionError):
        trained(checkpoint, interrupted_after=2)
    assert checkpoint.exists()
    resumed, whole = trained(checkpoint), trained(None)
    assert not checkpoint.exists()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    assert [record.epoch for record in resumed.fit.records] == [0, 1, 2]
    losses = [[record.val_loss for record in model.fit.records] for model in (resumed, whole)]
    assert losses[0] == losses[1]


def test_a_damaged_checkpoint_is_set_aside(tmp_path: Path) -> None:
    """The log has the reason, and the training starts at its first epoch."""
    checkpoint = tmp_path / "run.ckpt"
    checkpoint.write_bytes(b"half of it")
    with capture_logs() as logs:
        assert [record.epoch for record in trained(checkpoint).fit.records] == [0, 1, 2]
    assert [(line["event"], line["file"]) for line in logs] == [("checkpoint_unusable", str(checkpoint))]
    assert [path.name for path in tmp_path.iterdir()] == ["run.unusable"]


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_training_needs_no_checkpoint_that_another_user_left(mode: int) -> None:
    """Without access to the directory it logs so, uses no checkpoint, and ends with its model."""
    with reachable_folder() as folder:
        checkpoint = folder / ".checkpoints" / "run.ckpt"
        checkpoint.parent.mkdir()
        checkpoint.parent.chmod(mode)
        checkpoint.write_bytes(b"of root")
        checkpoint.chmod(0o600)
        with as_nobody(), capture_logs() as logs:
            assert [record.epoch for record in trained(checkpoint).fit.records] == [0, 1, 2]
        events = [line["event"] for line in logs]
        assert events == ["checkpoint_unusable", *["checkpoint_not_written"] * 3]
        assert all("is owned by root (mode 0" in line["reason"] for line in logs)
        assert checkpoint.read_bytes() == b"of root"
