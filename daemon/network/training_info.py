"""What `training_info.json` records of a training run."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import lightning

from daemon.core.levels import Level
from daemon.core.scoring import rating
from daemon.core.series import STEPS_PER_HOUR, Panel, as_text
from daemon.forecasting.evaluation import Evaluation
from daemon.network.artifact import versions
from daemon.network.calibration import Calibration
from daemon.network.fitting import Fit

_OVERFITTING_RATIO = 1.5
_REMEDIES = ("more dropout", "a smaller model", "more data", "more regularisation")


def fingerprint(panel: Panel) -> str:
    """Return the SHA-256 of a panel's series, times and values."""
    digest = hashlib.sha256(repr((panel.keys, panel.start)).encode())
    digest.update(panel.values.tobytes())
    return digest.hexdigest()


def training_info(
    panel: Panel,
    level: Level,
    fitted: Fit,
    *,
    measured: Evaluation,
    foretold: Mapping[str, Any],
    calibration: Calibration,
    held_out: tuple[int, int],
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the record; a figure that could not be measured is None.

    Args:
        panel: what was trained and measured on.
        level: the training level.
        fitted: the epochs.
        measured: figures on the held-out span.
        foretold: how well breaches were foretold there.
        calibration: what calibration did.
        held_out: epoch seconds of the first origin and the last target of the held-out span.
        run: seed, seconds, parameters, latency, epochs at most, where training started from, and what that had seen.
    """
    best = next((record for record in fitted.records if record.epoch == fitted.best_epoch), fitted.records[-1])
    ratio = best.val_loss / best.train_loss if best.train_loss > 0 else math.nan
    loss = measured.quantile_loss
    info: dict[str, Any] = {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "level": level.name.value,
        "epochs": len(fitted.records),
        "planned_epochs": run["planned_epochs"],
        "data_hours": min(level.data_hours, panel.steps / STEPS_PER_HOUR),
        "num_servers": len({key.server for key in panel.keys}),
        "servers": sorted({key.server for key in panel.keys}),
        "final_train_loss": fitted.records[-1].train_loss,
        "final_val_loss": fitted.best_loss,
        "quantile_loss": loss,
        "quantile_loss_rating": rating(loss) if math.isfinite(loss) else None,
        "training_time_hours": run["seconds"] / 3600,
        "model_parameters": run["parameters"],
        "convergence": "achieved" if fitted.early_stopping else "not achieved",
        "early_stopping": fitted.early_stopping,
        "overfitting": {
            "warned": ratio > _OVERFITTING_RATIO,
            "ratio": ratio,
            "remedies": _REMEDIES if ratio > _OVERFITTING_RATIO else (),
        },
        "data_fingerprint": fingerprint(panel),
        "data_from": as_text(panel.start),
        "data_to": as_text(panel.end),
        "best_epoch": fitted.best_epoch,
        "started_from": run["started_from"],
        "seen_before": run["seen"],
        "device": fitted.device,
        "gpu_memory_peak_mb": max(record.gpu_memory_mb for record in fitted.records),
        "inference_latency_ms": run["latency_ms"],
        "held_out": {
            "span": "test" if level.test_hours else "validation",
            "from": as_text(held_out[0]),
            "to": as_text(held_out[1]),
            "origins": measured.origins,
        },
        "coverage": measured.coverage,
        "coverage_by_metric": measured.coverage_by_metric,
        "reliability": measured.reliability,
        "skill_vs_seasonal_naive": measured.skill,
        "skill_by_horizon": measured.skill_by_horizon,
        "by_profile": measured.by_profile,
        "unknown_servers": measured.unknown_servers,
        **foretold,
        "calibration_effect": {name: value for name, value in asdict(calibration).items() if name != "stretch"},
        "verdict": None,
        "versions": {**versions(), "lightning": lightning.__version__},
        "seed": run["seed"],
    }
    known: dict[str, Any] = _without_nan(info)
    return known


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
