"""Live verification demotes a model that is worse than the climatology; a better model replaces it."""

import re
import shutil
from pathlib import Path

import torch
import yaml

from daemon.breach.model import BASE_FOLDER
from daemon.config.loading import default_text
from daemon.models.registry import ModelRegistry
from daemon.network.artifact import load_network
from tests.model_directory import register
from tests.servers.forewarn import RunningForewarn, simulated, write_config
from tests.servers.processes import wait_until

# a grid time in a third of a second
SPEED = 900
# eight hours and a half pass before the first forecast has all its samples
SCORED_SECONDS = 9.5 * 3600 / SPEED


def configure(folder: Path) -> tuple[Path, list[str]]:
    """Write a configuration of three simulated servers with eight days of history; return it and its metrics."""
    path = write_config(
        folder,
        sources=[simulated(hours=200, ml_compute=1, database=1, web_api=1)],
        clock={"start": "2026-01-10T00:00:00Z", "speed": SPEED},
        training={"level": "demo", "schedule": None, "triggers": ["quality"]},
        verification={"judged_hours": 1},
    )
    return path, list(yaml.safe_load(default_text())["metrics"])


def promote_nonsense(registry: ModelRegistry, metrics: list[str]) -> str:
    """Promote a network with random noise on its weights."""
    network, _ = load_network(BASE_FOLDER)
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(torch.randn_like(weights))
    name = register(registry, network, tuple(metrics))
    shutil.copy(BASE_FOLDER / "calibration.json", registry.path(name) / "calibration.json")
    registry.promote(name, "by hand")
    return name


def series_by(service: RunningForewarn, source: str) -> float:
    found = re.search(rf'^forewarn_forecast_source{{source="{source}"}} (\S+)$', service.get("/metrics").text, re.M)
    return float(found[1]) if found else 0.0


def test_a_bad_model_is_demoted_and_a_better_one_takes_its_place(tmp_path: Path) -> None:
    """The baseline serves, also after a restart; a training starts by itself, and its model takes over."""
    config, metrics = configure(tmp_path)
    registry = ModelRegistry(tmp_path / "data/models")
    bad = promote_nonsense(registry, metrics)
    with RunningForewarn(config) as service:
        wait_until(lambda: series_by(service, "model") > 0, 30, "the model serves")
        assert "forewarn_model_withdrawn 0.0" in service.get("/metrics").text
        wait_until(lambda: series_by(service, "model") == 0, 3 * SCORED_SECONDS, "the baseline serves")
        assert "forewarn_model_withdrawn 1.0" in service.get("/metrics").text
        reason = service.get("/api/v1/status").json()["withdrawn"]
        assert "of the climatology's" in reason
        figures = service.get("/api/v1/accuracy").json()["figures"]
        assert {each["forecaster"] for each in figures} >= {bad}
        assert "forewarn_live_skill_ratio{" in service.get("/metrics").text
        service.restart()
        assert service.get("/api/v1/status").json()["withdrawn"] == reason
        wait_until(lambda: series_by(service, "model") > 0, 120, "another model serves")
        wait_until(lambda: bool(service.get("/api/v1/training").json()["runs"]), 20, "the end of the training")
        run = service.get("/api/v1/training").json()["runs"][0]
        assert (run["trigger"], run["state"]) == ("quality", "succeeded"), run
        assert "of served forecasts" in run["reason"]
        assert "It beats the serving model baseline" in run["detail"]
        assert service.get("/api/v1/status").json()["model"] == run["model"] != bad
        assert "forewarn_model_withdrawn 0.0" in service.get("/metrics").text
        assert not service.events("tick_failed")
    assert [(line.model, line.withdrawn) for line in registry.promotions()] == [
        (bad, False),
        (bad, True),
        (run["model"], False),
    ]
