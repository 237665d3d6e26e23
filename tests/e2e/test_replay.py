"""Recorded metrics of real servers from end to end: replay, store, training, model forecasts.

The recordings are not part of the repository; FOREWARN_REAL_DATA names their folder.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.core.forecast import QUANTILE_COLUMNS
from daemon.core.series import STEP_SECONDS, Panel, SeriesKey, as_text, floor_to_grid, parse_time
from daemon.ingest.metrics_file import read_metrics_file
from tests.servers.forewarn import RunningForewarn, forewarn, write_config
from tests.servers.processes import wait_until

SPEED = 60
TICKS_BEFORE = 2
"""Grid times that the service runs before the end of what may be trained on."""


@pytest.fixture
def recordings() -> Path:
    """The folder of recordings; the test is skipped where there is none."""
    named = os.environ.get("FOREWARN_REAL_DATA")
    if not named:
        pytest.skip("needs FOREWARN_REAL_DATA, the folder of recorded metrics, which is not set")
    return Path(named)


def replay_config(folder: Path, data: Path, metrics: list[str], start: int) -> Path:
    """Write the configuration of a service that replays ``data`` on a clock that starts at ``start``."""
    sources = [{"name": "recording", "type": "replay", "path": str(data)}]
    clock = {"start": as_text(start), "speed": SPEED}
    return write_config(folder, sources=sources, metrics={metric: {} for metric in metrics}, clock=clock)


def all_forecasts(service: RunningForewarn) -> list[dict[str, Any]]:
    """Return the forecasts of all series, all of one tick."""
    while True:
        items: list[dict[str, Any]] = []
        total = 1
        while len(items) < total:
            page = service.get(f"/api/v1/forecasts?limit=500&offset={len(items)}").json()
            total = page["total"]
            items += page["items"]
        if len({item["origin"] for item in items}) == 1:
            return items


def assert_sound(items: list[dict[str, Any]], recorded: Panel) -> None:
    """Check that quantiles are ordered, and not negative for a series without a negative sample."""
    lowest = dict(zip(recorded.keys, np.nanmin(recorded.values, axis=1).tolist(), strict=True))
    assert items
    for item in items:
        paths = np.array([item["quantiles"][name] for name in QUANTILE_COLUMNS])
        assert paths.shape == (7, 96)
        assert np.isfinite(paths).all()
        assert (np.diff(paths, axis=0) >= 0).all()
        assert paths.min() >= 0 or lowest[SeriesKey(item["server"], item["metric"])] < 0, item


@pytest.mark.parametrize(
    "name", ["bitbrains", *(pytest.param(name, marks=pytest.mark.slow) for name in ("jumpstarter", "smd"))]
)
def test_a_recording_is_replayed_trained_on_and_forecast(name: str, recordings: Path, tmp_path: Path) -> None:
    """A model that is trained beside the running service serves the whole fleet from then on."""
    pack = json.loads((recordings / name / "pack.json").read_text())
    data = recordings / name / "data.parquet"
    recorded = read_metrics_file(data)
    train_end = floor_to_grid(parse_time(pack["train_end"]))
    config = replay_config(tmp_path, data, pack["metrics"], train_end - TICKS_BEFORE * STEP_SECONDS)
    began = time.monotonic()
    with RunningForewarn(config) as service:
        ready_seconds = time.monotonic() - began
        assert {item["source"] for item in all_forecasts(service)} in ({"base"}, {"base", "baseline"})
        train = ("train", "--level", "demo", "--epochs", "1", "--until", as_text(train_end), "--config", config)
        summary = forewarn(*train, folder=tmp_path).stdout.strip().splitlines()[0]
        wait_until(lambda: service.get("/api/v1/status").json()["model"] != "", 60, "the model serves")
        served_seconds = time.monotonic() - began
        status = service.get("/api/v1/status").json()
        items = all_forecasts(service)
    print(f"\n{name}: ready after {ready_seconds:.1f} s, model forecasts after {served_seconds:.1f} s\n  {summary}")
    info = json.loads((tmp_path / "data" / "models" / status["model"] / "training_info.json").read_text())
    assert parse_time(info["data_to"]) <= train_end
    assert not service.events("tick_failed")
    origin = parse_time(items[0]["origin"])
    assert train_end - TICKS_BEFORE * STEP_SECONDS <= origin <= recorded.end
    assert {item["server"] for item in items} == set(pack["servers"])
    by_model = [item for item in items if item["source"] == "model"]
    assert {item["server"] for item in by_model} == set(pack["servers"])
    assert {item["metric"] for item in by_model} == set(pack["metrics"])
    assert_sound(items, recorded)


def test_a_day_of_a_recording_is_enough_to_forecast_but_not_to_train(recordings: Path, tmp_path: Path) -> None:
    """With one day of history the base network and the baseline serve; training is refused with both spans."""
    data = recordings / "gpu_pods" / "data.parquet"
    recorded = read_metrics_file(data)
    metrics = sorted({key.metric for key in recorded.keys})
    config = replay_config(tmp_path, data, metrics, recorded.end - TICKS_BEFORE * STEP_SECONDS)
    with RunningForewarn(config) as service:
        items = all_forecasts(service)
    assert {item["source"] for item in items} in ({"base"}, {"base", "baseline"}, {"baseline"})
    recent = recorded.between(recorded.end - TICKS_BEFORE * STEP_SECONDS, recorded.end)
    seen = {key.server for key, values in zip(recent.keys, recent.values, strict=True) if np.isfinite(values).any()}
    assert {item["server"] for item in items} >= seen
    assert_sound(items, recorded)
    train = ("train", "--level", "demo", "--data", data, "--models", "models")
    refused = forewarn(*train, folder=tmp_path, status=3)
    assert "24.1 h of history" in refused.stderr
    assert "168 h" in refused.stderr
    assert "--force" in refused.stderr
    forced = forewarn(*train, "--force", folder=tmp_path, status=3)
    print(f"\ngpu_pods: {refused.stderr.strip()}\n  forced: {forced.stderr.strip()}")
    assert "training needs two days" in forced.stderr
    assert not (tmp_path / "models").exists()
