"""Retraining at a tick: what ended is noted, what is due begins; nothing here waits."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from daemon.domain.errors import BadModel, ForewarnError
from daemon.domain.grid import as_text
from daemon.domain.levels import LevelName
from daemon.domain.ports import Trainer
from daemon.domain.retraining import MOST_ATTEMPTS, Looked, Outcome, RunState, TrainingRun, Trigger, over_budget
from daemon.registry.models import ModelRegistry
from daemon.registry.training_journal import TrainingJournal

_log = structlog.get_logger()


class TrainingRefused(ForewarnError):
    """A training was asked for that cannot begin, or to be ended where there is none."""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class TrainingState:
    """What is known of training.

    Attributes:
        current: the run under way; None if there is none.
        told: what it has said: the records of its epochs, and how far the present one is.
        runs: those that ended, oldest first.
        next_time: when the next one is scheduled, epoch seconds of the service's clock; None if never.
        refused: why what was due last did not begin; empty if it did.
        looked: what the newest look for other reasons to train gave.
    """

    current: TrainingRun | None
    told: tuple[dict[str, Any], ...]
    runs: tuple[TrainingRun, ...]
    next_time: float | None
    refused: str
    looked: Looked


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
        self._looked = Looked()

    def follow(self, rules: TrainingRules) -> None:
        """Go on by other rules; a run under way ends by those that it began by."""
        self._rules = rules

    def run(self, at: int, looked: Looked) -> None:
        """Note what ended, resume what was cut off, begin what is due at grid time ``at``, or what was looked for."""
        with self._lock:
            self._looked = looked
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
            elif looked.wish is not None and not self._paused(at):
                self._begin(self._rules.level, looked.wish.trigger, looked.wish.why)

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
            return TrainingState(self._current, told, self._runs, next_time, self._refused, self._looked)

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
        run = TrainingRun(name, level, trigger, now, self._rules.seed + len(self._runs), reason)
        self._start(run)
        return run

    def _resume(self, run: TrainingRun) -> None:
        if run.attempt >= MOST_ATTEMPTS:
            self._note(run, Outcome(RunState.FAILED, f"the service ended {run.attempt} times while it ran"))
            return
        self._start(replace(run, attempt=run.attempt + 1))

    def _start(self, run: TrainingRun) -> None:
        rules = self._rules
        self._journal.begin(run)
        self._current = run
        self._trainer.start(run, self._journal.folder(run), rules.threads, rules.deadline_seconds, rules.memory_mb)
        begun = {"run": run.id, "level": run.level.value, "trigger": run.trigger.value, "attempt": run.attempt}
        _log.info("training_started", **begun, reason=run.reason)

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
        self._journal.end(run)
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
