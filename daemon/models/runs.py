"""When a model is trained anew, and what became of it."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import structlog

from daemon.core.errors import BadModel, ForewarnError
from daemon.core.file_access import reason_of
from daemon.core.levels import LevelName
from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, as_text
from daemon.models.registry import ModelRegistry
from daemon.system.files import atomic_path

_DAY_SECONDS = STEPS_PER_DAY * STEP_SECONDS
MOST_ATTEMPTS = 3


class Trigger(StrEnum):
    """Why a model is trained."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    FIRST = "first"
    NEW_SERVERS = "new_servers"
    QUALITY = "quality"
    DRIFT = "drift"


class RunState(StrEnum):
    """What became of a training run; ``rejected`` made a model that the gate did not let serve."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One training run.

    Attributes:
        id: names it, and its folder.
        level: the training level.
        trigger: why it was started.
        started: epoch seconds of the service's clock.
        seed: of all randomness; another one for each run.
        reason: what triggered it, in words; empty for a schedule and by hand.
        attempt: 1, and one more each time that a restart of the service cut it off and it was resumed.
        state: what became of it.
        detail: that in words; empty while it runs.
        model: id of the model that it made; empty where it made none.
        ended: epoch seconds of the service's clock; None while it runs.
        seconds: wall time that the last attempt took; 0 while it runs.
    """

    id: str
    level: LevelName
    trigger: Trigger
    started: float
    seed: int
    reason: str = ""
    attempt: int = 1
    state: RunState = RunState.RUNNING
    detail: str = ""
    model: str = ""
    ended: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class TrainingRequest:
    """Something asks for a training.

    Attributes:
        trigger: what.
        why: in words, with the figures.
    """

    trigger: Trigger
    why: str


@dataclass(frozen=True)
class TriggerCheck:
    """What a look for reasons to train gave.

    Attributes:
        request: the first reason; None if there is none.
        drift: share of the series that behave otherwise than when the model was trained; None where not measurable.
    """

    request: TrainingRequest | None = None
    drift: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        state: not ``running``.
        detail: in words.
        model: id of the model that was made; empty if none was.
        seconds: wall time.
    """

    state: RunState
    detail: str
    model: str = ""
    seconds: float = 0.0


def over_budget(runs: Sequence[TrainingRun], at: float, most_per_day: int) -> str:
    """Return why no run may start at ``at``, in words; empty if one may."""
    recent = [run for run in runs if run.started > at - _DAY_SECONDS]
    if len(recent) < most_per_day:
        return ""
    return (
        f"{len(recent)} runs were started since {as_text(int(at - _DAY_SECONDS))}, "
        f"and training.max_runs_per_day is {most_per_day}"
    )


class Trainer(Protocol):
    """Somebody who trains, one run at a time, beside the service."""

    def start(self, run: TrainingRun, folder: Path, threads: int, deadline_seconds: float, memory_mb: int) -> None:
        """Begin ``run``; what it finds in ``folder`` from an earlier attempt it goes on with.

        Args:
            run: what to train.
            folder: its own; it exists.
            threads: at most so many.
            deadline_seconds: wall time after which it is ended.
            memory_mb: memory, in MiB, at which it is.
        """
        ...

    def told(self) -> tuple[dict[str, Any], ...]:
        """Return what the run has said so far: ``record`` of each epoch; last ``epoch`` and ``epoch_share``."""
        ...

    def outcome(self) -> Outcome | None:
        """Return how the run ended, ``running`` if ``close`` cut it off; None while it is under way."""
        ...

    def cancel(self) -> None:
        """Ask the run to end; ``outcome`` says so once it has."""
        ...

    def close(self) -> None:
        """End the run under way, so that it can be resumed."""
        ...


_MOST_READ = 1000

_log = structlog.get_logger()


class TrainingJournal:
    """The folder ``training/``: ``current.json``, ``runs.jsonl``, and a folder for the run under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current, self._runs = folder / "current.json", folder / "runs.jsonl"

    def folder(self, run: TrainingRun) -> Path:
        """Return the run's own folder."""
        return self._folder / run.id

    def begin(self, run: TrainingRun) -> None:
        """Note that ``run`` is under way."""
        self.folder(run).mkdir(parents=True, exist_ok=True)
        with atomic_path(self._current) as temporary:
            temporary.write_text(json.dumps(asdict(run)), encoding="utf-8")

    def end(self, run: TrainingRun) -> None:
        """Note how ``run`` ended, and take its folder away."""
        with self._runs.open("a", encoding="utf-8") as file:
            torn = file.tell() > 0 and not self._runs.read_bytes().endswith(b"\n")
            file.write("\n" * torn + json.dumps(asdict(run)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._current.unlink(missing_ok=True)
        shutil.rmtree(self.folder(run), ignore_errors=True)

    def current(self) -> TrainingRun | None:
        """Return the run that was under way when the service ended; None if there was none, or it is not readable."""
        try:
            return _run(json.loads(self._current.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.error("training_record_damaged", file=str(self._current), reason=reason_of(error))
            return None

    def history(self) -> tuple[TrainingRun, ...]:
        """Return the last runs that ended, oldest first; a damaged line is left out and logged."""
        try:
            lines = self._runs.read_text(encoding="utf-8").splitlines()[-_MOST_READ:]
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            _log.error("training_record_damaged", file=str(self._runs), reason=reason_of(error))
            return ()
        runs = []
        for line in filter(None, lines):
            try:
                runs.append(_run(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                _log.error("training_record_damaged", file=str(self._runs), reason=str(error))
        return tuple(runs)


def _run(document: dict[str, Any]) -> TrainingRun:
    kinds = {"level": LevelName(document["level"]), "trigger": Trigger(document["trigger"])}
    return TrainingRun(**document | kinds | {"state": RunState(document["state"])})


class TrainingRefused(ForewarnError):
    """A training was asked for that cannot begin, or to be ended where there is none."""


@dataclass(frozen=True, kw_only=True)
class TrainingRules:
    """What the configuration says of retraining.

    Attributes:
        level: of scheduled runs, and of others that name none.
        seed: of the first run; each later one has another.
        next_time: of the schedule, the first time after one in epoch seconds; None where nothing is scheduled.
        max_runs_per_day: more are refused.
        keep_models: the oldest but so many are deleted.
        pause_seconds: so long after a run began nothing but people and the schedule begins another.
        threads: of a run.
        deadline_seconds: wall time after which a run is ended.
        memory_mb: memory at which it is.
    """

    level: LevelName
    seed: int
    next_time: Callable[[float], float | None] | None
    max_runs_per_day: int
    keep_models: int
    pause_seconds: float
    threads: int
    deadline_seconds: float
    memory_mb: int


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What is known of training.

    Attributes:
        current: the run under way; None if there is none.
        told: what it has said: the records of its epochs, and how far the present one is.
        runs: those that ended, oldest first.
        next_time: when the next one is scheduled, epoch seconds of the service's clock; None if never.
        refused: why what was due last did not begin; empty if it did.
        trigger_check: what the newest look for other reasons to train gave.
    """

    current: TrainingRun | None
    told: tuple[dict[str, Any], ...]
    runs: tuple[TrainingRun, ...]
    next_time: float | None
    refused: str
    trigger_check: TriggerCheck


class Retraining:
    """Keeps at most one training under way, and knows over restarts what became of each."""

    def __init__(
        self,
        trainer: Trainer,
        journal: TrainingJournal,
        registry: ModelRegistry,
        rules: TrainingRules,
        now: Callable[[], float],
    ) -> None:
        """Start with what the journal knows; a run that was cut off is resumed at the first tick."""
        self._trainer, self._journal, self._registry, self._rules, self._now = trainer, journal, registry, rules, now
        self._lock = threading.Lock()
        self._runs = journal.history()
        self._cut_off = journal.current()
        self._current: TrainingRun | None = None
        self._considered = max((run.started for run in self._runs), default=now())
        self._refused = ""
        self._trigger_check = TriggerCheck()

    def reconfigure(self, rules: TrainingRules) -> None:
        """Go on by other rules; a run under way ends by those that it began by."""
        self._rules = rules

    def run(self, at: int, trigger_check: TriggerCheck) -> None:
        """Note what ended, resume what was cut off, begin what is due at grid time ``at``, or what was looked for."""
        with self._lock:
            self._trigger_check = trigger_check
            self._collect()
            if self._current is not None:
                return
            if self._cut_off is not None:
                run, self._cut_off = self._cut_off, None
                self._resume(run)
                return
            due = self._rules.next_time and self._rules.next_time(self._considered)
            self._considered = max(self._considered, float(at))
            if due and due <= at:
                self._begin(self._rules.level, Trigger.SCHEDULE)
            elif trigger_check.request is not None and not self._paused(at):
                self._begin(self._rules.level, trigger_check.request.trigger, trigger_check.request.why)

    def request(self, level: LevelName | None) -> TrainingRun:
        """Begin a run by hand.

        Raises:
            TrainingRefused: one is under way, or the budget is used up.
        """
        with self._lock:
            self._collect()
            if self._current is not None or self._cut_off is not None:
                raise TrainingRefused("a training is under way; wait for it or cancel it")
            run = self._begin(level or self._rules.level, Trigger.MANUAL)
            if run is None:
                raise TrainingRefused(self._refused)
            return run

    def cancel(self) -> None:
        """End the run under way.

        Raises:
            TrainingRefused: there is none.
        """
        with self._lock:
            if self._current is None:
                raise TrainingRefused("no training is under way")
            self._trainer.cancel()

    def state(self) -> TrainingState:
        """Return what is known."""
        with self._lock:
            self._collect()
            next_time = self._rules.next_time and self._rules.next_time(self._considered)
            told = self._trainer.told() if self._current is not None else ()
            return TrainingState(
                current=self._current,
                told=told,
                runs=self._runs,
                next_time=next_time,
                refused=self._refused,
                trigger_check=self._trigger_check,
            )

    def close(self) -> None:
        """End the run under way; it is resumed at the next start."""
        self._trainer.close()

    def _paused(self, at: int) -> bool:
        return any(at - self._rules.pause_seconds < run.started <= at for run in self._runs)

    def _begin(self, level: LevelName, trigger: Trigger, reason: str = "") -> TrainingRun | None:
        now = self._now()
        self._refused = over_budget(self._runs, now, self._rules.max_runs_per_day)
        if self._refused:
            _log.warning("training_refused", trigger=trigger.value, reason=self._refused)
            return None
        name = as_text(int(now)).replace(":", "").replace("-", "")
        run = TrainingRun(
            id=name, level=level, trigger=trigger, started=now, seed=self._rules.seed + len(self._runs), reason=reason
        )
        return run if self._start(run) else None

    def _resume(self, run: TrainingRun) -> None:
        if run.attempt >= MOST_ATTEMPTS:
            self._note(run, Outcome(RunState.FAILED, f"the service ended {run.attempt} times while it ran"))
            return
        self._start(replace(run, attempt=run.attempt + 1))

    def _start(self, run: TrainingRun) -> bool:
        rules = self._rules
        try:
            self._journal.begin(run)
        except OSError as error:
            self._refused = f"the training cannot be recorded: {reason_of(error)}"
            _log.error("training_refused", run=run.id, trigger=run.trigger.value, reason=self._refused)
            return False
        self._current = run
        self._trainer.start(run, self._journal.folder(run), rules.threads, rules.deadline_seconds, rules.memory_mb)
        begun = {"run": run.id, "level": run.level.value, "trigger": run.trigger.value, "attempt": run.attempt}
        _log.info("training_started", **begun, reason=run.reason)
        return True

    def _collect(self) -> None:
        if self._current is None:
            return
        outcome = self._trainer.outcome()
        if outcome is not None and outcome.state is not RunState.RUNNING:
            self._note(self._current, outcome)

    def _note(self, under_way: TrainingRun, outcome: Outcome) -> None:
        run = replace(
            under_way,
            state=outcome.state,
            detail=outcome.detail,
            model=outcome.model,
            ended=self._now(),
            seconds=outcome.seconds,
        )
        try:
            self._journal.end(run)
        except OSError as error:
            _log.error("training_not_recorded", run=run.id, reason=reason_of(error))
        self._runs, self._current = (*self._runs, run), None
        good = outcome.state in (RunState.SUCCEEDED, RunState.REJECTED, RunState.CANCELLED)
        log = _log.info if good else _log.error
        log("training_ended", run=run.id, state=run.state.value, model=run.model, reason=run.detail)
        if run.model:
            self._make_room()

    def _make_room(self) -> None:
        try:
            gone = self._registry.prune(self._rules.keep_models)
        except (BadModel, OSError) as error:
            _log.error("models_not_deleted", reason=str(error))
            return
        if gone:
            _log.info("models_deleted", models=gone, reason="there are more than training.keep_models")
