"""Training and forecasting on a real GPU; without one these tests fail."""

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from daemon.breach.model import BASE_FOLDER
from daemon.core.levels import LEVELS, LevelName
from daemon.network.artifact import load_forecaster, load_network
from daemon.network.device import choose_device
from daemon.network.pretraining import pretrain
from daemon.network.training import train
from tests.panels import daily_panel

pytestmark = pytest.mark.gpu
UTC = ZoneInfo("UTC")
CPU = torch.device("cpu")


class Interruption(Exception):
    """Ends a training in its middle."""


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_a_model_trains_and_forecasts_on_the_gpu(tmp_path: Path, mixed_precision: bool) -> None:
    """A model trained from the base network gives the same forecast on the GPU and on the CPU."""
    level = replace(LEVELS[LevelName.DEMO], mixed_precision=mixed_precision)
    panel = daily_panel()
    model = train(panel, {}, UTC, level, start=load_network(BASE_FOLDER)[0])
    assert {str(parameter.device) for parameter in model.network.parameters()} == {"cuda:0"}
    assert model.info.device == "cuda:0"
    assert model.info.gpu_memory_peak_mb > 0
    model.write(tmp_path)
    there, here = (
        load_forecaster(tmp_path, {}, device).forecast(panel, panel.end) for device in (choose_device(), CPU)
    )
    np.testing.assert_allclose(there.paths, here.paths, rtol=1e-2, atol=0.1)


def test_a_run_resumes_from_its_checkpoint_on_the_gpu(tmp_path: Path) -> None:
    """A run that was interrupted in its second epoch ends with the records of both epochs."""
    level = replace(LEVELS[LevelName.DEMO], epochs=2)

    def interrupt(epoch: int, step: int, steps: int) -> None:
        if epoch:
            raise Interruption

    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(Interruption):
        train(daily_panel(), {}, UTC, level, checkpoint=checkpoint, on_step=interrupt)
    assert checkpoint.exists()
    resumed = train(daily_panel(), {}, UTC, level, checkpoint=checkpoint)
    assert [record.epoch for record in resumed.fit.records] == [0, 1]
    assert {str(parameter.device) for parameter in resumed.network.parameters()} == {"cuda:0"}


def test_a_base_network_is_pretrained_on_the_gpu() -> None:
    """Both phases of pretraining run on the GPU; the second one starts with a network in evaluation mode."""
    made = pretrain({"one": daily_panel(2, 9)}, UTC, epochs=2, synthetic_fleets=0)
    assert {str(parameter.device) for parameter in made.network.parameters()} == {"cuda:0"}
    assert made.fit.device == "cuda:0"
