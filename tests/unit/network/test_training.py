import json
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import torch

from daemon.core.errors import BadModel, NotEnoughHistory
from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric
from daemon.core.series import STEPS_PER_HOUR, Panel, SeriesKey
from daemon.core.training_info import EpochRecord
from daemon.network.artifact import FORMAT, load_forecaster
from daemon.network.history import LOOKBACK_STEPS, History
from daemon.network.sampling import WindowSampler
from daemon.network.training import TrainedModel, last_hours, split, train
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")
METRICS = {"cpu": Metric(name="cpu", minimum=0, maximum=100), "mem": Metric(name="mem", minimum=0, maximum=100)}
SHORT = replace(LEVELS[LevelName.DEMO], epochs=2, stride_steps=96)


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
    """`epochs.jsonl` and `training_info.json` hold what the design promises."""
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


def test_samples_stand_beside_what_happened(folder: Path, trained: TrainedModel) -> None:
    """The sample predictions carry the actual values of the panel's last eight hours."""
    samples = pd.read_parquet(folder / "samples.parquet")
    key = trained.panel.keys[0]
    own = samples[(samples.server == key.server) & (samples.metric == key.metric)]
    np.testing.assert_array_equal(own.actual.to_numpy(), trained.panel.values[0, -96:])


def test_a_loaded_model_forecasts_the_same(folder: Path) -> None:
    """Writing and loading changes nothing; every row is named model and stays sorted and in range."""
    panel = daily_panel()
    made, again = (load_forecaster(folder, METRICS).forecast(panel, panel.end) for _ in range(2))
    assert made.keys == panel.keys
    assert np.array_equal(made.paths, again.paths)
    assert (np.diff(made.paths, axis=-1) >= 0).all()
    assert made.paths.min() >= 0
    assert made.paths.max() <= 100
    assert {source.value for source in made.sources} == {"model"}


def test_a_forecast_uses_nothing_after_its_origin(folder: Path) -> None:
    """Raw history to quantiles: what comes after the origin changes no bit of the forecast."""
    forecaster, panel = load_forecaster(folder, METRICS), daily_panel()
    origin = panel.start + 1500 * 300
    other = Panel(panel.keys, panel.start, panel.values.copy(), panel.profiles)
    other.values[:, 1501:] = 77
    assert np.array_equal(forecaster.forecast(panel, origin).paths, forecaster.forecast(other, origin).paths)


def test_a_batch_does_not_change_its_members(folder: Path) -> None:
    """A series is forecast alike alone and among others."""
    forecaster, panel = load_forecaster(folder, METRICS), daily_panel()
    together = forecaster.forecast(panel, panel.end).paths[3]
    alone = forecaster.forecast(panel.select([3]), panel.end).paths[0]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)


def test_series_that_the_model_cannot_serve_are_left_out(folder: Path) -> None:
    """Less than an hour of history, silence for a day, or an unknown metric: left to the baseline."""
    forecaster, panel = load_forecaster(folder, METRICS), daily_panel()
    panel.values[0, :-11] = np.nan
    panel.values[1, -288:] = np.nan
    keys = (*panel.keys[:2], panel.keys[2]._replace(metric="strange"), *panel.keys[3:])
    made = forecaster.forecast(Panel(keys, panel.start, panel.values), panel.end)
    assert made.keys == keys[3:]


def test_the_same_seed_gives_the_same_model(trained: TrainedModel) -> None:
    """Training is reproducible on one machine."""
    again = train(daily_panel(), METRICS, UTC, SHORT, seed=1)
    for name, tensor in trained.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name
    assert trained.info.data_fingerprint == again.info.data_fingerprint


def test_training_reports_steps_and_epochs() -> None:
    """Whoever watches hears of every step and every epoch."""
    steps: list[tuple[int, int, int]] = []
    records: list[EpochRecord] = []
    train(daily_panel(2), METRICS, UTC, SHORT, on_epoch=records.append, on_step=lambda *step: steps.append(step))
    assert [record.epoch for record in records] == [0, 1]
    assert steps[-1][1] == steps[-1][2]
    assert records[1].train_loss < records[0].train_loss


def test_a_missing_day_does_not_keep_an_epoch_from_its_validation() -> None:
    """Where samples are missing a pass has fewer batches than the longest one, and ends as every other does."""
    panel = daily_panel(servers=5, days=7)
    panel.values[:, 2 * 288 : 3 * 288] = np.nan
    steps: list[tuple[int, int]] = []
    model = train(
        panel, METRICS, UTC, LEVELS[LevelName.DEMO], seed=1, on_step=lambda _, step, of: steps.append((step, of))
    )
    assert [np.isfinite(record.val_loss) for record in model.fit.records] == [True]
    assert steps[-1][0] < steps[-1][1]


def test_a_pass_has_no_more_batches_than_the_sampler_says() -> None:
    """Whatever the offsets, the learning rate's schedule does not run out before the windows."""
    random = torch.Generator().manual_seed(0)
    for length in (600, 607, 615):
        panel = Panel((SeriesKey("a", "cpu"),), START, torch.randn(1, length, generator=random).numpy())
        history = History.from_panel(panel, UTC, panel.end)
        span = (LOOKBACK_STEPS, LOOKBACK_STEPS + length - 1)
        sampler = WindowSampler(history, span, 16, 1, 0)
        assert max(sum(1 for _ in sampler) for _ in range(5)) == len(sampler)


def test_a_span_without_a_sample_has_no_batch() -> None:
    """An outage of a whole span, such as the half that calibration is tried on, is none of the network's business."""
    panel = daily_panel(servers=1, days=4)
    panel.values[:, 2 * 288 :] = np.nan
    history = History.from_panel(panel, UTC, panel.end)
    spans = ((0, 2 * 288 - 1), (3 * 288, 4 * 288 - 1))
    samplers = [WindowSampler(history, (LOOKBACK_STEPS + first, LOOKBACK_STEPS + last), 12, 8) for first, last in spans]
    assert [len(list(sampler)) > 0 for sampler in samplers] == [True, False]


@pytest.mark.parametrize(("days", "expected"), [(6.5, "training needs 168 h"), (0.5, "training needs 168 h")])
def test_less_than_a_week_is_refused(days: float, expected: str) -> None:
    """Under seven days training is refused, and says why and what to do."""
    with pytest.raises(NotEnoughHistory, match=expected):
        train(daily_panel(days=days), METRICS, UTC, SHORT)


def test_half_a_day_is_too_little_even_by_force() -> None:
    """Forcing does not help where no window fits."""
    with pytest.raises(NotEnoughHistory, match="no window"):
        train(daily_panel(days=0.5), METRICS, UTC, SHORT, force=True)


def test_held_out_spans_follow_the_level() -> None:
    """Validation, and the test span of the levels that claim accuracy, lie at the end."""
    spans = split(daily_panel(days=30), LEVELS[LevelName.PRODUCTION])
    assert (spans.training, spans.validation, spans.end) == (24 * 288, 27 * 288, 30 * 288)


def test_held_out_days_come_after_the_hours_of_the_level() -> None:
    """Where there is history for both, a level trains on all its hours; with less, they include what is held back."""
    level = LEVELS[LevelName.PRODUCTION]
    trained_hours = [
        split(last_hours(daily_panel(servers=1, days=days), level.history_hours), level).training / STEPS_PER_HOUR
        for days in (40, 36, 30)
    ]
    assert trained_hours == [720, 720, 576]


@pytest.mark.parametrize("integrity_error", ["missing", "truncated", "json", "shape", "format"])
def test_a_damaged_model_is_named(folder: Path, tmp_path: Path, integrity_error: str) -> None:
    """A model directory that cannot be loaded is an error that names it, never a crash."""
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
