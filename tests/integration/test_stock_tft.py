import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from daemon.backtest.forecasts import MODEL, REFERENCE, STOCK_TFT
from daemon.cli.app import app
from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Panel, SeriesKey, as_text
from daemon.ingest.metrics_file import write_metrics_file
from daemon.network.stock_tft import (
    ENCODER_STEPS,
    StepTimes,
    StockForecaster,
    data_frame,
    data_set,
    fit_stock_tft,
    untrained_network,
)
from tests.panels import daily_panel

PANEL = daily_panel(2, 4)
ORIGIN = PANEL.start + 3 * STEPS_PER_DAY * STEP_SECONDS
UTC = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def progress() -> list[float]:
    """The reported shares of the training."""
    return []


@pytest.fixture(scope="module")
def trained(progress: list[float]) -> StockForecaster:
    """A network after two steps on the history before the origin."""
    return fit_stock_tft(PANEL.between(PANEL.start, ORIGIN), UTC, steps=2, on_progress=progress.append)


def test_every_series_with_history_is_forecast(trained: StockForecaster, progress: list[float]) -> None:
    """Quantiles are finite and do not cross, at the level of their own series; the training reports its progress."""
    made = trained.forecast(PANEL, ORIGIN)
    assert (made.origin, made.keys, made.paths.shape) == (ORIGIN, PANEL.keys, (4, 96, 7))
    assert np.isfinite(made.paths).all()
    assert (np.diff(made.paths, axis=-1) >= 0).all()
    assert progress == [0.5, 1]


def test_each_series_is_scaled_by_its_own_history() -> None:
    """Of two series a thousandfold apart, each is forecast in its own range, and none below a bound of its metric."""
    values = PANEL.values[:2] * np.array([[1], [1_000]], dtype=np.float32)
    keys = (SeriesKey("a", "cpu_busy_pct"), SeriesKey("b", "net_in_mb_s"))
    panel = Panel(keys, PANEL.start, values)
    network = untrained_network(data_set(panel.between(panel.start, ORIGIN), UTC))
    made = StockForecaster(network, frozenset(keys), UTC).forecast(panel, ORIGIN)
    low, high = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
    medians = np.median(made.paths[..., 3], axis=1)
    assert (low - (high - low) < medians).all()
    assert (medians < high + (high - low)).all()
    assert made.paths.min() >= 0
    assert made.paths[0].max() <= 100


def test_nothing_after_the_origin_is_used(trained: StockForecaster) -> None:
    """The same past gives the same forecast, whatever comes after the origin."""
    other = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    other.values[:, 3 * STEPS_PER_DAY + 1 :] = 99
    assert np.array_equal(trained.forecast(PANEL, ORIGIN).paths, trained.forecast(other, ORIGIN).paths)


def test_series_without_recent_samples_or_training_are_left_out(trained: StockForecaster) -> None:
    """A series needs a sample in the day up to the origin, and one in the training."""
    keys = (*PANEL.keys[:3], SeriesKey("new", "cpu"))
    panel = Panel(keys, PANEL.start, PANEL.values.copy())
    panel.values[1, 2 * STEPS_PER_DAY + 1 :] = np.nan
    assert trained.forecast(panel, ORIGIN).keys == (PANEL.keys[0], PANEL.keys[2])
    assert trained.forecast(panel.select([1, 3]), ORIGIN).keys == ()


def test_gaps_repeat_the_last_value_without_weight() -> None:
    """The data frame has no gap; steps without a sample, and those after the end, do not count in the loss."""
    values = np.array([[np.nan, 1, np.nan, 3]], dtype=np.float32)
    frame = data_frame(Panel((SeriesKey("a", "cpu"),), PANEL.start, values), UTC, future_steps=1)
    assert frame["value"].tolist() == [1, 1, 1, 3, 3]
    assert frame["observed"].tolist() == [0, 1, 0, 1, 0]
    assert (np.diff(frame["step"]) == 1).all()


def test_the_calendar_is_that_of_the_time_zone() -> None:
    """Midnight in Tokyo is the start of the day there, and 15:00 of the day before in UTC."""
    midnight = int(pd.Timestamp("2026-01-05T00:00", tz="Asia/Tokyo").timestamp())
    panel = Panel((SeriesKey("a", "cpu"),), midnight, np.ones((1, ENCODER_STEPS), dtype=np.float32))
    tokyo, utc = (data_frame(panel, ZoneInfo(name)) for name in ("Asia/Tokyo", "UTC"))
    assert tokyo.loc[0, ["day_sin", "day_cos", "week_sin", "week_cos"]].tolist() == [0, 1, 0, 1]
    assert utc.loc[0, ["day_sin", "day_cos"]].tolist() == pytest.approx(
        [np.sin(2 * np.pi * 15 / 24), np.cos(2 * np.pi * 15 / 24)]
    )


def test_a_time_limit_ends_the_training() -> None:
    """After a step that ends beyond the limit the trainer stops, and the training is reported as done."""
    trainer: Any = SimpleNamespace(should_stop=False)
    progress: list[float] = []
    endless, short = (StepTimes(50, seconds, progress.append) for seconds in (1e9, 1e-9))
    endless.on_train_batch_end(trainer)
    assert (trainer.should_stop, progress) == (False, [1 / 50])
    short.on_train_batch_end(trainer)
    assert (trainer.should_stop, progress) == (True, [1 / 50, 1.0])


def test_a_backtest_scores_it_beside_the_other_forecasters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--peers tft`` trains it on the data before the first origin and adds it to the document."""
    ends: list[int] = []

    def one_step(panel: Panel, zone: ZoneInfo, **options: Any) -> StockForecaster:
        ends.append(panel.end)
        return fit_stock_tft(panel, zone, steps=1, **options)

    monkeypatch.setattr("daemon.network.stock_tft.fit_stock_tft", one_step)
    monkeypatch.chdir(tmp_path)
    write_metrics_file(tmp_path / "data.parquet", PANEL)
    options = (
        "--models",
        "none",
        "--no-peers",
        "--peers",
        "tft",
        "--from",
        as_text(ORIGIN),
        "--every",
        "12h",
        "--json",
    )
    done = CliRunner().invoke(app, ["backtest", "--data", "data.parquet", *options])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert ends == [ORIGIN]
    assert set(document["forecasters"]) == {MODEL, REFERENCE, STOCK_TFT}
    assert document["forecasters"][STOCK_TFT]["relative_loss"] > 0
