"""A trainer that trains nothing; a test decides how its run ends."""

from pathlib import Path

from daemon.config.training import TrainingConfig
from daemon.models.runs import RunOutcome, RunProgress, RunState, TrainingRun


class FakeTrainer:
    """Mirrors the ``Trainer`` port.

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
        self.ended = None

    def progress(self) -> RunProgress:
        """Return what the test put there."""
        return self.reached

    def outcome(self) -> RunOutcome | None:
        """Return what the test put there."""
        return self.ended

    def cancel(self) -> None:
        """End at once."""
        self.ended = RunOutcome(RunState.CANCELLED, "cancelled")

    def close(self) -> None:
        """End as a stop of the service does."""
        self.ended = RunOutcome(RunState.RUNNING, "the service stopped")
