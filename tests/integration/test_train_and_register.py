"""A training from the panel to the registered model and the decision of the gate."""

import json
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from structlog.testing import capture_logs

from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric
from daemon.core.training_info import EpochRecord
from daemon.models.registry import ModelRegistry
from daemon.pipeline.training import Trained, train_and_register
from tests.panels import daily_panel

RANGES = {name: Metric(name=name, minimum=0, maximum=100) for name in ("cpu", "mem")}
UTC = ZoneInfo("UTC")


class NoProgress:
    """Ignores all progress."""

    def epoch(self, record: EpochRecord) -> None:
        """Note nothing."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Note nothing."""


def trained(registry: ModelRegistry, start: str) -> Trained:
    level = replace(LEVELS[LevelName.DEMO], stride_steps=96)
    return train_and_register(
        daily_panel(), RANGES, UTC, level, registry=registry, progress=NoProgress(), seed=1, start=start
    )


def test_a_model_is_written_with_its_gate_decision_and_serves_only_if_promoted(tmp_path: Path) -> None:
    """A rejected one is stored with its reasons, and the serving model continues to serve."""
    registry = ModelRegistry(tmp_path)
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
