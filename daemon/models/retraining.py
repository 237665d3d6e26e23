"""Retraining: decides when a training run starts beside the service, and records how it ends."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from daemon.config.training import TrainingConfig
from daemon.core.errors import BadModel, ForewarnError
from daemon.core.file_access import reason_of
from daemon.core.levels import LevelName
from daemon.core.series import DAY_SECONDS, as_text
from daemon.models.registry import ModelRegistry
from daemon.models.runs import (
    RunOutcome,
    RunProgress,
    RunState,
    Trainer,
    TrainingJournal,
    TrainingRun,
    Trigger,
    TriggerCheck,
)

MOST_ATTEMPTS = 3

NextTime = Callable[[float], float | None]
"""Returns the first scheduled time after a time, both in epoch seconds; None where there is none."""

_log = structlog.get_logger()


class TrainingRefused(ForewarnError):
    """A training cannot start, or there is none to cancel."""


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """The state of training.

    Attributes:
        current: the run under way; None if there is none.
        progress: how far it is.
        runs: those that ended, oldest first.
        next_time: when the next one is scheduled, epoch seconds of the service's clock; None if never.
        refused: why the last due or requested training did not start; None if it did.
        trigger_check: the newest check of the triggers.
    """

    current: TrainingRun | None = None
    progress: RunProgress = field(default_factory=RunProgress)
    runs: tuple[TrainingRun, ...] = ()
    next_time: float | None = None
    refused: str | None = None
    trigger_check: TriggerCheck = field(default_factory=TriggerCheck)


class Retraining:
    """Runs at most one training at a time, and keeps the record of all of them over restarts."""

    def __init__(
        self,
        trainer: Trainer,
        journal: TrainingJournal,
        registry: ModelRegistry,
        *,
        config: TrainingConfig,
        next_time: NextTime | None,
        now: Callable[[], float],
    ) -> None:
        """Read the journal; a run that was interrupted is resumed at the first tick.

        Args:
            trainer: runs the trainings.
            journal: the record of the runs.
            registry: the models; old ones are deleted after a run.
            config: the section ``training``.
            next_time: of the schedule; None where nothing is scheduled.
            now: the service's clock.
        """
        self._trainer, self._journal, self._registry, self._now = trainer, journal, registry, now
        self._config, self._next_time = config, next_time
        self._lock = threading.Lock()
        self._runs = journal.history()
        self._interrupted = journal.current()
        self._current: TrainingRun | None = None
        self._considered = max((run.started for run in self._runs), default=now())
        self._refused: str | None = None
        self._trigger_check = TriggerCheck()

    def reconfigure(self, config: TrainingConfig, next_time: NextTime | None) -> None:
        """Apply a changed configuration; a running training keeps the limits that it started with."""
        self._config, self._next_time = config, next_time

    def run(self, at: int, trigger_check: TriggerCheck) -> None:
        """Record a run that ended, resume an interrupted one, or begin one that is due or triggered at ``at``."""
        with self._lock:
            self._trigger_check = trigger_check
            self._collect()
            if self._current is not None:
                return
            if self._interrupted is not None:
                run, self._interrupted = self._interrupted, None
                self._resume(run)
                return
            due = self._scheduled()
            self._considered = max(self._considered, float(at))
            if due and due <= at:
                self._begin(self._config.level, Trigger.SCHEDULE)
            elif trigger_check.request is not None and not self._paused(at):
                self._begin(self._config.level, trigger_check.request.trigger, trigger_check.request.why)

    def request(self, level: LevelName | None) -> TrainingRun:
        """Begin a run by hand.

        Raises:
            TrainingRefused: one is under way, or the budget is used up.
        """
        with self._lock:
            self._collect()
            if self._current is not None or self._interrupted is not None:
                raise TrainingRefused("a training is under way; wait for it or cancel it")
            run = self._begin(level or self._config.level, Trigger.MANUAL)
            if run is None:
                raise TrainingRefused(str(self._refused))
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
        """Return the state as of now."""
        with self._lock:
            self._collect()
            progress = self._trainer.progress() if self._current is not None else RunProgress()
            return TrainingState(
                current=self._current,
                progress=progress,
                runs=self._runs,
                next_time=self._scheduled(),
                refused=self._refused,
                trigger_check=self._trigger_check,
            )

    def close(self) -> None:
        """End the run under way; it is resumed at the next start."""
        self._trainer.close()

    def _scheduled(self) -> float | None:
        return None if self._next_time is None else self._next_time(self._considered)

    def _paused(self, at: int) -> bool:
        pause_seconds = self._config.trigger_pause_hours * 3600
        return any(at - pause_seconds < run.started <= at for run in self._runs)

    def _begin(self, level: LevelName, trigger: Trigger, reason: str = "") -> TrainingRun | None:
        now = self._now()
        self._refused = over_budget(self._runs, now, self._config.max_runs_per_day)
        if self._refused is not None:
            _log.warning("training_refused", trigger=trigger.value, reason=self._refused)
            return None
        name = as_text(int(now)).replace(":", "").replace("-", "")
        run = TrainingRun(
            id=name, level=level, trigger=trigger, started=now, seed=self._config.seed + len(self._runs), reason=reason
        )
        return run if self._start(run) else None

    def _resume(self, run: TrainingRun) -> None:
        if run.attempt >= MOST_ATTEMPTS:
            self._record(run, RunOutcome(RunState.FAILED, f"the service ended {run.attempt} times while it ran"))
            return
        self._start(replace(run, attempt=run.attempt + 1))

    def _start(self, run: TrainingRun) -> bool:
        try:
            self._journal.begin(run)
        except OSError as error:
            self._refused = f"the training cannot be recorded: {reason_of(error)}"
            _log.error("training_refused", run=run.id, trigger=run.trigger.value, reason=self._refused)
            return False
        self._current = run
        self._trainer.start(run, self._journal.folder(run), self._config)
        _log.info(
            "training_started",
            run=run.id,
            level=run.level.value,
            trigger=run.trigger.value,
            attempt=run.attempt,
            reason=run.reason,
        )
        return True

    def _collect(self) -> None:
        if self._current is None:
            return
        outcome = self._trainer.outcome()
        if outcome is not None and outcome.state is not RunState.RUNNING:
            self._record(self._current, outcome)

    def _record(self, under_way: TrainingRun, outcome: RunOutcome) -> None:
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
        expected = outcome.state in (RunState.SUCCEEDED, RunState.REJECTED, RunState.CANCELLED)
        log = _log.info if expected else _log.error
        log("training_ended", run=run.id, state=run.state.value, model=run.model, reason=run.detail)
        if run.model:
            self._delete_old_models()

    def _delete_old_models(self) -> None:
        try:
            deleted = self._registry.prune(self._config.keep_models)
        except (BadModel, OSError) as error:
            _log.error("models_not_deleted", reason=str(error))
            return
        if deleted:
            _log.info("models_deleted", models=deleted, reason="there are more than training.keep_models")


def over_budget(runs: Sequence[TrainingRun], at: float, most_per_day: int) -> str | None:
    """Return why no run may start at ``at``, in words; None where one may."""
    recent = [run for run in runs if run.started > at - DAY_SECONDS]
    if len(recent) < most_per_day:
        return None
    return (
        f"{len(recent)} runs started since {as_text(int(at - DAY_SECONDS))}, "
        f"and training.max_runs_per_day is {most_per_day}"
    )
