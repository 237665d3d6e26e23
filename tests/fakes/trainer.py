"""A trainer that trains nothing; a test decides how its run ends."""

from pathlib import Path

from daemon.config.training import TrainingConfig
from daemon.models.runs import RunOutcome, RunProgress, RunState, TrainingRun


class FakeTrainer:
    """Mirrors the ``Trainer`` port; passes the same conformance suite as the real one.

    Attributes:
        started: every run that was started.
        ended: how the newest one ended; None while it is under way.
        reached: how far it is.
    """

    def __init__(self) -> None:
        self.started: list[TrainingRun] = []
        self.ended: RunOutcome | None = None
        self.reached = RunProgress()

    def start(self, run: TrainingRun, folder: Path, config: TrainingConfig) -> None:
        """Remember the run."""
        assert folder.is_dir()
        self.started.append(run)
        self.ended, self.reached = None, RunProgress()

    def progress(self) -> RunProgress:
        """Return what the test put there."""
        return self.reached

    def outcome(self) -> RunOutcome | None:
        """Return what the test put there."""
        return self.ended

    def cancel(self) -> None:
        """End at once."""
        self._end(RunOutcome(RunState.CANCELLED, "cancelled"))

    def close(self) -> None:
        """End as a stop of the service does."""
        self._end(RunOutcome(RunState.RUNNING, "the service stopped"))

    def _end(self, outcome: RunOutcome) -> None:
        if self.started and self.ended is None:
            self.ended = outcome
