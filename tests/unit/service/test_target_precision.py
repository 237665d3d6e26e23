"""A change of ``alerting.target_precision`` acts when the configuration is reloaded."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from daemon.breach.decision import choose_decision_threshold, precision_curves
from daemon.breach.definition import Severity
from daemon.breach.model import base_breach_model
from daemon.config.loading import parse_config
from daemon.config.schema import Config
from daemon.core.errors import BadModel
from daemon.core.forecast import QUANTILES
from daemon.models.registry import ModelRegistry
from daemon.models.serving import ServingModel
from daemon.service.build import model_loaders
from tests.model_directory import register
from tests.panels import daily_panel

KIND = ("load", Severity.CRITICAL)
RANDOM = np.random.default_rng(0)
PROBABILITY = RANDOM.random(5_000) ** 2
CURVES = precision_curves([("a set", PROBABILITY, RANDOM.random(5_000) < PROBABILITY)])


def configured(folder: Path, target: float) -> Config:
    """Return a configuration with this target precision."""
    text = (
        f"sources: [{{name: a, type: simulator}}]\nmetrics: {{cpu: {{}}}}\nalerting: {{target_precision: {target}}}\n"
    )
    text += f"data_dir: {folder}\n"
    return parse_config(text, "x.yaml", folder)


def registered(registry: ModelRegistry) -> Path:
    """Return the folder of a serving model whose thresholds were chosen for a target of 0.8."""
    name = register(registry)
    threshold = choose_decision_threshold(CURVES, 0.8)
    model = replace(
        base_breach_model(),
        thresholds={KIND: threshold},
        curves={KIND: CURVES},
        general_curves=CURVES,
        general=threshold,
    )
    folder = registry.path(name)
    document = {"stretch": [1.0] * len(QUANTILES), "breach": model.document()}
    (folder / "calibration.json").write_text(json.dumps(document), encoding="utf-8")
    registry.promote(name, "a test")
    return folder


def test_a_reload_chooses_the_decision_thresholds_again(tmp_path: Path) -> None:
    """Without a training: those of a choice from the model's curves for the target of the new configuration."""
    config = configured(tmp_path, 0.6)
    registered(ModelRegistry(config.models_dir))
    model, panel = ServingModel(ModelRegistry(config.models_dir), model_loaders(config)), daily_panel(1, 1)
    found = []
    for target in (0.6, 0.9, 0.8):
        model.reload(model_loaders(configured(tmp_path, target)))
        model.refresh(panel)
        assert model.error == ""
        found.append([model.risk_model.decision_threshold(name, Severity.CRITICAL) for name in ("load", "other")])
    assert found == [[choose_decision_threshold(CURVES, target)] * 2 for target in (0.6, 0.9, 0.8)]
    assert found[0][0].probability < found[2][0].probability < found[1][0].probability


def test_a_model_with_a_damaged_curve_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    config = configured(tmp_path, 0.6)
    path = registered(ModelRegistry(config.models_dir)) / "calibration.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["breach"]["general_cut"]["curve"][0]["points"] = []
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BadModel, match=r"calibration\.json"):
        model_loaders(config).risk_model(path.parent.name)
