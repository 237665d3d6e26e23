"""A training in a process of its own: lower priority, a deadline, a memory limit, progress as it happens."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from daemon.models.runs import Outcome, RunState, TrainingRun

_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 2.0
_MEGABYTE = 1 << 20


class TrainingProcess:
    """Implements the ``Trainer`` port by ``forewarn retrain`` as a child."""

    def __init__(self, config: Path) -> None:
        """Train by what ``config`` says when a run starts."""
        self._config = config
        self._child: subprocess.Popen[bytes] | None = None
        self._stop_with: Outcome | None = None
        self._outcome: Outcome | None = None
        self._told: list[dict[str, Any]] = []

    def start(self, run: TrainingRun, folder: Path, threads: int, deadline_seconds: float, memory_mb: int) -> None:
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
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        # what the service manager gave the service is not the child's to answer
        environment.pop("NOTIFY_SOCKET", None)
        self._stop_with = self._outcome = None
        self._told = []
        self._errors = folder / "errors.log"
        started = threading.Event()
        output, into = os.pipe()

        def attend() -> None:
            # begun by the thread that waits for it: the kernel ends the child when the thread that began it ends
            with os.fdopen(output, "rb", 0) as said:
                try:
                    with os.fdopen(into, "wb") as sink, self._errors.open("wb") as errors:
                        # in a session of its own, so that a terminal's Ctrl-C reaches it by way of the service
                        child = subprocess.Popen(  # noqa: S603 - our own program
                            command, stdout=sink, stderr=errors, env=environment, start_new_session=True
                        )
                    self._child = child
                except OSError as error:
                    self._outcome = Outcome(RunState.FAILED, f"cannot be started: {error}")
                    return
                finally:
                    started.set()
                self._watch(child, said.fileno(), deadline_seconds, memory_mb)

        threading.Thread(target=attend, name="training", daemon=True).start()
        started.wait()

    def told(self) -> tuple[dict[str, Any], ...]:
        """Return what the run has said so far: the records of its epochs, and how far it is in the present one."""
        return tuple(self._told)

    def outcome(self) -> Outcome | None:
        """Return how the run ended; None while it is under way."""
        return self._outcome

    def cancel(self) -> None:
        """Ask the run to end; its outcome says so once it has."""
        self._end(Outcome(RunState.CANCELLED, "cancelled"))

    def close(self) -> None:
        """End the run, if one is under way, so that it can be resumed."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        self._stop_with = Outcome(RunState.RUNNING, "the service stopped")
        child.terminate()
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _end(self, outcome: Outcome) -> None:
        if self._child is not None and self._stop_with is None:
            self._stop_with = outcome
            self._child.kill()

    def _watch(self, child: "subprocess.Popen[bytes]", output: int, deadline_seconds: float, memory_mb: int) -> None:
        began, rest = time.monotonic(), b""
        while True:
            readable, _, _ = select.select([output], [], [], _LOOK_SECONDS)
            chunk = os.read(output, 1 << 16) if readable else None
            if chunk == b"":
                break
            *lines, rest = (rest + (chunk or b"")).split(b"\n")
            for line in lines:
                self._note(line)
            if time.monotonic() - began > deadline_seconds:
                text = f"it took longer than training.deadline_minutes: {deadline_seconds / 60:g}"
                self._end(Outcome(RunState.TIMED_OUT, text))
            elif resident_bytes(child.pid) > memory_mb * _MEGABYTE:
                text = f"it needed more than training.memory_limit_mb: {memory_mb}"
                self._end(Outcome(RunState.OUT_OF_MEMORY, text))
        self._outcome = self._of(child.wait(), time.monotonic() - began)

    def _note(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict):
            # of how far an epoch is, only the newest is kept
            if self._told and "epoch_share" in self._told[-1]:
                self._told = self._told[:-1]
            self._told = [*self._told, said]

    def _of(self, status: int, seconds: float) -> Outcome:
        if self._stop_with is not None:
            return Outcome(self._stop_with.state, self._stop_with.detail, "", seconds)
        if status == 0 and self._told and "model" in self._told[-1]:
            result = self._told[-1]
            state = RunState.SUCCEEDED if result["promoted"] else RunState.REJECTED
            return Outcome(state, "; ".join(result["reasons"]), result["model"], seconds)
        if status == -signal.SIGKILL:
            return Outcome(
                RunState.OUT_OF_MEMORY, "the kernel killed it: the unit's memory limit, or the machine's", "", seconds
            )
        errors = self._errors.read_text(errors="replace").splitlines() if self._errors.exists() else []
        return Outcome(
            RunState.FAILED, f"exit status {status}: {errors[-1] if errors else 'it said nothing'}", "", seconds
        )


def resident_bytes(pid: int) -> int:
    """Return the memory of a process, swapped out or not, in bytes; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmSwap")))
    return sum(int(text.split()[0]) * 1024 for text in sizes.values())
