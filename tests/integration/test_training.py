"""Training of a model: its files, its forecasts, its progress, and that it repeats."""

import json
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import torch

from daemon.core.errors import BadModel
from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric
from daemon.core.series import Panel
from daemon.core.training_info import EpochRecord
from daemon.network.artifact import FORMAT, load_forecaster
from daemon.network.training import TrainedModel, train
from tests.panels import daily_panel

UTC = ZoneInfo("UTC")
METRICS = {"cpu": Metric(name="cpu", minimum=0, maximum=100), "mem": Metric(name="mem", minimum=0, maximum=100)}
SHORT = replace(LEVELS[LevelName.DEMO], epochs=2, stride_steps=96)
ONE_HELD_OUT = replace(LEVELS[LevelName.PRODUCTION], epochs=1, unknown_server_every=4)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return train(daily_panel(), METRICS, UTC, SHORT, seed=1)


@pytest.fixture(scope="module")
def folder(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "20260101T000000Z-00000000"
    path.mkdir()
    trained.write(path)
    return path


def test_records_have_every_documented_key(folder: Path) -> None:
    """`epochs.jsonl` and `training_info.json` have the documented keys."""
    lines = [json.loads(line) for line in (folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert set(lines[0]) == {
        "epoch",
        "train_loss",
        "val_loss",
        "learning_rate",
        "time_seconds",
        "gpu_memory_mb",
        "samples_per_second",
    }
    info = json.loads((folder / "training_info.json").read_text(encoding="utf-8"))
    promised = (
        "trained_at level epochs data_hours num_servers final_train_loss final_val_loss quantile_loss "
        "training_time_hours model_parameters convergence early_stopping data_fingerprint data_from data_to best_epoch "
        "device gpu_memory_peak_mb inference_latency_ms coverage versions seed"
    )
    assert set(promised.split()) <= set(info)
    assert (info["level"], info["epochs"], info["data_hours"], info["num_servers"]) == ("demo", 2, 168, 4)
    assert info["convergence"] == "not achieved"


def test_samples_have_the_actual_values(folder: Path, trained: TrainedModel) -> None:
    """The sample predictions carry the actual values of the panel's last eight hours."""
    samples = pd.read_parquet(folder / "samples.parquet")
    key = trained.panel.keys[0]
    own = samples[(samples.server == key.server) & (samples.metric == key.metric)]
    np.testing.assert_array_equal(own.actual.to_numpy(), trained.panel.values[0, -96:])


def test_a_loaded_model_forecasts_the_same(folder: Path) -> None:
    """Its forecasts are equal each time, sorted and in range, and their source is the model."""
    panel = daily_panel()
    made, again = (load_forecaster(folder, METRICS).forecast(panel, panel.end) for _ in range(2))
    assert made.keys == panel.keys
    assert np.array_equal(made.paths, again.paths)
    assert (np.diff(made.paths, axis=-1) >= 0).all()
    assert made.paths.min() >= 0
    assert made.paths.max() <= 100
    assert {kind.value for kind in made.kinds} == {"model"}


def test_a_forecast_uses_nothing_after_its_origin(folder: Path) -> None:
    """Other samples after the origin change no bit of the forecast."""
    forecaster, panel = load_forecaster(folder, METRICS), daily_panel()
    origin = panel.start + 1500 * 300
    other = Panel(panel.keys, panel.start, panel.values.copy(), panel.profiles)
    other.values[:, 1501:] = 77
    assert np.array_equal(forecaster.forecast(panel, origin).paths, forecaster.forecast(other, origin).paths)


def test_a_batch_does_not_change_its_members(folder: Path) -> None:
    """The forecast of a series is the same alone and among others."""
    forecaster, panel = load_forecaster(folder, METRICS), daily_panel()
    together = forecaster.forecast(panel, panel.end).paths[3]
    alone = forecaster.forecast(panel.select([3]), panel.end).paths[0]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)


def test_series_that_the_model_cannot_forecast_are_left_out(folder: Path) -> None:
    """With less than an hour of history, no sample in a day, or an unknown metric, a series has no forecast."""
    forecaster, panel = load_forecaster(folder, METRICS), daily_panel()
    panel.values[0, :-11] = np.nan
    panel.values[1, -288:] = np.nan
    keys = (*panel.keys[:2], panel.keys[2]._replace(metric="other"), *panel.keys[3:])
    made = forecaster.forecast(Panel(keys, panel.start, panel.values), panel.end)
    assert made.keys == keys[3:]


def test_the_same_seed_gives_the_same_model(trained: TrainedModel) -> None:
    """Training is reproducible on one machine."""
    again = train(daily_panel(), METRICS, UTC, SHORT, seed=1)
    for name, tensor in trained.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name
    assert trained.info.data_fingerprint == again.info.data_fingerprint


def test_training_reports_steps_and_epochs() -> None:
    """The callbacks are called for every step and every epoch."""
    steps: list[tuple[int, int, int]] = []
    records: list[EpochRecord] = []
    train(daily_panel(2), METRICS, UTC, SHORT, on_epoch=records.append, on_step=lambda *step: steps.append(step))
    assert [record.epoch for record in records] == [0, 1]
    assert steps[-1][1] == steps[-1][2]
    assert records[1].train_loss < records[0].train_loss


def test_a_missing_day_does_not_keep_an_epoch_from_its_validation() -> None:
    """With missing samples a pass has fewer batches than announced, and its validation has a loss."""
    panel = daily_panel(servers=5, days=7)
    panel.values[:, 2 * 288 : 3 * 288] = np.nan
    steps: list[tuple[int, int]] = []
    model = train(
        panel, METRICS, UTC, LEVELS[LevelName.DEMO], seed=1, on_step=lambda _, step, of: steps.append((step, of))
    )
    assert [np.isfinite(record.val_loss) for record in model.fit.records] == [True]
    assert steps[-1][0] < steps[-1][1]


@pytest.mark.parametrize("integrity_error", ["missing", "truncated", "json", "shape", "format"])
def test_a_damaged_model_is_named(folder: Path, tmp_path: Path, integrity_error: str) -> None:
    """The error of a model directory that cannot be loaded names it."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights, description = broken / "model.safetensors", broken / "model.json"
    text = description.read_text(encoding="utf-8")
    if integrity_error == "missing":
        weights.unlink()
    elif integrity_error == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif integrity_error == "json":
        description.write_text("{", encoding="utf-8")
    elif integrity_error == "shape":
        description.write_text(text.replace('"hidden_size": 32', '"hidden_size": 16'), encoding="utf-8")
    else:
        description.write_text(text.replace(f'"format": {FORMAT}', '"format": 99'), encoding="utf-8")
    with pytest.raises(BadModel, match="broken"):
        load_forecaster(broken, METRICS)


def _held_out(model: TrainedModel) -> tuple[str, ...]:
    assert model.info.unknown_servers is not None
    return model.info.unknown_servers.names


def test_the_network_learns_nothing_of_a_server_that_was_held_out() -> None:
    """Its history before the held-out span changes no weight, no epoch and no calibration; another server's does."""
    panel = daily_panel()
    model = train(panel, {}, UTC, ONE_HELD_OUT, seed=1)
    (name,) = _held_out(model)
    for server, same in ((name, True), ("server-00", False)):
        rows = [row for row, key in enumerate(panel.keys) if key.server == server]
        other = Panel(panel.keys, panel.start, panel.values.copy(), panel.profiles)
        other.values[rows, : model.spans.validation] *= np.linspace(0.5, 1.5, model.spans.validation, dtype=np.float32)
        again = train(other, {}, UTC, ONE_HELD_OUT, seed=1)
        assert _held_out(again) == (name,)
        tensors = zip(model.network.state_dict().values(), again.network.state_dict().values(), strict=True)
        assert all(torch.equal(*pair) for pair in tensors) == same
        assert (again.fit.best_loss == model.fit.best_loss) == same
        assert (again.calibration == model.calibration) == same
    assert name in (model.info.servers or ())
