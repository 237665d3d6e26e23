"""A complete model directory, without a training."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.core.forecast import QUANTILES
from daemon.core.training_info import write_epochs
from daemon.models.registry import ModelRegistry
from daemon.network.artifact import write_network
from daemon.network.model import Architecture, TemporalFusionTransformer
from tests.training_records import EPOCHS, INFO, METRICS, samples


def write_model(
    folder: Path,
    network: TemporalFusionTransformer | None = None,
    metrics: tuple[str, ...] = METRICS,
    **changes: Any,
) -> None:
    """Write every file of a model into ``folder``.

    Args:
        folder: an empty folder.
        network: what computes its forecasts; by default an untrained one.
        metrics: the metrics that it was trained on.
        **changes: keys of its ``training_info.json`` that differ from ``INFO``.
    """
    write_network(folder, network or TemporalFusionTransformer(Architecture()), metrics, ZoneInfo("UTC"))
    (folder / "calibration.json").write_text(json.dumps({"stretch": [1.0] * len(QUANTILES)}), encoding="utf-8")
    (folder / "training_info.json").write_text(json.dumps({**INFO, **changes}), encoding="utf-8")
    write_epochs(folder, EPOCHS)
    samples().to_parquet(folder / "samples.parquet", index=False)
    (folder / "report.html").write_text("<!doctype html>\n", encoding="utf-8")


def register(registry: ModelRegistry, *arguments: Any, **changes: Any) -> str:
    """Write a model as ``write_model`` does into a directory of its own, and return its id."""
    with registry.new() as (name, folder):
        write_model(folder, *arguments, **changes)
    return name
