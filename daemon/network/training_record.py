"""The record of a training, built from its fit, calibration and measurements; ``core/training_info.py`` defines it."""

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime

import lightning

from daemon.breach.training import BreachMeasurement
from daemon.core.levels import Level
from daemon.core.scoring import rating
from daemon.core.series import STEPS_PER_HOUR, Panel, as_text
from daemon.core.training_info import (
    CalibrationEffect,
    HeldOut,
    Overfitting,
    TrainingInfo,
)
from daemon.forecasting.evaluation import Evaluation
from daemon.network.artifact import versions
from daemon.network.calibration import Calibration
from daemon.network.fitting import Fit

_OVERFITTING_RATIO = 1.5
_REMEDIES = ("more dropout", "a smaller model", "more data", "more regularisation")


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """Settings and costs of a training.

    Attributes:
        seed: seed of all random numbers.
        seconds: duration of the training.
        parameters: number of parameters of the network.
        latency_ms: time of one forecast of all series.
        started_from: ``base``, ``scratch`` or the id of a model.
        planned_epochs: maximum number of epochs.
        seen: servers that the initial weights were trained on.
    """

    seed: int
    seconds: float
    parameters: int
    latency_ms: float
    started_from: str
    planned_epochs: int
    seen: tuple[str, ...]


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
    breaches: BreachMeasurement,
    calibration: Calibration,
    held_out: tuple[int, int],
    facts: TrainingFacts,
) -> TrainingInfo:
    """Return the record; a figure that could not be measured is None.

    Args:
        panel: the history for training and measurement.
        level: the training level.
        fitted: the result of the fit, of at least one epoch.
        measured: figures on the held-out span.
        breaches: how well breaches were predicted there.
        calibration: what calibration changed.
        held_out: epoch seconds of the first origin and the last target of the held-out span.
        facts: settings and costs of the training.
    """
    best = next((record for record in fitted.records if record.epoch == fitted.best_epoch), fitted.records[-1])
    ratio = best.val_loss / best.train_loss if best.train_loss > 0 else math.nan
    overfits = ratio > _OVERFITTING_RATIO
    loss = measured.quantile_loss
    servers = sorted({key.server for key in panel.keys})
    return TrainingInfo(
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        level=level.name,
        epochs=len(fitted.records),
        planned_epochs=facts.planned_epochs,
        data_hours=min(level.data_hours, panel.steps / STEPS_PER_HOUR),
        num_servers=len(servers),
        servers=tuple(servers),
        final_train_loss=fitted.records[-1].train_loss,
        final_val_loss=fitted.best_loss,
        quantile_loss=loss,
        quantile_loss_rating=rating(loss) if math.isfinite(loss) else None,
        training_time_hours=facts.seconds / 3600,
        model_parameters=facts.parameters,
        convergence="achieved" if fitted.early_stopping else "not achieved",
        early_stopping=fitted.early_stopping,
        overfitting=Overfitting(warned=overfits, ratio=ratio, remedies=_REMEDIES if overfits else ()),
        data_fingerprint=fingerprint(panel),
        data_from=as_text(panel.start),
        data_to=as_text(panel.end),
        best_epoch=fitted.best_epoch,
        started_from=facts.started_from,
        seen_before=facts.seen,
        device=fitted.device,
        gpu_memory_peak_mb=max(record.gpu_memory_mb for record in fitted.records),
        inference_latency_ms=facts.latency_ms,
        held_out=HeldOut(
            span="test" if level.test_hours else "validation",
            from_=as_text(held_out[0]),
            to=as_text(held_out[1]),
            origins=measured.origins,
        ),
        coverage=measured.coverage,
        coverage_by_metric=measured.coverage_by_metric,
        reliability=measured.reliability,
        skill_vs_seasonal_naive=measured.skill,
        skill_by_horizon=measured.skill_by_horizon,
        by_profile=measured.by_profile,
        unknown_servers=measured.unknown_servers,
        incident_figures=breaches.incident_figures,
        breach_reliability=breaches.breach_reliability,
        calibration_effect=CalibrationEffect(
            applied=calibration.applied,
            loss_before=calibration.loss_before,
            loss_after=calibration.loss_after,
            coverage_before=calibration.coverage_before,
            coverage_after=calibration.coverage_after,
            reason=calibration.reason,
        ),
        versions={**versions(), "lightning": lightning.__version__},
        seed=facts.seed,
    )
