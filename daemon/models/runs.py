"""Training runs beside the service: their records, the ``Trainer`` port that runs them, and their files."""

import json
import shutil
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import TypeAdapter, ValidationError

from daemon.config.training import TrainingConfig
from daemon.core.file_access import reason_of
from daemon.core.json_records import problems_of, readable_json
from daemon.core.levels import LevelName
from daemon.core.training_info import EpochRecord
from daemon.system.files import Journal, atomic_path

_MOST_READ = 1000

_log = structlog.get_logger()


class Trigger(StrEnum):
    """What started a training."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    FIRST = "first"
    NEW_SERVERS = "new_servers"
    QUALITY = "quality"
    DRIFT = "drift"


class RunState(StrEnum):
    """State of a training run; ``rejected`` is a run whose model the gate rejected."""

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
        id: also the name of its folder.
        level: the training level.
        trigger: what started it.
        started: epoch seconds of the service's clock.
        seed: of all randomness; each run has a different one.
        reason: why the trigger fired, in words; empty for the schedule and by hand.
        attempt: 1, and one more for each restart of the service that interrupted it.
        state: running, or how it ended.
        detail: how it ended, in words; empty while it runs.
        model: id of the model that it made; empty where it made none.
        ended: epoch seconds of the service's clock; None while it runs.
        seconds: wall time of the last attempt; 0 while it runs.
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
    """A trigger asks for a training.

    Attributes:
        trigger: which one.
        why: in words, with the figures.
    """

    trigger: Trigger
    why: str


@dataclass(frozen=True)
class TriggerCheck:
    """Result of checking the triggers.

    Attributes:
        request: of the first trigger that fired; None if none did.
        drift: share of the series whose distribution changed since the training; None where not measurable.
    """

    request: TrainingRequest | None = None
    drift: float | None = None


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        state: how it ended; ``running`` where the service stopped it and will resume it.
        detail: in words.
        model: id of the model that was made; empty if none was.
        seconds: wall time.
    """

    state: RunState
    detail: str
    model: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes:
        epochs: the epochs that ended.
        epoch: number of the epoch under way, from 0; None between epochs.
        epoch_share: share of it that is done, 0 to 1; None between epochs.
    """

    epochs: tuple[EpochRecord, ...] = ()
    epoch: int | None = None
    epoch_share: float | None = None


class Trainer(Protocol):
    """Trains, one run at a time, beside the service."""

    def start(self, run: TrainingRun, folder: Path, config: TrainingConfig) -> None:
        """Start ``run``, or resume it from the files that an earlier attempt left in ``folder``.

        Args:
            run: what to train.
            folder: its own; it exists.
            config: the limits: threads, deadline and memory.
        """
        ...

    def progress(self) -> RunProgress:
        """Return how far the run is."""
        ...

    def outcome(self) -> RunOutcome | None:
        """Return how the run ended, ``running`` if ``close`` interrupted it; None while it is under way."""
        ...

    def cancel(self) -> None:
        """Ask the run to end; ``outcome`` is None until it has."""
        ...

    def close(self) -> None:
        """End the run under way, so that it can be resumed."""
        ...


_RUN = TypeAdapter(TrainingRun)


class TrainingJournal:
    """The folder ``training/``: ``current.json``, ``runs.jsonl``, and a folder for the run under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current = folder / "current.json"
        self._ended = Journal(folder / "runs.jsonl", TrainingRun)

    def folder(self, run: TrainingRun) -> Path:
        """Return the run's own folder."""
        return self._folder / run.id

    def begin(self, run: TrainingRun) -> None:
        """Record that ``run`` is under way."""
        self.folder(run).mkdir(parents=True, exist_ok=True)
        with atomic_path(self._current) as temporary:
            temporary.write_text(json.dumps(asdict(run)), encoding="utf-8")

    def end(self, run: TrainingRun) -> None:
        """Record how ``run`` ended, and delete its folder."""
        self._ended.append(run)
        self._current.unlink(missing_ok=True)
        shutil.rmtree(self.folder(run), ignore_errors=True)

    def current(self) -> TrainingRun | None:
        """Return the run that was under way when the service ended; None where there is none, or it is damaged."""
        try:
            return _RUN.validate_json(readable_json(self._current.read_text(encoding="utf-8")), strict=True)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            self._log_error(self._current, "; ".join(problems_of(error)))
        except (OSError, ValueError) as error:
            self._log_error(self._current, reason_of(error))
        return None

    def history(self) -> tuple[TrainingRun, ...]:
        """Return the last runs that ended, oldest first; a damaged line is skipped and logged."""
        path = self._ended.path
        try:
            runs = self._ended.read(lambda number, problem: self._log_error(path, f"line {number}: {problem}"))
        except (OSError, UnicodeDecodeError) as error:
            self._log_error(path, reason_of(error))
            return ()
        return runs[-_MOST_READ:]

    def _log_error(self, file: Path, reason: str) -> None:
        _log.error("training_record_damaged", file=str(file), reason=reason)
