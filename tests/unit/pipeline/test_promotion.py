import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
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
from daemon.core.training_info import EpochRecord
from daemon.models.registry import ModelRegistry
from daemon.network.artifact import load_network
from daemon.network.calibration import NONE, Calibration
from daemon.network.fitting import Fit
from daemon.network.model import Architecture, TemporalFusionTransformer
from daemon.network.training import TrainedModel, split
from daemon.pipeline.training import Trained, gate_decision, train_and_register
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
    first = trained(registry, "base")
    beside_model = gate_decision(candidate(trained_network(), daily_panel()), registry)
    assert beside_model.serving_model == first.name
    registry.demote(first.name, "by a test")
    beside_baseline = gate_decision(candidate(trained_network(), daily_panel()), registry)
    assert beside_baseline.serving_model == "baseline"
    assert beside_baseline.serving_loss not in (None, beside_model.serving_loss)


class NoProgress:
    """Ignores all progress."""

    def epoch(self, record: EpochRecord) -> None:
        """Note nothing."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Note nothing."""


def trained(registry: ModelRegistry, start: str) -> Trained:
    level = replace(DEMO, stride_steps=96)
    return train_and_register(
        daily_panel(), RANGES, UTC, level, registry=registry, progress=NoProgress(), seed=1, start=start
    )


def test_a_model_is_written_with_its_gate_decision_and_serves_only_if_promoted(registry: ModelRegistry) -> None:
    """A rejected one is stored with its reasons, and the serving model continues to serve."""
    with capture_logs() as events:
        first, second = trained(registry, "base"), trained(registry, "scratch")
    assert (first.decision.promoted, second.decision.promoted) == (True, False)
    assert registry.current() == first.name
    assert set(registry.ids()) == {first.name, second.name}
    assert [promotion.model for promotion in registry.promotions()] == [first.name]
    assert [(event["event"], event["model"]) for event in events] == [
        ("model_promoted", first.name),
        ("model_rejected", second.name),
    ]
    assert events[1]["reasons"] == second.decision.reasons
    record = registry.record(second.name)
    assert record is not None
    assert record.info.verdict == second.decision
    info = json.loads((registry.path(second.name) / "training_info.json").read_text(encoding="utf-8"))
    assert info["verdict"]["serving_model"] == first.name
    assert info["verdict"]["candidate_loss"] == second.decision.candidate_loss
    assert (info["verdict"]["origins"], info["verdict"]["naive_loss"]) == (5, 1.0)
    assert (info["verdict"]["from"], info["verdict"]["to"]) == ("2026-01-11T23:55:00Z", "2026-01-12T23:55:00Z")
