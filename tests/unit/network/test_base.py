"""The packaged network on what a new installation has: short, odd and gappy series of any metric."""

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.breach.model import BASE_FOLDER
from daemon.core.errors import NotEnoughHistory
from daemon.core.metric import Metric
from daemon.core.series import Float32, Panel, SeriesKey
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.evaluation import score
from daemon.models.serving import forecast_panel
from daemon.network.artifact import base_forecaster, load_network
from daemon.network.pretraining import pretrain
from daemon.network.training import TUNING_RATE
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")
RANDOM = np.random.default_rng(3)
STEPS = 10 * 288
TIME = np.arange(STEPS)
PERCENT = {"x": Metric(name="x", minimum=0, maximum=100)}


def constant() -> Float32:
    return np.full(STEPS, 42, np.float32)


def intermittent() -> Float32:
    return np.where(RANDOM.random(STEPS) < 0.03, RANDOM.exponential(5, STEPS), 0).astype(np.float32)


def saturated() -> Float32:
    return np.clip(90 + 30 * np.sin(2 * np.pi * TIME / 288) + RANDOM.normal(0, 5, STEPS), 0, 100).astype(np.float32)


def counts() -> Float32:
    return RANDOM.poisson(3 + 2 * np.sin(2 * np.pi * TIME / 288)).astype(np.float32)


def byte_rate() -> Float32:
    return (1e9 * np.exp(RANDOM.normal(0, 1, STEPS) + np.sin(2 * np.pi * TIME / 288))).astype(np.float32)


def gappy() -> Float32:
    return np.where(RANDOM.random(STEPS) < 0.7, np.nan, saturated()).astype(np.float32)


def forecast(values: Float32, metrics: dict[str, Metric] | None = None) -> Float32:
    panel = Panel((SeriesKey("a", "x"),), START, values[None])
    made = base_forecaster(metrics or {}, UTC).forecast(panel, panel.end)
    assert [kind.value for kind in made.kinds] == ["base"]
    paths: Float32 = made.paths[0]
    assert np.isfinite(paths).all()
    assert (np.diff(paths, axis=-1) >= 0).all()
    return paths


@pytest.mark.parametrize("kind", [constant, intermittent, saturated, counts, byte_rate, gappy])
def test_every_kind_of_series_is_forecast_within_what_it_can_be(kind: object) -> None:
    """Never negative where it never was, never far beyond what was seen."""
    values = kind()  # type: ignore[operator]
    paths = forecast(values)
    assert paths.min() >= 0
    assert paths.max() <= 3 * np.nanmax(values)


def test_a_constant_stays_what_it_is() -> None:
    """A series that has not changed for eight days is forecast as its value, to the last bit."""
    values = constant()
    values[:288] = RANDOM.normal(40, 2, 288)
    assert (forecast(values) == 42).all()


def test_a_percentage_stays_a_percentage() -> None:
    """What is saturated at its upper bound is not forecast beyond it."""
    paths = forecast(saturated(), PERCENT)
    assert paths.max() <= 100


def test_what_is_missing_is_not_taken_for_zero() -> None:
    """Seven of ten samples missing: the median stays near those that are there."""
    assert np.median(forecast(gappy())[:, 3]) > 50


@pytest.mark.parametrize(("steps", "source"), [(1, "baseline"), (11, "baseline"), (12, "base"), (96, "base")])
def test_a_new_server_is_forecast_from_its_first_hour(steps: int, source: str) -> None:
    """With less than an hour of history by the baseline, then by the network; always by somebody, and named."""
    panel = Panel((SeriesKey("new", "x"),), START, saturated()[None])
    panel.values[:, : STEPS - steps] = np.nan
    made = forecast_panel(panel, panel.end, base_forecaster({}, UTC), Climatology({}))
    assert [each.value for each in made.kinds] == [source]
    assert np.isfinite(made.paths).all()


def test_it_is_worth_more_than_yesterday_repeated() -> None:
    """On a fleet that it has never seen, without any training, it beats seasonal naive."""
    panel = daily_panel(servers=5, days=12)
    origins = [panel.start + day * 86_400 for day in (9, 10, 11)]
    scores = score({"base": base_forecaster({}, UTC), "naive": SeasonalNaive({})}, panel, origins)
    assert scores.sums["base"].pinball.sum() < scores.sums["naive"].pinball.sum()


def test_the_package_says_from_what_it_was_made() -> None:
    """Every fleet is named with its span and fingerprint, and the licence allows to ship it."""
    record = json.loads((BASE_FOLDER / "pretraining.json").read_text(encoding="utf-8"))
    names = [fleet["name"] for fleet in record["fleets"]]
    assert names
    assert not [name for name in names if "bitbrains" in name]
    assert all({"from", "to", "fingerprint", "servers", "metrics"} <= set(fleet) for fleet in record["fleets"])


def test_pretraining_makes_such_a_network(tmp_path: Path) -> None:
    """From several fleets: it is written with its record, loads, and forecasts a metric that it never saw."""
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
    assert record["synthetic"] == {"fleets": 1, "series": 160, "days": 35}
    panel = Panel((SeriesKey("a", "strange"),), START, counts()[None])
    assert base_forecaster({}, UTC, folder).forecast(panel, panel.end).keys == panel.keys


def test_pretraining_goes_on_from_a_network() -> None:
    """Its weights are where training starts, at a rate at which they stay near, and the record says from what."""
    start, _ = load_network(BASE_FOLDER)
    fleets = {"one": daily_panel(2, 9)}
    made = pretrain(fleets, UTC, epochs=1, synthetic_fleets=0, start=start, started_from={"seed": 9})
    afresh = pretrain(fleets, UTC, epochs=1, synthetic_fleets=0)
    assert made.record["started_from"] == {"seed": 9}
    assert afresh.record["started_from"] is None
    ours, its, other = (each.measures.weight for each in (made.network, start, afresh.network))
    assert 0 < (ours - its).norm() < 0.2 * (other - its).norm()


def test_pretraining_learns_first_hours_last() -> None:
    """Its last two epochs are at a low rate; the records are those of one run."""
    seen = []
    made = pretrain({"one": daily_panel(2, 9)}, UTC, epochs=4, synthetic_fleets=0, on_epoch=seen.append)
    assert [record.epoch for record in made.fit.records] == [0, 1, 2, 3]
    assert tuple(seen) == made.fit.records
    assert made.fit.records[2].learning_rate < TUNING_RATE < made.fit.records[0].learning_rate
    assert made.fit.best_epoch in (2, 3)


def test_without_an_epoch_only_breaches_are_learned(tmp_path: Path) -> None:
    """The network stays as it is, to the bit, and the record says that there was none; no empty list is written."""
    start, _ = load_network(BASE_FOLDER)
    made = pretrain({"one": daily_panel(2, 9)}, UTC, epochs=0, synthetic_fleets=0, start=start, started_from={})
    for name, tensor in start.state_dict().items():
        assert made.network.state_dict()[name].equal(tensor), name
    assert (made.record["epochs"], made.fit.best_epoch) == (0, None)
    made.write(tmp_path)
    assert not (tmp_path / "epochs.jsonl").exists()
    assert load_network(tmp_path)[0].architecture == start.architecture


def test_pretraining_refuses_incidents_without_thresholds() -> None:
    """Nothing would be learned of them, and the record would say that it was."""
    with pytest.raises(ValueError, match="2 fleets with incidents need metrics with thresholds"):
        pretrain({"some": daily_panel(2, 9)}, UTC, epochs=1, incident_fleets=2)


def test_pretraining_refuses_a_fleet_that_is_too_young() -> None:
    """The error names the fleet and what is needed."""
    with pytest.raises(NotEnoughHistory, match=r"young: 3\.0 days of history, pretraining needs 8"):
        pretrain({"young": daily_panel(2, 3)}, UTC, epochs=1)
