"""What every trainer has in common, the fake included."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import yaml

from daemon.config.loading import default_text, load_config
from daemon.config.training import TrainingConfig
from daemon.core.levels import LevelName
from daemon.core.series import STEPS_PER_DAY, Panel, Samples, SeriesKey
from daemon.core.training_info import EpochRecord
from daemon.models.registry import ModelRegistry
from daemon.models.runs import RunOutcome, RunProgress, RunState, Trainer, TrainingRun, Trigger
from daemon.service.training_process import TrainingProcess
from daemon.store.history import SqlStore
from tests.fakes.trainer import FakeTrainer
from tests.panels import START
from tests.servers.processes import wait_until

DEADLINE_SECONDS = 500.0
MEMORY_MB = 64_000
PATIENCE_SECONDS = 500.0


def history() -> Panel:
    """Return eight and a half days of two metrics of a server, with a daily rhythm."""
    days = np.arange(int(8.5 * STEPS_PER_DAY)) / STEPS_PER_DAY
    noise = np.random.default_rng(0).normal(0, 1, (2, len(days)))
    values = 50 + 20 * np.sin(2 * np.pi * (days + np.array([[0.0], [0.3]]))) + noise
    keys = (SeriesKey("db-1", "cpu_busy_pct"), SeriesKey("db-1", "mem_used_pct"))
    return Panel(keys, START, values.astype(np.float32), {"db-1": "database"})


class Rig(Protocol):
    """A trainer that a test can wait for."""

    trainer: Trainer
    folder: Path

    def end_well(self) -> RunOutcome:
        """Let the run under way make a model; return how it ended."""
        ...

    def end_badly(self) -> RunOutcome:
        """Let the run under way fail; return how it ended."""
        ...

    def reported(self) -> None:
        """Return when the run under way has reported progress."""
        ...


class FakeRig:
    """The fake, whose run ends as the test says."""

    def __init__(self, folder: Path) -> None:
        self.fake = FakeTrainer()
        self.trainer: Trainer = self.fake
        self.folder = folder

    def end_well(self) -> RunOutcome:
        self.reported()
        self.fake.ended = RunOutcome(RunState.SUCCEEDED, "no model serves", "20260101T000000Z", 1.5)
        return self.fake.ended

    def end_badly(self) -> RunOutcome:
        self.fake.ended = RunOutcome(RunState.FAILED, "exit status 2: no such file", "", 0.5)
        return self.fake.ended

    def reported(self) -> None:
        record = EpochRecord(
            epoch=0,
            train_loss=0.2,
            val_loss=0.3,
            learning_rate=1e-3,
            time_seconds=1.0,
            gpu_memory_mb=0.0,
            samples_per_second=900.0,
        )
        self.fake.reached = RunProgress(epochs=(record,))


class ProcessRig:
    """A real training of the level demo on eight days of one server."""

    def __init__(self, folder: Path) -> None:
        self.config, self.folder = folder / "config.yaml", folder / "run"
        self.folder.mkdir()
        document = yaml.safe_load(default_text()) | {"data_dir": "data"}
        self.config.write_text(yaml.safe_dump(document))
        (folder / "data").mkdir()
        store = SqlStore(load_config(self.config).store_url)
        store.append(Samples.from_panel(history()))
        store.close()
        self.trainer: Trainer = TrainingProcess(self.config)

    def end_well(self) -> RunOutcome:
        return self.ended()

    def end_badly(self) -> RunOutcome:
        return self.ended()

    def ended(self) -> RunOutcome:
        wait_until(lambda: self.trainer.outcome() is not None, PATIENCE_SECONDS, "the end of the training")
        outcome = self.trainer.outcome()
        assert outcome is not None
        return outcome

    def reported(self) -> None:
        wait_until(lambda: self.trainer.progress() != RunProgress(), PATIENCE_SECONDS, "progress of the training")


@pytest.fixture(params=["fake", "process"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Return each kind, closed at the end."""
    made: Rig = FakeRig(tmp_path) if request.param == "fake" else ProcessRig(tmp_path)
    yield made
    made.trainer.close()


def start(rig: Rig, deadline_seconds: float = DEADLINE_SECONDS, memory_mb: int = MEMORY_MB) -> None:
    """Start a run of the level demo."""
    run = TrainingRun(id="20260110T000000Z", level=LevelName.DEMO, trigger=Trigger.MANUAL, started=0.0, seed=1)
    rig.trainer.start(
        run, rig.folder, TrainingConfig(threads=2, deadline_minutes=deadline_seconds / 60, memory_limit_mb=memory_mb)
    )


def ended(rig: Rig) -> RunOutcome:
    """Return how the run ended, once it has."""
    wait_until(lambda: rig.trainer.outcome() is not None, PATIENCE_SECONDS, "the end of the run")
    outcome = rig.trainer.outcome()
    assert outcome is not None
    return outcome


def test_before_a_run_there_is_nothing(rig: Rig) -> None:
    """No progress and no outcome; to cancel or to close is harmless and does not invent a run."""
    for act in (lambda: None, rig.trainer.cancel, rig.trainer.close, rig.trainer.close):
        act()
        assert rig.trainer.progress() == RunProgress()
        assert rig.trainer.outcome() is None


def test_a_run_reports_its_epochs_and_ends_with_a_model(rig: Rig) -> None:
    """While it runs there is no outcome; the outcome has the model, words and seconds, and nothing changes it later."""
    start(rig)
    assert rig.trainer.outcome() is None
    outcome = rig.end_well()
    assert outcome.state in (RunState.SUCCEEDED, RunState.REJECTED)
    assert outcome.model
    assert outcome.detail
    assert outcome.seconds > 0
    assert [record.epoch for record in rig.trainer.progress().epochs] == [0]
    if isinstance(rig, ProcessRig):
        assert ModelRegistry(load_config(rig.config).models_dir).ids() == [outcome.model]
    rig.trainer.cancel()
    rig.trainer.close()
    assert rig.trainer.outcome() == outcome


def test_a_run_that_fails_reports_why(rig: Rig) -> None:
    """The state is failed, the words name the exit status, and there is no model."""
    if isinstance(rig, ProcessRig):
        rig.config.write_text("sources: 1")
    start(rig)
    outcome = rig.end_badly()
    assert (outcome.state, outcome.model) == (RunState.FAILED, "")
    assert "exit status 2: " in outcome.detail


def test_a_cancelled_run_ends_as_cancelled(rig: Rig) -> None:
    """The outcome follows the request, also when it comes twice, and there is no model."""
    start(rig)
    rig.trainer.cancel()
    rig.trainer.cancel()
    outcome = ended(rig)
    assert (outcome.state, outcome.detail, outcome.model) == (RunState.CANCELLED, "cancelled", "")


def test_a_closed_run_can_be_resumed(rig: Rig) -> None:
    """The outcome of a run that the close interrupts is ``running``, whatever is asked afterwards."""
    start(rig)
    rig.trainer.close()
    rig.trainer.close()
    rig.trainer.cancel()
    outcome = ended(rig)
    assert (outcome.state, outcome.detail, outcome.model) == (RunState.RUNNING, "the service stopped", "")


def test_a_new_run_starts_without_the_old_ones_outcome(rig: Rig) -> None:
    """Progress and outcome belong to the newest run; after a cancelled one the next one can be cancelled too."""
    start(rig)
    rig.reported()
    rig.trainer.cancel()
    assert ended(rig).state is RunState.CANCELLED
    start(rig)
    assert rig.trainer.outcome() is None
    assert rig.trainer.progress() == RunProgress()
    rig.trainer.cancel()
    assert ended(rig).state is RunState.CANCELLED
