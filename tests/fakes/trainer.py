"""A trainer that trains nothing; a test says how its run ends."""

from pathlib import Path
from typing import Any

from daemon.models.runs import Outcome, RunState, TrainingRun


class FakeTrainer:
    """Mirrors the ``Trainer`` port; passes the same conformance suite as the real one.

    Attributes:
        started: every run that was begun.
        ended: how the newest one ended; None while it is under way.
        said: what it has said.
    """

    def __init__(self) -> None:
        self.started: list[TrainingRun] = []
        self.ended: Outcome | None = None
        self.said: tuple[dict[str, Any], ...] = ()

    def start(self, run: TrainingRun, folder: Path, threads: int, deadline_seconds: float, memory_mb: int) -> None:
        """Remember the run."""
        assert folder.is_dir()
        self.started.append(run)
        self.ended, self.said = None, ()

    def told(self) -> tuple[dict[str, Any], ...]:
        """Return what the test put there."""
        return self.said

    def outcome(self) -> Outcome | None:
        """Return what the test put there."""
        return self.ended

    def cancel(self) -> None:
        """End at once."""
        self._end(Outcome(RunState.CANCELLED, "cancelled"))

    def close(self) -> None:
        """End as a stop of the service does."""
        self._end(Outcome(RunState.RUNNING, "the service stopped"))

    def _end(self, outcome: Outcome) -> None:
        if self.started and self.ended is None:
            self.ended = outcome
