import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from daemon.breach.model import BASE_FOLDER, base_breach_model
from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric
from daemon.core.series import Panel, SeriesKey
from daemon.models.registry import ModelRegistry
from daemon.network.artifact import load_network
from daemon.network.calibration import NONE, Calibration
from daemon.network.fitting import Fit
from daemon.network.model import Architecture, TemporalFusionTransformer
from daemon.network.training import TrainedModel, split
from daemon.pipeline.training import gate_decision
from tests.model_directory import register
from tests.panels import START, daily_panel
from tests.training_records import training_info

METRICS = ("cpu", "mem")
RANGES = {name: Metric(name=name, minimum=0, maximum=100) for name in METRICS}
UTC = ZoneInfo("UTC")
DEMO = LEVELS[LevelName.DEMO]
# stretched threefold, its 80 % interval covers nearly all
WIDE = (3.0,) * len(NONE)


def trained_network() -> TemporalFusionTransformer:
    return load_network(BASE_FOLDER)[0]


def untrained_network() -> TemporalFusionTransformer:
    torch.manual_seed(0)
    return TemporalFusionTransformer(Architecture())


def candidate(
    network: TemporalFusionTransformer, panel: Panel | None = None, stretch: tuple[float, ...] = NONE
) -> TrainedModel:
    """Return a network as if it had been trained on all but the last day of ``panel``."""
    panel = panel or daily_panel()
    calibration = Calibration(
        stretch=stretch, applied=True, loss_before=0.2, loss_after=0.2, coverage_before={}, coverage_after={}, reason=""
    )
    fit = Fit(records=(), best_epoch=None, best_loss=0.2, early_stopping=False, device="cpu")
    return TrainedModel(
        network=network,
        vocabulary=METRICS,
        zone=UTC,
        panel=panel,
        metrics=RANGES,
        spans=split(panel, DEMO),
        fit=fit,
        calibration=calibration,
        breach=base_breach_model(),
        info=training_info(),
    )


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models")


def serve(registry: ModelRegistry, network: TemporalFusionTransformer, metrics: tuple[str, ...] = METRICS) -> str:
    name = register(registry, network, metrics)
    registry.promote(name, "by a test")
    return name


def test_without_a_serving_model_the_candidate_has_to_beat_seasonal_naive(registry: ModelRegistry) -> None:
    """The packaged network does, an untrained one does not; the figures are measured."""
    good, bad = (
        gate_decision(candidate(trained_network()), registry),
        gate_decision(candidate(untrained_network()), registry),
    )
    assert (good.promoted, good.serving_model, good.serving_loss) == (True, None, None)
    assert good.candidate_loss is not None
    assert good.candidate_loss < 1
    assert not bad.promoted
    assert bad.candidate_loss is not None
    assert f"It does not beat seasonal naive: {bad.candidate_loss:.3f}" in bad.reasons[0]


def test_the_candidate_has_to_beat_the_serving_model(registry: ModelRegistry) -> None:
    """On the same windows the loss of the serving model is that of a candidate with its weights; a tie loses."""
    bad = serve(registry, untrained_network())
    alone = gate_decision(candidate(untrained_network()), ModelRegistry(registry.path(bad)))
    better = gate_decision(candidate(trained_network()), registry)
    assert (better.promoted, better.serving_model) == (True, bad)
    assert better.serving_loss == pytest.approx(alone.candidate_loss)
    good = serve(registry, trained_network())
    tie = gate_decision(candidate(trained_network()), registry)
    assert (tie.promoted, tie.serving_model, tie.serving_loss) == (False, good, tie.candidate_loss)
    assert f"It does not beat the serving model {good}" in tie.reasons[1]


def garble(registry: ModelRegistry, model: str) -> None:
    (registry.path(model) / "model.safetensors").write_bytes(b"x")


def lose(registry: ModelRegistry, model: str) -> None:
    shutil.rmtree(registry.path(model))


@pytest.mark.parametrize("integrity_error", [garble, lose])
def test_a_serving_model_that_cannot_be_loaded_is_not_compared(integrity_error: Any, registry: ModelRegistry) -> None:
    """The reason names it, and the log has the error."""
    name = serve(registry, trained_network())
    integrity_error(registry, name)
    with capture_logs() as events:
        decision = gate_decision(candidate(trained_network()), registry)
    assert (decision.promoted, decision.serving_model, decision.serving_loss) == (True, name, None)
    assert f"{name} could not forecast any of these windows" in decision.reasons[1]
    assert [(event["event"], event["model"]) for event in events] == [("serving_model_unusable", name)]


def test_a_serving_model_of_other_metrics_is_not_compared(registry: ModelRegistry) -> None:
    """It can be loaded, but can forecast none of the windows."""
    name = serve(registry, trained_network(), ("disk",))
    decision = gate_decision(candidate(trained_network()), registry)
    assert (decision.promoted, decision.serving_model, decision.serving_loss) == (True, name, None)


def test_losses_are_compared_on_the_windows_that_all_can_forecast(registry: ModelRegistry) -> None:
    """Where the serving model knows one metric of two, a candidate with its weights is no better and no worse."""
    serve(registry, trained_network(), ("cpu",))
    decision = gate_decision(candidate(trained_network()), registry)
    assert decision.serving_loss == decision.candidate_loss
    assert (
        decision.candidate_loss
        != gate_decision(candidate(trained_network()), ModelRegistry(Path("none"))).candidate_loss
    )


def test_intervals_that_are_too_wide_are_refused(registry: ModelRegistry) -> None:
    """A good median does not help."""
    decision = gate_decision(candidate(trained_network(), stretch=WIDE), registry)
    assert not decision.promoted
    assert decision.coverage_80 is not None
    assert decision.coverage_80 > 0.95
    assert "not sound" in decision.reasons[2]


def with_rows(panel: Panel, rows: Iterable[tuple[str, np.ndarray[Any, Any]]]) -> Panel:
    keys = tuple(SeriesKey(server, "cpu") for server, _ in rows)
    values = np.vstack([panel.values, *(values for _, values in rows)]).astype(np.float32)
    return Panel((*panel.keys, *keys), START, values, panel.profiles)


def test_series_that_stand_still_are_left_out_of_the_coverage(registry: ModelRegistry) -> None:
    """Series that vary only before the held-out span are left out too: any interval covers them."""
    panel = daily_panel()
    still = np.full(panel.steps, 7.0)
    once = np.where(np.arange(panel.steps) < panel.steps // 2, 3.0, 7.0)
    gone = np.where(np.arange(panel.steps) < panel.steps // 2, panel.values[0], np.nan)
    more = with_rows(panel, [("still", still), ("once", once), ("gone", gone)])
    alone = gate_decision(candidate(trained_network(), panel), registry)
    beside = gate_decision(candidate(trained_network(), more), registry)
    assert beside.coverage_80 == alone.coverage_80
    flat = Panel(panel.keys, START, np.full_like(panel.values, 7.0), {})
    assert gate_decision(candidate(trained_network(), flat), registry).coverage_80 is None


def test_a_held_out_span_without_a_window_promotes_nothing(registry: ModelRegistry) -> None:
    """Less than eight hours were held out: the model was not measured."""
    panel = daily_panel(days=2)
    decision = gate_decision(candidate(trained_network(), panel), registry)
    assert (decision.promoted, decision.candidate_loss, decision.coverage_80) == (False, None, None)
    assert "the model was not measured" in decision.reasons[0]


def test_where_the_model_was_demoted_the_candidate_has_to_beat_the_baseline(registry: ModelRegistry) -> None:
    """The baseline serves; it is no progress to beat the demoted model only."""
    serving = serve(registry, untrained_network())
    beside_model = gate_decision(candidate(trained_network(), daily_panel()), registry)
    assert beside_model.serving_model == serving
    registry.demote(serving, "by a test")
    beside_baseline = gate_decision(candidate(trained_network(), daily_panel()), registry)
    assert beside_baseline.serving_model == "baseline"
    assert beside_baseline.serving_loss not in (None, beside_model.serving_loss)
