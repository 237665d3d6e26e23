"""Whether a model is ready for production: a checklist, each line with its evidence or with what is missing."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.core.levels import LevelName, Sayable
from daemon.core.scoring import rating
from daemon.models.claims import ServingStatus, counted, info_of, sayable
from daemon.models.record import FILE, level_of, measured, tested
from daemon.models.registry import ModelRegistry

EPOCHS_FILE, SAMPLES_FILE = "epochs.jsonl", "samples.parquet"
LEAST_EPOCHS, LEAST_HOURS = 20, 720
_AT_PRODUCTION = "Train at level production: forewarn train --level production."


@dataclass(frozen=True)
class Recorded:
    """What the other files of a model directory hold; None where one is missing or cannot be read.

    Attributes:
        epochs_with_losses: lines of ``epochs.jsonl`` that have a finite loss of training and of validation.
        samples: rows of ``samples.parquet``.
        samples_with_actual: those of them that have the actual value beside the predictions.
    """

    epochs_with_losses: int | None = None
    samples: int | None = None
    samples_with_actual: int | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A line of the checklist.

    Attributes:
        name: what is asked for.
        passed: whether it is there.
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
        """Whether every line passed."""
        return not self.failing

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the lines that did not."""
        return tuple(check.name for check in self.checks if not check.passed)


def readiness(info: Mapping[str, Any], recorded: Recorded) -> Readiness:
    """Return the checklist of a model.

    Args:
        info: its ``training_info.json``; empty where there is no model.
        recorded: what its other files hold.

    Raises:
        BadModel: its level is none of the four.
    """
    checks = (
        _epochs(info),
        _history(info),
        _losses(info, recorded),
        _samples(recorded),
        _quantile_loss(info),
        _convergence(info),
        _held_out_test(info),
        _profiles(info),
        _unknown_servers(info),
        _latency(info),
    )
    return Readiness(level_of(info).name if info else None, checks)


def _check(name: str, passed: bool, evidence: str, keys: str, fix: str) -> Check:
    return Check(
        name=name,
        passed=passed,
        evidence=evidence,
        source=keys if ": " in keys else f"{FILE}: {keys}",
        fix="" if passed else fix,
    )


def _measured_on_test(info: Mapping[str, Any]) -> bool:
    return bool(info) and sayable(level_of(info), tested(info)) is Sayable.HELD_OUT


def _epochs(info: Mapping[str, Any]) -> Check:
    """Ask for 20 epochs: run, or asked for and cut short by early stopping, and say how many of each.

    The 20 are there so that nobody serves what has hardly been trained, and early stopping is part of the level as much
    as they are: it ends a run when three epochs have not bettered the validation loss, and the weights of the best one
    are kept. To count such a run as too short would ask for leaving early stopping out, and not for a better model. A
    run that was asked for fewer than 20 had no such chance, however it ended. What the epochs that were not run would
    have brought nobody has measured, so that the evidence says both numbers.
    """
    run, asked = measured(info, "epochs"), measured(info, "planned_epochs")
    stopped = info.get("early_stopping") is True
    enough = run is not None and (run >= LEAST_EPOCHS or (stopped and asked is not None and asked >= LEAST_EPOCHS))
    of = "an unrecorded number of" if asked is None else f"at most {asked:g}"
    how = "; early stopping ended it, as validation had not improved for 3 epochs" if stopped else ""
    return _check(
        f"{LEAST_EPOCHS} epochs or more",
        enough,
        "not on record" if run is None else f"{run:g} of {of} epochs were run{how}",
        "epochs, planned_epochs, early_stopping",
        f"Train with at least {LEAST_EPOCHS} epochs, as level production does.",
    )


def _history(info: Mapping[str, Any]) -> Check:
    hours = measured(info, "data_hours")
    span = f" ({info['data_from']} to {info['data_to']})" if info.get("data_from") and info.get("data_to") else ""
    return _check(
        f"{LEAST_HOURS // 24} days of history or more",
        hours is not None and hours >= LEAST_HOURS,
        "not on record" if hours is None else f"{hours:g} h{span}",
        "data_hours",
        f"Collect or back-fill {LEAST_HOURS} h of history, and train at level production.",
    )


def _losses(info: Mapping[str, Any], recorded: Recorded) -> Check:
    epochs, found = measured(info, "epochs"), recorded.epochs_with_losses
    evidence = f"cannot be read: {EPOCHS_FILE}"
    if found is not None:
        of = "an unrecorded number of" if epochs is None else f"{epochs:g}"
        evidence = f"{found} of {of} epochs have a loss of training and of validation"
    return _check(
        "losses recorded",
        found is not None and found > 0 and found == epochs,
        evidence,
        f"{EPOCHS_FILE}: train_loss, val_loss",
        "Train anew: the losses of every epoch are recorded.",
    )


def _samples(recorded: Recorded) -> Check:
    beside = recorded.samples_with_actual
    return _check(
        "samples beside actual values",
        beside is not None and beside > 0,
        f"cannot be read: {SAMPLES_FILE}"
        if beside is None
        else f"{beside} of {recorded.samples} sample predictions have the actual value beside them",
        f"{SAMPLES_FILE}: actual",
        "Train anew on a history whose last 8 hours have samples.",
    )


def _quantile_loss(info: Mapping[str, Any]) -> Check:
    loss = measured(info, "quantile_loss")
    evidence = "not computed"
    if loss is not None and loss >= 0:
        computed = f"{loss:.3f} on the held-out test, {rating(loss)}"
        evidence = computed if _measured_on_test(info) else "computed; not to be said without a held-out test"
    return _check(
        "quantile loss computed",
        loss is not None and loss >= 0,
        evidence,
        "quantile_loss",
        "Train on a history whose held-out end has samples.",
    )


def _convergence(info: Mapping[str, Any]) -> Check:
    said, stopped = info.get("convergence"), info.get("early_stopping")
    documented = (said, stopped) in (("achieved", True), ("not achieved", False))
    how = "by early stopping" if stopped else "it was still within its epochs when it ended"
    return _check(
        "convergence documented",
        documented,
        f"{said}: {how}" if documented else f"convergence is {said!r} and early_stopping {stopped!r}",
        "convergence, early_stopping",
        "Train anew: whether it converged is recorded.",
    )


def _held_out_test(info: Mapping[str, Any]) -> Check:
    origins = measured(info, "held_out", "origins")
    done = _measured_on_test(info) and origins is not None and origins > 0
    evidence = "no span was kept apart from both training and the choice of the epoch"
    if done:
        span = info["held_out"]
        evidence = f"{origins:g} origins, {span.get('from', '?')} to {span.get('to', '?')}"
    return _check("held-out test done", done, evidence, "held_out", _AT_PRODUCTION)


def _profiles(info: Mapping[str, Any]) -> Check:
    profiles = info.get("by_profile")
    names = tuple(profiles) if isinstance(profiles, Mapping) else ()
    skill = {name: measured(info, "by_profile", name, "skill") for name in names}
    missing = [name for name, ratio in skill.items() if ratio is None]
    figures = ", ".join(f"{name} {ratio:.3f}" for name, ratio in skill.items() if ratio is not None)
    evidence = f"pinball loss relative to repeating yesterday: {figures}"
    tests = _measured_on_test(info)
    if not tests or not names:
        evidence = "no figures by profile of a held-out test"
    elif missing:
        evidence = f"without a figure: {', '.join(missing)}"
    return _check(
        "profiles validated",
        tests and bool(names) and not missing,
        evidence,
        "by_profile",
        "Train at level production on a history in which servers of every profile vary in the last three days.",
    )


def _unknown_servers(info: Mapping[str, Any]) -> Check:
    servers, windows, skill = (measured(info, "unknown_servers", key) for key in ("servers", "windows", "skill"))
    known = measured(info, "unknown_servers", "known_skill")
    done, evidence = False, "no server was kept out of training and forecast on held-out time"
    if servers and windows and skill is not None and _measured_on_test(info):
        done, beside = True, "" if known is None else f", {known:.3f} on the servers that it knows"
        of = f"{counted(servers, 'server')}, {counted(windows, 'window')}"
        evidence = f"{of}: {skill:.3f} of the loss of repeating yesterday{beside}"
    return _check(
        "unknown servers tested",
        done,
        evidence,
        "unknown_servers",
        "Train at level production, from the base network, on 10 or more servers that share metrics and profiles.",
    )


def _latency(info: Mapping[str, Any]) -> Check:
    latency = measured(info, "inference_latency_ms")
    done = latency is not None and latency > 0
    evidence = f"{latency:.3g} ms for one forecast of all series" if done else "not measured"
    return _check("inference latency measured", done, evidence, "inference_latency_ms", "Train anew: it is measured.")


def readiness_of(registry: ModelRegistry, status: ServingStatus) -> Readiness:
    """Return the checklist of the model; where there is none, no line of it passes.

    Raises:
        BadModel: the record of its training is damaged, or there is none.
    """
    if status.model is None:
        return readiness({}, Recorded())
    folder = registry.path(status.model)
    samples, with_actual = _count_samples(folder / SAMPLES_FILE)
    return readiness(
        info_of(registry, status.model), Recorded(_count_epochs(folder / EPOCHS_FILE), samples, with_actual)
    )


def _count_epochs(path: Path) -> int | None:
    """Return how many epochs have both losses; None where the file is not to be read."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError):
        return None
    return sum(all(_number(line, key) for key in ("train_loss", "val_loss")) for line in lines)


def _number(line: Any, key: str) -> bool:
    value = line.get(key) if isinstance(line, dict) else None
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count_samples(path: Path) -> tuple[int, int] | tuple[None, None]:
    """Return how many sample predictions there are, and how many with the actual value; None where not to be read."""
    import pyarrow as pa  # noqa: PLC0415 - it imports pandas, which commands without samples do not need
    import pyarrow.compute as pc  # noqa: PLC0415 - likewise
    import pyarrow.parquet as pq  # noqa: PLC0415 - likewise

    try:
        with pa.OSFile(str(path)) as file:
            actual = pq.read_table(file, columns=["actual"]).column("actual")
        return len(actual), pc.sum(pc.is_finite(actual)).as_py() or 0
    except (OSError, KeyError, pa.ArrowException):
        return None, None
