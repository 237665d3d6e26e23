"""Whether a model is ready for production: a checklist, each check with its evidence or with what is missing."""

import math
from dataclasses import dataclass
from pathlib import Path

from daemon.core.levels import LevelName, Sayable
from daemon.core.scoring import rating
from daemon.core.training_info import EPOCHS_FILE, INFO_FILE, TrainingInfo, read_epochs
from daemon.models.claims import ServingStatus, allowed_figures, counted, info_of
from daemon.models.record import SAMPLES_FILE
from daemon.models.registry import ModelRegistry

LEAST_EPOCHS, LEAST_HOURS = 20, 720
_AT_PRODUCTION = "Train at level production: forewarn train --level production."
_NO_RECORD = "not on record"


@dataclass(frozen=True)
class FileCounts:
    """Counts of the other files of a model directory; None where one is missing or cannot be read.

    Attributes:
        epochs_with_losses: lines of ``epochs.jsonl`` that have a finite loss of training and of validation.
        samples: rows of ``samples.parquet``.
        samples_with_actual: those of them that have the actual value.
    """

    epochs_with_losses: int | None = None
    samples: int | None = None
    samples_with_actual: int | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of the list.

    Attributes:
        name: the requirement.
        passed: whether it is met.
        evidence: the figures, or what is missing.
        source: files and keys of the figures.
        fix: what to do; empty where it passed.
    """

    name: str
    passed: bool
    evidence: str
    source: str
    fix: str


@dataclass(frozen=True)
class Readiness:
    """The checklist of a model; ``level`` is None where there is no model."""

    level: LevelName | None
    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether every check passed."""
        return not self.failing

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the checks that failed."""
        return tuple(check.name for check in self.checks if not check.passed)


def readiness(info: TrainingInfo | None, counts: FileCounts) -> Readiness:
    """Return the checklist of a model.

    Args:
        info: its ``training_info.json``; None where there is no model, and every check fails.
        counts: of its other files.
    """
    checks = (
        _epochs(info),
        _history(info),
        _losses(info, counts),
        _samples(counts),
        _quantile_loss(info),
        _convergence(info),
        _held_out_test(info),
        _profiles(info),
        _held_out_servers(info),
        _latency(info),
    )
    return Readiness(None if info is None else info.level, checks)


def readiness_of(registry: ModelRegistry, status: ServingStatus) -> Readiness:
    """Return the checklist of the model; where there is none, every check fails.

    Raises:
        BadModel: the record of its training is damaged or missing.
    """
    if status.model is None:
        return readiness(None, FileCounts())
    folder = registry.path(status.model)
    samples, with_actual = _count_samples(folder / SAMPLES_FILE)
    return readiness(info_of(registry, status.model), FileCounts(_count_epochs(folder), samples, with_actual))


def _count_epochs(folder: Path) -> int | None:
    """Return the number of epochs with both losses; None where the file cannot be read."""
    try:
        epochs = read_epochs(folder)
    except (OSError, ValueError):
        return None
    return sum(math.isfinite(epoch.train_loss) and math.isfinite(epoch.val_loss) for epoch in epochs)


def _count_samples(path: Path) -> tuple[int, int] | tuple[None, None]:
    """Return the number of sample forecasts, and of those with the actual value; None where they cannot be read."""
    # imported here, as it takes half a second that only this check needs
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pa.OSFile(str(path)) as file:
            actual = pq.read_table(file, columns=["actual"]).column("actual")
        return len(actual), pc.sum(pc.is_finite(actual)).as_py() or 0
    except (OSError, KeyError, pa.ArrowException):
        return None, None


def _check(name: str, passed: bool, evidence: str, keys: str, fix: str) -> Check:
    return Check(
        name=name,
        passed=passed,
        evidence=evidence,
        source=keys if ": " in keys else f"{INFO_FILE}: {keys}",
        fix="" if passed else fix,
    )


def _measured_on_test(info: TrainingInfo) -> bool:
    return allowed_figures(info) is Sayable.HELD_OUT


def _epochs(info: TrainingInfo | None) -> Check:
    """Require 20 epochs, or a plan of 20 that early stopping ended.

    Early stopping is part of the level: it ends a run when three epochs have not improved the validation loss, and the
    best weights are kept. A check that fails such a run would ask for a run without early stopping, not for a better
    model. A plan of fewer than 20 epochs fails however it ended.
    """
    passed, evidence = False, _NO_RECORD
    if info is not None:
        stopped, plan = info.early_stopping, info.planned_epochs
        passed = info.epochs >= LEAST_EPOCHS or (stopped and plan is not None and plan >= LEAST_EPOCHS)
        of = "an unrecorded number of" if plan is None else f"at most {plan}"
        how = "; early stopping ended it after 3 epochs without improvement in validation" if stopped else ""
        evidence = f"{info.epochs} of {of} epochs were run{how}"
    return _check(
        f"{LEAST_EPOCHS} epochs or more",
        passed,
        evidence,
        "epochs, planned_epochs, early_stopping",
        f"Train with at least {LEAST_EPOCHS} epochs, as level production does.",
    )


def _history(info: TrainingInfo | None) -> Check:
    return _check(
        f"{LEAST_HOURS // 24} days of history or more",
        info is not None and info.data_hours >= LEAST_HOURS,
        _NO_RECORD if info is None else f"{info.data_hours:g} h ({info.data_from} to {info.data_to})",
        "data_hours",
        f"Collect or back-fill {LEAST_HOURS} h of history, and train at level production.",
    )


def _losses(info: TrainingInfo | None, counts: FileCounts) -> Check:
    found = counts.epochs_with_losses
    evidence = f"cannot be read: {EPOCHS_FILE}"
    if info is not None and found is not None:
        evidence = f"{found} of {info.epochs} epochs have a training loss and a validation loss"
    return _check(
        "losses recorded",
        info is not None and found is not None and found == info.epochs > 0,
        evidence,
        f"{EPOCHS_FILE}: train_loss, val_loss",
        "Train again: the losses of every epoch are recorded.",
    )


def _samples(counts: FileCounts) -> Check:
    with_actual = counts.samples_with_actual
    evidence = f"cannot be read: {SAMPLES_FILE}"
    if with_actual is not None:
        evidence = f"{with_actual} of {counts.samples} sample predictions have an actual value"
    return _check(
        "samples beside actual values",
        with_actual is not None and with_actual > 0,
        evidence,
        f"{SAMPLES_FILE}: actual",
        "Train again on a history whose last 8 hours have samples.",
    )


def _quantile_loss(info: TrainingInfo | None) -> Check:
    loss = None if info is None else info.quantile_loss
    passed, evidence = loss is not None and loss >= 0, "not computed"
    if info is not None and loss is not None and loss >= 0:
        computed = f"{loss:.3f} on the held-out test, {rating(loss)}"
        evidence = computed if _measured_on_test(info) else "computed; not shown without a held-out test"
    return _check(
        "quantile loss computed",
        passed,
        evidence,
        "quantile_loss",
        "Train on a history whose held-out end has samples.",
    )


def _convergence(info: TrainingInfo | None) -> Check:
    passed, evidence = False, _NO_RECORD
    if info is not None:
        passed = info.converged == info.early_stopping
        how = "by early stopping" if info.early_stopping else "it reached its last epoch before early stopping ended it"
        evidence = f"{info.convergence}: {how}"
        if not passed:
            evidence = f"convergence is {info.convergence!r} and early_stopping {info.early_stopping}"
    return _check(
        "convergence documented",
        passed,
        evidence,
        "convergence, early_stopping",
        "Train again: convergence is recorded.",
    )


def _held_out_test(info: TrainingInfo | None) -> Check:
    passed, evidence = False, "no span was held out of both training and the choice of the epoch"
    if info is not None and info.held_out is not None and info.held_out.origins and _measured_on_test(info):
        span = info.held_out
        passed, evidence = True, f"{span.origins} origins, {span.from_ or '?'} to {span.to or '?'}"
    return _check("held-out test done", passed, evidence, "held_out", _AT_PRODUCTION)


def _profiles(info: TrainingInfo | None) -> Check:
    profiles = {} if info is None else info.by_profile or {}
    missing = [name for name, figures in profiles.items() if figures.skill is None]
    listed = ", ".join(f"{name} {found.skill:.3f}" for name, found in profiles.items() if found.skill is not None)
    evidence = f"pinball loss relative to repeating yesterday: {listed}"
    tested = info is not None and _measured_on_test(info)
    if not tested or not profiles:
        evidence = "no figures by profile of a held-out test"
    elif missing:
        evidence = f"without a figure: {', '.join(missing)}"
    return _check(
        "profiles validated",
        tested and bool(profiles) and not missing,
        evidence,
        "by_profile",
        "Train at level production on a history in which servers of every profile vary in the last three days.",
    )


def _held_out_servers(info: TrainingInfo | None) -> Check:
    passed, evidence = False, "no server was held out of training and forecast on held-out time"
    found = None if info is None else info.unknown_servers
    if info is not None and found is not None and found.skill is not None and _measured_on_test(info):
        passed = found.servers > 0 and found.windows > 0
    if passed and found is not None:
        others = "" if found.known_skill is None else f", {found.known_skill:.3f} on the other servers"
        of = f"{counted(found.servers, 'server')}, {counted(found.windows, 'window')}"
        evidence = f"{of}: {found.skill:.3f} of the loss of repeating yesterday{others}"
    return _check(
        "unknown servers tested",
        passed,
        evidence,
        "unknown_servers",
        "Train at level production, from the base network, on 10 or more servers that share metrics and profiles.",
    )


def _latency(info: TrainingInfo | None) -> Check:
    latency = 0.0 if info is None else info.inference_latency_ms
    evidence = f"{latency:.3g} ms for one forecast of all series" if latency > 0 else "not measured"
    fix = "Train again: it is measured."
    return _check("inference latency measured", latency > 0, evidence, "inference_latency_ms", fix)
