"""The network, the histories and every batch of training and forecasting are on the chosen device."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from daemon.breach.model import BASE_FOLDER
from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric, Thresholds
from daemon.network import pretraining, prior_network
from daemon.network.artifact import load_forecaster, load_network
from daemon.network.calibration import calibrate
from daemon.network.device import choose_device
from daemon.network.fitting import Plan, fit
from daemon.network.history import LOOKBACK_STEPS, History
from daemon.network.identity import Vocabulary
from daemon.network.pretraining import pretrain
from daemon.network.sampling import Batch, ColdStartSampler, InterleavedSampler, WindowSampler, prefetched
from daemon.network.training import TrainedModel, train
from tests.panels import daily_panel
from tests.second_device import second_device

UTC = ZoneInfo("UTC")
CPU = torch.device("cpu")
METRICS = {"cpu": Metric(name="cpu", minimum=0, maximum=100, thresholds=Thresholds(critical=65))}
LEVEL = replace(LEVELS[LevelName.DEMO], epochs=1, stride_steps=96)


@pytest.fixture
def second() -> Iterator[torch.device]:
    with second_device() as device:
        yield device


def trained_on(device: torch.device) -> TrainedModel:
    start, _ = load_network(BASE_FOLDER, device)
    return train(daily_panel(2), METRICS, UTC, LEVEL, seed=1, start=start, device=device)


def test_the_second_device_is_no_cpu(second: torch.device) -> None:
    """The tests below can fail: an operation on tensors of two devices is an error, and only copies leave it."""
    there, here = torch.arange(3.0, device=second), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()
    assert (there + here.to(second)).cpu().tolist() == [1, 2, 3]


def test_a_model_trains_and_forecasts_on_another_device(second: torch.device, tmp_path: Path) -> None:
    """Training, calibration, breach model, evaluation, files and loading give the results of the CPU."""
    here, there = trained_on(CPU), trained_on(second)
    assert {parameter.device for parameter in there.network.parameters()} == {second}
    assert (here.info.device, there.info.device) == ("cpu", str(second))
    assert there.fit.records[0].val_loss == pytest.approx(here.fit.records[0].val_loss, rel=1e-3)
    there.write(tmp_path)
    panel = there.panel
    forecaster = load_forecaster(tmp_path, METRICS, second)
    assert {parameter.device for parameter in forecaster.network.parameters()} == {second}
    loaded = forecaster.forecast(panel, panel.end).paths
    assert np.isfinite(loaded).all()
    np.testing.assert_allclose(loaded, load_forecaster(tmp_path, METRICS, CPU).forecast(panel, panel.end).paths, 1e-3)


def test_a_base_network_is_pretrained_on_another_device(second: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first phase leaves the network ready for the second one."""
    # the prior network is trained on the CPU, whatever the device
    monkeypatch.setattr(prior_network, "_FEWEST_STEPS", 1)
    made = pretrain({"one": daily_panel(1, 9)}, UTC, epochs=2, synthetic_fleets=0, device=second)
    assert {parameter.device for parameter in made.network.parameters()} == {second}
    assert [record.epoch for record in made.fit.records] == [0, 1]


@pytest.fixture
def batch_devices(monkeypatch: pytest.MonkeyPatch) -> set[torch.device]:
    """Return the devices of all batches as samplers make them, before Lightning moves them."""
    devices: set[torch.device] = set()

    def recorded(batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in prefetched(batches):
            devices.update(tensor.device for tensor in (*batch.windows, *batch[1:]))
            yield batch

    monkeypatch.setattr("daemon.network.fitting.prefetched", recorded)
    return devices


def test_every_batch_of_a_training_is_made_on_its_device(
    second: torch.device, batch_devices: set[torch.device]
) -> None:
    """Own series, TSMixup, cold starts and validation: Lightning would move a batch of the CPU silently and slowly."""
    trained_on(second)
    assert batch_devices == {second}


def test_every_batch_of_a_pretraining_is_made_on_its_device(
    second: torch.device, batch_devices: set[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fleets, TSMixup, random series, cold starts and validation."""
    monkeypatch.setattr(prior_network, "_FEWEST_STEPS", 1)
    monkeypatch.setattr(pretraining, "SYNTHETIC_SERIES", 4)
    monkeypatch.setattr(pretraining, "SYNTHETIC_DAYS", 9)
    pretrain({"one": daily_panel(1, 9)}, UTC, epochs=1, synthetic_fleets=1, device=second)
    assert batch_devices == {second}


def test_the_windows_of_new_servers_are_made_on_another_device(second: torch.device) -> None:
    """A batch of new servers is on the device of its sampler."""
    panel = daily_panel(1)
    (batch,) = ColdStartSampler(
        panel=panel, zone=UTC, vocabulary=Vocabulary.of(panel), batches=1, batch_size=8, seed=0, device=second
    )
    assert {tensor.device for tensor in (*batch.windows, *batch[1:])} == {second}


def test_a_span_without_windows_calibrates_on_another_device(second: torch.device) -> None:
    """The tensors that replace missing windows are on the device of the network."""
    panel = daily_panel(1)
    history = History.from_panel(panel, UTC).to(second)
    last = LOOKBACK_STEPS + panel.steps - 1
    some, none = (WindowSampler(history, span, 96, 64) for span in ((last - 300, last), (last - 1, last)))
    assert not calibrate(load_network(BASE_FOLDER, second)[0], some, none).applied


def test_a_network_is_in_training_mode_while_it_is_fitted() -> None:
    """A loaded network is in evaluation mode, in which cuDNN's LSTM has no backward pass."""
    network, _ = load_network(BASE_FOLDER, CPU)
    panel = daily_panel(1)
    last = LOOKBACK_STEPS + panel.steps - 1
    sampler = WindowSampler(History.from_panel(panel, UTC), (last - 300, last), 96, 64, 0)
    modes: list[bool] = []
    fit(
        network,
        InterleavedSampler([(sampler, 1)]),
        sampler,
        plan=Plan(epochs=1, learning_rate=1e-3, keep_start=True),
        device=CPU,
        on_epoch=lambda record: None,
        on_step=lambda *step: modes.append(network.training),
    )
    assert set(modes) == {True}
    assert not network.training


def test_the_device_is_the_first_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has an index, as the device of a tensor; a device that is asked for comes first."""
    chosen = []
    for available in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        chosen += [str(choose_device()), str(choose_device(torch.device("cpu")))]
    assert chosen == ["cuda:0", "cpu", "cpu", "cpu"]
