"""A training in a process of its own, with a deadline, a memory limit and its progress.

The process is ``forewarn retrain``. It prints lines of JSON, each one of the records below: progress within an epoch,
the record of each epoch, and at the end the model.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from daemon.config.training import TrainingConfig
from daemon.core.json_records import Record, readable_json
from daemon.core.training_info import EpochRecord
from daemon.models.runs import RunOutcome, RunProgress, RunState, TrainingRun

_CHECK_SECONDS = 0.5
_GRACE_SECONDS = 2.0
_MEBIBYTE = 1 << 20


class StepLine(Record):
    """A line during an epoch: its number, and the share of it that is done."""

    epoch: int
    epoch_share: float


class EpochLine(Record):
    """A line at the end of an epoch."""

    record: EpochRecord


class ResultLine(Record):
    """The last line: the model, and the decision of the gate."""

    model: str
    promoted: bool
    reasons: tuple[str, ...]


class TrainingProcess:
    """Implements the ``Trainer`` port: ``forewarn retrain`` as a child process."""

    def __init__(self, config: Path) -> None:
        """Train with the configuration file ``config``, which each run reads when it starts."""
        self._config = config
        self._child: subprocess.Popen[bytes] | None = None
        self._stop_with: RunOutcome | None = None
        self._outcome: RunOutcome | None = None
        self._progress = RunProgress()
        self._result: ResultLine | None = None

    def start(self, run: TrainingRun, folder: Path, config: TrainingConfig) -> None:
        """Begin ``run``; its files are in ``folder``."""
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "daemon",
            "retrain",
            "--config",
            self._config,
            "--folder",
            folder,
        ]
        command += ["--level", run.level.value, "--seed", str(run.seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(config.threads), "PYTHONUNBUFFERED": "1"}
        # the child does not answer the service manager
        environment.pop("NOTIFY_SOCKET", None)
        self._stop_with = self._outcome = None
        self._progress, self._result = RunProgress(), None
        self._errors = folder / "errors.log"
        started = threading.Event()
        output, into = os.pipe()

        def attend() -> None:
            # started by the thread that waits for it: the kernel ends the child when the thread that started it ends
            with os.fdopen(output, "rb", 0) as lines:
                try:
                    with os.fdopen(into, "wb") as sink, self._errors.open("wb") as errors:
                        # in its own session, so that Ctrl-C in a terminal reaches it only through the service
                        child = subprocess.Popen(  # noqa: S603 - our own program
                            command, stdout=sink, stderr=errors, env=environment, start_new_session=True
                        )
                    self._child = child
                except OSError as error:
                    self._outcome = RunOutcome(RunState.FAILED, f"cannot be started: {error}")
                    return
                finally:
                    started.set()
                self._watch(child, lines.fileno(), config)

        threading.Thread(target=attend, name="training", daemon=True).start()
        started.wait()

    def progress(self) -> RunProgress:
        """Return how far the run is."""
        return self._progress

    def outcome(self) -> RunOutcome | None:
        """Return how the run ended; None while it is under way."""
        return self._outcome

    def cancel(self) -> None:
        """Ask the run to end."""
        self._end(RunOutcome(RunState.CANCELLED, "cancelled"))

    def close(self) -> None:
        """End the run, if one is under way, so that it can be resumed."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        self._stop_with = RunOutcome(RunState.RUNNING, "the service stopped")
        child.terminate()
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _end(self, outcome: RunOutcome) -> None:
        if self._child is not None and self._stop_with is None:
            self._stop_with = outcome
            self._child.kill()

    def _watch(self, child: subprocess.Popen[bytes], output: int, config: TrainingConfig) -> None:
        started, rest = time.monotonic(), b""
        while True:
            readable, _, _ = select.select([output], [], [], _CHECK_SECONDS)
            chunk = os.read(output, 1 << 16) if readable else None
            if chunk == b"":
                break
            *lines, rest = (rest + (chunk or b"")).split(b"\n")
            for line in lines:
                self._note(line)
            if time.monotonic() - started > config.deadline_minutes * 60:
                text = f"it took longer than training.deadline_minutes: {config.deadline_minutes:g}"
                self._end(RunOutcome(RunState.TIMED_OUT, text))
            elif resident_bytes(child.pid) > config.memory_limit_mb * _MEBIBYTE:
                text = f"it needed more than training.memory_limit_mb: {config.memory_limit_mb}"
                self._end(RunOutcome(RunState.OUT_OF_MEMORY, text))
        self._outcome = self._outcome_of(child.wait(), time.monotonic() - started)

    def _note(self, line: bytes) -> None:
        match parse_line(line):
            case StepLine() as step:
                self._progress = RunProgress(self._progress.epochs, step.epoch, step.epoch_share)
            case EpochLine() as ended:
                self._progress = RunProgress((*self._progress.epochs, ended.record))
            case ResultLine() as result:
                self._result = result

    def _outcome_of(self, status: int, seconds: float) -> RunOutcome:
        if self._stop_with is not None:
            return RunOutcome(self._stop_with.state, self._stop_with.detail, "", seconds)
        if status == 0 and self._result is not None:
            state = RunState.SUCCEEDED if self._result.promoted else RunState.REJECTED
            return RunOutcome(state, " ".join(self._result.reasons), self._result.model, seconds)
        if status == -signal.SIGKILL:
            text = "the kernel killed it: the unit's memory limit, or the machine's"
            return RunOutcome(RunState.OUT_OF_MEMORY, text, "", seconds)
        errors = self._errors.read_text(errors="replace").splitlines() if self._errors.exists() else []
        text = f"exit status {status}: {errors[-1] if errors else 'it printed no error'}"
        return RunOutcome(RunState.FAILED, text, "", seconds)


def parse_line(line: bytes) -> StepLine | EpochLine | ResultLine | None:
    """Return one line of the child as a record; None for any other output."""
    try:
        document = readable_json(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    for kind in (StepLine, EpochLine, ResultLine):
        with suppress(ValidationError):
            return kind.model_validate_json(document)
    return None


def resident_bytes(pid: int) -> int:
    """Return the memory of a process in bytes, resident and swapped out; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmSwap")))
    return sum(int(text.split()[0]) * 1024 for text in sizes.values())
