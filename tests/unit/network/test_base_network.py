"""The base network on the series of a new installation: short, unusual and with gaps, of any metric."""

import json
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.breach.model import BASE_FOLDER
from daemon.core.metric import Metric
from daemon.core.series import Float32, Panel, SeriesKey
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.evaluation import score
from daemon.models.serving import forecast_panel
from daemon.network.artifact import base_forecaster
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
    """Paths of a series without negative values have none, and are at most three times its maximum."""
    values = kind()  # type: ignore[operator]
    paths = forecast(values)
    assert paths.min() >= 0
    assert paths.max() <= 3 * np.nanmax(values)


def test_a_constant_stays_what_it_is() -> None:
    """The forecast of a series that has not changed for eight days is exactly its value."""
    values = constant()
    values[:288] = RANDOM.normal(40, 2, 288)
    assert (forecast(values) == 42).all()


def test_a_percentage_stays_a_percentage() -> None:
    """The forecast of a series at its upper bound does not exceed it."""
    paths = forecast(saturated(), PERCENT)
    assert paths.max() <= 100


def test_missing_samples_are_no_zeros() -> None:
    """With seven of ten samples missing, the median stays near the others."""
    assert np.median(forecast(gappy())[:, 3]) > 50


@pytest.mark.parametrize(("steps", "source"), [(1, "baseline"), (11, "baseline"), (12, "base"), (96, "base")])
def test_a_new_server_is_forecast_from_its_first_hour(steps: int, source: str) -> None:
    """With less than an hour of history the baseline forecasts it, then the network; each is named."""
    panel = Panel((SeriesKey("new", "x"),), START, saturated()[None])
    panel.values[:, : STEPS - steps] = np.nan
    made = forecast_panel(panel, panel.end, base_forecaster({}, UTC), Climatology({}))
    assert [each.value for each in made.kinds] == [source]
    assert np.isfinite(made.paths).all()


def test_it_is_better_than_seasonal_naive() -> None:
    """On a fleet outside its training data it has a lower pinball loss."""
    panel = daily_panel(servers=5, days=12)
    origins = [panel.start + day * 86_400 for day in (9, 10, 11)]
    scores = score({"base": base_forecaster({}, UTC), "naive": SeasonalNaive({})}, panel, origins)
    assert scores.sums["base"].pinball.sum() < scores.sums["naive"].pinball.sum()


def test_the_package_records_its_training_data() -> None:
    """Every fleet has a name, a span and a fingerprint; none is of a data set without a licence to distribute."""
    record = json.loads((BASE_FOLDER / "pretraining.json").read_text(encoding="utf-8"))
    names = [fleet["name"] for fleet in record["fleets"]]
    assert names
    assert not [name for name in names if "bitbrains" in name]
    assert all({"from", "to", "fingerprint", "servers", "metrics"} <= set(fleet) for fleet in record["fleets"])
