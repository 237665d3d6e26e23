"""Pretraining: the files of a base network, its start, its phases, and what is refused."""

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.breach.model import BASE_FOLDER
from daemon.core.errors import NotEnoughHistory
from daemon.core.series import Panel, SeriesKey
from daemon.network import pretraining
from daemon.network.artifact import base_forecaster, load_network
from daemon.network.pretraining import pretrain
from daemon.network.training import TUNING_RATE
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")


def test_pretraining_makes_such_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From two fleets: it is written with its record, is loaded, and forecasts a metric outside its training data."""
    # small, to keep the test short
    monkeypatch.setattr(pretraining, "SYNTHETIC_SERIES", 4)
    monkeypatch.setattr(pretraining, "SYNTHETIC_DAYS", 9)
    fleets = {"one": daily_panel(2, 10), "two": daily_panel(3, 12)}
    made = pretrain(fleets, UTC, epochs=1, synthetic_fleets=1, seed=2)
    folder = tmp_path / "network"
    folder.mkdir()
    made.write(folder)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "model.json", "calibration.json", "epochs.jsonl", "pretraining.json",
    }  # fmt: skip
    record = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))
    assert [fleet["name"] for fleet in record["fleets"]] == ["one", "two"]
    assert record["synthetic"] == {"fleets": 1, "series": 4, "days": 9}
    panel = Panel((SeriesKey("a", "other"),), START, np.ones((1, 10 * 288), np.float32))
    assert base_forecaster({}, UTC, folder).forecast(panel, panel.end).keys == panel.keys


def test_pretraining_starts_from_a_network() -> None:
    """Its weights are the start and change little, and the record has its origin."""
    start, _ = load_network(BASE_FOLDER)
    fleets = {"one": daily_panel(2, 9)}
    made = pretrain(fleets, UTC, epochs=1, synthetic_fleets=0, start=start, started_from={"seed": 9})
    scratch = pretrain(fleets, UTC, epochs=1, synthetic_fleets=0)
    assert made.record["started_from"] == {"seed": 9}
    assert scratch.record["started_from"] is None
    ours, its, other = (each.measures.weight for each in (made.network, start, scratch.network))
    assert 0 < (ours - its).norm() < 0.2 * (other - its).norm()


def test_cold_starts_are_in_the_last_epochs() -> None:
    """The last two epochs have a low learning rate; the records are those of one run."""
    seen = []
    made = pretrain({"one": daily_panel(2, 9)}, UTC, epochs=4, synthetic_fleets=0, on_epoch=seen.append)
    assert [record.epoch for record in made.fit.records] == [0, 1, 2, 3]
    assert tuple(seen) == made.fit.records
    assert made.fit.records[2].learning_rate < TUNING_RATE < made.fit.records[0].learning_rate
    assert made.fit.best_epoch in (2, 3)


def test_without_an_epoch_only_breaches_are_learned(tmp_path: Path) -> None:
    """No bit of the network changes, the record has 0 epochs, and there is no file of epochs."""
    start, _ = load_network(BASE_FOLDER)
    made = pretrain({"one": daily_panel(2, 9)}, UTC, epochs=0, synthetic_fleets=0, start=start, started_from={})
    for name, tensor in start.state_dict().items():
        assert made.network.state_dict()[name].equal(tensor), name
    assert (made.record["epochs"], made.fit.best_epoch) == (0, None)
    made.write(tmp_path)
    assert not (tmp_path / "epochs.jsonl").exists()
    assert load_network(tmp_path)[0].architecture == start.architecture


def test_pretraining_refuses_incidents_without_thresholds() -> None:
    """Without thresholds nothing is learned from incidents, and the record would be wrong."""
    with pytest.raises(ValueError, match="2 fleets with incidents need metrics with thresholds"):
        pretrain({"some": daily_panel(2, 9)}, UTC, epochs=1, incident_fleets=2)


def test_pretraining_refuses_a_fleet_that_is_too_young() -> None:
    """The error names the fleet and the days that it needs."""
    with pytest.raises(NotEnoughHistory, match=r"young: 3\.0 days of history, pretraining needs 8"):
        pretrain({"young": daily_panel(2, 3)}, UTC, epochs=1)
