"""The records of a training, as files and as typed records."""

import json
from typing import Any

import numpy as np
import pandas as pd

from daemon.core.forecast import QUANTILE_COLUMNS
from daemon.core.scoring import BUCKETS
from daemon.core.training_info import EpochRecord, TrainingInfo
from daemon.models.record import ModelRecord

METRICS = ("cpu", "disk", "mem")
INFO: dict[str, Any] = {
    "trained_at": "2026-02-01T03:04:05+00:00",
    "level": "production",
    "epochs": 6,
    "planned_epochs": 20,
    "data_hours": 720.0,
    "num_servers": 3,
    "final_train_loss": 0.101,
    "final_val_loss": 0.121,
    "quantile_loss": 0.155,
    "training_time_hours": 0.05,
    "model_parameters": 69_682,
    "convergence": "achieved",
    "early_stopping": True,
    "data_fingerprint": "0" * 64,
    "data_from": "2026-01-02T00:05:00Z",
    "data_to": "2026-02-01T00:00:00Z",
    "best_epoch": 2,
    "device": "cpu",
    "versions": {"torch": "2.9.0", "lightning": "2.5.0"},
    "gpu_memory_peak_mb": 0.0,
    "inference_latency_ms": 35.2,
    "coverage": {"50": 0.512, "80": 0.803, "96": 0.955},
    "skill_vs_seasonal_naive": {"cpu": 0.61, "disk": 0.83, "mem": 0.72},
    "seed": 7,
    "held_out": {"span": "test", "from": "2026-01-29T00:00:00Z", "to": "2026-02-01T00:00:00Z", "origins": 17},
    "skill_by_horizon": {
        metric: {bucket: 0.4 + 0.1 * step for step, bucket in enumerate(BUCKETS)} for metric in METRICS
    },
    "reliability": {"0.02": 0.03, "0.1": 0.12, "0.25": 0.27, "0.5": 0.53, "0.75": 0.74, "0.9": 0.88, "0.98": 0.97},
    "coverage_by_metric": {metric: {"50": 0.51, "80": 0.79, "96": 0.95} for metric in METRICS},
    "by_profile": {"database": {"series": 3, "skill": 0.66, "coverage": {"50": 0.52, "80": 0.81, "96": 0.96}}},
    "unknown_servers": {
        "servers": 1,
        "names": ["server-02"],
        "windows": 51,
        "quantile_loss": 0.171,
        "skill": 0.701,
        "known_quantile_loss": 0.147,
        "known_skill": 0.655,
    },
    "calibration_effect": {
        "applied": True,
        "loss_before": 0.1601,
        "loss_after": 0.155,
        "coverage_before": {"80": 0.76},
        "coverage_after": {"80": 0.803},
        "reason": "the loss fell",
    },
    "incident_figures": {
        "cpu": {
            "windows": 340,
            "breaches": 21,
            "balanced_accuracy": 0.874,
            "precision": 0.7,
            "recall": 0.8,
            "cut": 0.62,
            "cut_reaches_target": False,
            "cut_chosen_on": "its own threshold",
            "brier": 0.031,
        }
    },
    "breach_reliability": {
        "windows": 340,
        "breaches": 21,
        "brier": 0.031,
        "brier_of_the_base_rate": 0.058,
        "average_precision": 0.61,
        "bins": [
            {"from": 0.0, "to": 0.02, "windows": 300, "claimed": 0.004, "happened": 0.0033},
            {"from": 0.65, "to": 0.8, "windows": 40, "claimed": 0.71, "happened": 0.5},
        ],
    },
    "overfitting": {"warned": False, "ratio": 1.2, "remedies": []},
    "quantile_loss_rating": "good",
    "verdict": {
        "promoted": True,
        "reasons": [
            "It beats seasonal naive: 0.710 of its pinball loss on the held-out span.",
            "There is no serving model to compare with.",
            "The coverage of its 80 % interval is sound: 80.3%; 65% to 95% is required.",
        ],
        "candidate_loss": 0.71,
        "serving_model": None,
        "serving_loss": None,
        "naive_loss": 1.0,
        "coverage_80": 0.803,
    },
}
EPOCHS = tuple(
    EpochRecord(
        epoch=epoch,
        train_loss=0.2 / (epoch + 1),
        val_loss=0.12 + 0.01 * (epoch - 2) ** 2,
        learning_rate=1e-2 / (epoch + 1),
        time_seconds=12.0 + epoch,
        gpu_memory_mb=0.0,
        samples_per_second=2500.0,
    )
    for epoch in range(6)
)


def training_info(**changes: Any) -> TrainingInfo:
    """Return the record of ``INFO`` with ``changes`` of its keys, as read from a file."""
    return TrainingInfo.parse(json.dumps({**INFO, **changes}))


def model_record(model: str = "m", last_epoch: EpochRecord = EPOCHS[-1], **changes: Any) -> ModelRecord:
    """Return the record of a model, with ``changes`` of the keys of its ``training_info.json``."""
    return ModelRecord(model, training_info(**changes), last_epoch)


def samples(servers: int = 3, metrics: tuple[str, ...] = METRICS) -> pd.DataFrame:
    """Return sample forecasts of every metric of every server; the last metric is constant."""
    random = np.random.default_rng(0)
    frames = []
    for server in range(servers):
        for metric in metrics:
            still = metric == metrics[-1]
            frame = {
                "origin": pd.Timestamp("2026-01-31T16:00:00Z"),
                "server": f"server-{server:02}",
                "metric": metric,
                "step": np.arange(1, 97, dtype=np.int16),
                "actual": np.full(96, 5.0) if still else random.normal(5, 1, 96),
            }
            quantiles = np.sort(random.normal(5, 1, (96, 7)), axis=1).astype(np.float32)
            frames.append(
                pd.DataFrame({**frame, **{name: quantiles[:, row] for row, name in enumerate(QUANTILE_COLUMNS)}})
            )
    return pd.concat(frames, ignore_index=True)
