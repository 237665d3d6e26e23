"""What a training at each level writes into its directory, and what may be claimed of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric, Thresholds
from daemon.core.training_info import EpochRecord, TrainingInfo
from daemon.models.claims import claims, serving_status
from daemon.models.readiness import readiness_of
from daemon.models.record import problems
from daemon.models.registry import ModelRegistry
from daemon.pipeline.training import train_and_register
from tests.panels import daily_panel

METRICS = {
    "cpu": Metric(name="cpu", minimum=0, maximum=100, thresholds=Thresholds(critical=70)),
    "mem": Metric(name="mem", minimum=0, maximum=100),
}
SHORT_OF_EVERYTHING = ("20 epochs or more", "30 days of history or more")
WITHOUT_A_TEST = ("held-out test done", "profiles validated", "unknown servers tested")


class NoProgress:
    """Ignores all progress."""

    def epoch(self, record: EpochRecord) -> None:
        """Note nothing."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Note nothing."""


def train_at(name: LevelName, registry: ModelRegistry, start: str) -> str:
    """Train one epoch on eight days of four servers, and return the model's id."""
    # of four servers one can be spared
    every = 4 if LEVELS[name].unknown_server_every else 0
    level = replace(LEVELS[name], epochs=1, stride_steps=96, unknown_server_every=every)
    zone = ZoneInfo("UTC")
    return train_and_register(
        daily_panel(), METRICS, zone, level, registry=registry, progress=NoProgress(), seed=1, start=start
    ).name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[LevelName], tuple[ModelRegistry, str]]:
    """Gives a model of a level; each is trained once."""
    registry = ModelRegistry(tmp_path_factory.mktemp("models"))
    made: dict[LevelName, str] = {}

    def train(name: LevelName) -> tuple[ModelRegistry, str]:
        if name not in made:
            made[name] = train_at(name, registry, "base")
        return registry, made[name]

    return train


def info_of(registry: ModelRegistry, model: str) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((registry.path(model) / "training_info.json").read_text())
    return info


@pytest.mark.parametrize("name", LevelName)
def test_every_level_writes_all_that_is_documented(
    name: LevelName, trained: Callable[[LevelName], tuple[ModelRegistry, str]]
) -> None:
    """Every key of both records, of the form that verify asks for, and a page that names the level."""
    registry, model = trained(name)
    folder = registry.path(model)
    assert problems(folder) == []
    (line,) = (json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines())
    assert set(line) == set(EpochRecord.__dataclass_fields__)
    info = info_of(registry, model)
    assert set(info) == set(TrainingInfo.model_fields)
    assert (info["level"], info["epochs"], info["planned_epochs"]) == (name, 1, 1)
    assert set(info["coverage"]) == {"50", "80", "96"}
    assert set(info["skill_vs_seasonal_naive"]) == {"cpu", "mem"}
    assert set(info["incident_figures"]) == {"cpu"}
    assert isinstance(info["verdict"]["promoted"], bool)
    assert f"Training at level {name}" in (folder / "report.html").read_text()


@pytest.mark.parametrize("name", LevelName)
def test_every_level_claims_what_it_may(
    name: LevelName, trained: Callable[[LevelName], tuple[ModelRegistry, str]]
) -> None:
    """From what training measured: hours, the validation loss, or the figures of the held-out test."""
    info = info_of(*trained(name))
    sources = [
        claim.source.removeprefix("training_info.json: ") for claim in claims(TrainingInfo.parse(json.dumps(info))).may
    ]
    if name is LevelName.DEMO:
        assert sources == ["data_hours"]
    elif name is LevelName.VALIDATION:
        assert sources == ["final_val_loss"]
    else:
        assert {"quantile_loss", "coverage.80", "unknown_servers.skill", "skill_vs_seasonal_naive.cpu"} <= set(sources)


@pytest.mark.parametrize("name", LevelName)
def test_readiness_names_what_a_short_training_lacks(
    name: LevelName, trained: Callable[[LevelName], tuple[ModelRegistry, str]]
) -> None:
    """One epoch on eight days lacks epochs and history at every level; without a test span more than that."""
    registry, model = trained(name)
    made = readiness_of(registry, serving_status(registry, model))
    tests = name in (LevelName.PRODUCTION, LevelName.LARGE)
    assert made.failing == SHORT_OF_EVERYTHING + (() if tests else WITHOUT_A_TEST)


def test_no_server_is_unknown_to_weights_that_saw_it(
    trained: Callable[[LevelName], tuple[ModelRegistry, str]],
) -> None:
    """Started from a demo model there is none to measure on; from a production model it is the one that it left out."""
    (registry, demo), (_, production) = trained(LevelName.DEMO), trained(LevelName.PRODUCTION)
    (left_out,) = info_of(registry, production)["unknown_servers"]["names"]
    everybody = info_of(registry, demo)["servers"]
    for start, unknown in ((demo, set()), (production, {left_out})):
        info = info_of(registry, train_at(LevelName.PRODUCTION, registry, start))
        assert set((info["unknown_servers"] or {"names": ()})["names"]) == unknown
        assert info["seen_before"] == sorted({*everybody} - unknown)
        assert (info["started_from"], info["servers"]) == (start, everybody)
