from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.training import TrainingConfig
from daemon.core.levels import LevelName
from daemon.models.registry import ModelRegistry
from daemon.models.retraining import Retraining, TrainingRefused, over_budget
from daemon.models.runs import (
    RunOutcome,
    RunState,
    TrainingJournal,
    TrainingRequest,
    TrainingRun,
    Trigger,
    TriggerCheck,
)
from tests.fakes.source import FakeClock
from tests.fakes.trainer import FakeTrainer

T0 = 1_767_571_200
DAY = 86_400
KEEP = 2
PAUSE_HOURS = 6
GOOD = RunOutcome(RunState.SUCCEEDED, "better than what served", "m1", 41.0)


class Rig:
    """Retraining by a fake trainer, scheduled for each midnight."""

    def __init__(self, folder: Path, most: int = 2) -> None:
        self.clock, self.journal = FakeClock(T0 + 3600), TrainingJournal(folder)
        self.registry = ModelRegistry(folder / "models")
        self.config = TrainingConfig(
            level=LevelName.DEMO, seed=5, max_runs_per_day=most, keep_models=KEEP, trigger_pause_hours=PAUSE_HOURS
        )
        self.restart()

    def restart(self) -> None:
        self.trainer = FakeTrainer()
        self.retraining = Retraining(
            self.trainer,
            self.journal,
            self.registry,
            config=self.config,
            next_time=lambda at: at // DAY * DAY + DAY,
            now=self.clock.now,
        )

    def tick(self, hours: float = 0, request: TrainingRequest | None = None) -> None:
        self.clock.time += hours * 3600
        self.retraining.run(int(self.clock.time), TriggerCheck(request))

    def states(self) -> list[RunState]:
        return [run.state for run in self.retraining.state().runs]


def test_a_run_begins_when_it_is_scheduled_and_once(tmp_path: Path) -> None:
    """Not before its time, not again while it goes on, and the next one a day later with another seed."""
    rig = Rig(tmp_path)
    rig.tick()
    rig.tick(22)
    assert not rig.trainer.started
    assert rig.retraining.state().next_time == T0 + DAY
    rig.tick(1.5)
    rig.tick(1)
    (run,) = rig.trainer.started
    assert (run.level, run.trigger, run.seed, run.attempt) == (LevelName.DEMO, Trigger.SCHEDULE, 5, 1)
    rig.trainer.ended = GOOD
    rig.tick(1)
    assert rig.states() == [RunState.SUCCEEDED]
    assert rig.retraining.state().runs[0].model == "m1"
    rig.tick(24)
    assert [run.seed for run in rig.trainer.started] == [5, 6]


def test_what_was_scheduled_while_the_service_was_down_is_made_up_for_once(tmp_path: Path) -> None:
    """Three midnights passed are one run."""
    rig = Rig(tmp_path)
    rig.retraining.request(None)
    rig.trainer.ended = GOOD
    rig.tick()
    rig.clock.time += 3 * DAY
    rig.restart()
    rig.tick()
    assert len(rig.trainer.started) == 1
    rig.trainer.ended = GOOD
    rig.tick(1)
    rig.tick(1)
    assert len(rig.trainer.started) == 1


def test_a_run_that_a_restart_interrupted_is_resumed_three_times_at_most(tmp_path: Path) -> None:
    """The same run, folder and seed, one attempt more; after the third it has failed."""
    rig = Rig(tmp_path)
    first = rig.retraining.request(LevelName.VALIDATION)
    for attempt in (2, 3):
        rig.retraining.close()
        rig.tick()
        rig.restart()
        rig.tick()
        (run,) = rig.trainer.started
        assert (run.id, run.seed, run.level, run.attempt) == (first.id, first.seed, LevelName.VALIDATION, attempt)
    rig.restart()
    rig.tick()
    assert not rig.trainer.started
    assert rig.states() == [RunState.FAILED]
    assert "ended 3 times" in rig.retraining.state().runs[0].detail
    assert not [path for path in tmp_path.glob("*/") if path.name != "models"]


def test_the_budget_refuses_with_a_reason(tmp_path: Path) -> None:
    """More than the day's runs are refused by hand and by schedule, over restarts too, until a day has passed."""
    rig = Rig(tmp_path, most=1)
    rig.retraining.request(None)
    with pytest.raises(TrainingRefused, match="under way"):
        rig.retraining.request(None)
    rig.trainer.ended = GOOD
    rig.tick()
    rig.restart()
    with pytest.raises(TrainingRefused, match="max_runs_per_day is 1"):
        rig.retraining.request(None)
    rig.tick(23.5)
    assert not rig.trainer.started
    assert "max_runs_per_day is 1" in (rig.retraining.state().refused or "")
    rig.tick(24)
    assert len(rig.trainer.started) == 1


def test_a_trigger_starts_a_run_and_then_there_is_a_pause(tmp_path: Path) -> None:
    """The reason is on record; the same trigger at each tick gives one run per pause, after a restart too."""
    rig = Rig(tmp_path)
    request = TrainingRequest(Trigger.DRIFT, "60% of the series behave otherwise")
    rig.tick(0, request)
    (run,) = rig.trainer.started
    assert (run.trigger, run.reason) == (Trigger.DRIFT, request.why)
    rig.trainer.ended = GOOD
    rig.tick(1, request)
    rig.restart()
    rig.tick(4, request)
    assert not rig.trainer.started
    assert rig.retraining.state().runs[0].reason == request.why
    assert rig.retraining.state().trigger_check.request == request
    rig.tick(1.5, request)
    assert len(rig.trainer.started) == 1


def test_triggers_are_bound_by_the_budget(tmp_path: Path) -> None:
    """However short the pause, a day has no more runs than it may."""
    rig = Rig(tmp_path, most=2)
    for _ in range(3):
        rig.tick(6.1, TrainingRequest(Trigger.QUALITY, "bad"))
        rig.trainer.ended = GOOD
    rig.tick()
    assert len(rig.states()) == 2
    assert "max_runs_per_day is 2" in (rig.retraining.state().refused or "")


def test_a_run_is_cancelled(tmp_path: Path) -> None:
    """Its end is on record; with none under way there is nothing to cancel."""
    rig = Rig(tmp_path)
    with pytest.raises(TrainingRefused, match="no training"):
        rig.retraining.cancel()
    rig.retraining.request(None)
    rig.retraining.cancel()
    assert rig.retraining.state().current is None
    assert rig.states() == [RunState.CANCELLED]


def test_old_models_make_room_for_new_ones(tmp_path: Path) -> None:
    """When a run made a model the oldest go; a registry that cannot be read stops nothing."""
    rig = Rig(tmp_path, most=9)
    for _ in range(KEEP + 1):
        with rig.registry.new():
            pass
    for integrity_error in (False, True):
        if integrity_error:
            (tmp_path / "models" / "current").write_bytes(b"\xff")
        rig.retraining.request(None)
        rig.trainer.ended = GOOD
        rig.tick()
        assert len(rig.registry.ids()) == KEEP
    assert rig.states() == [RunState.SUCCEEDED] * 2


def test_a_torn_or_strange_record_stops_nothing(tmp_path: Path) -> None:
    """A line that a full disk left incomplete is skipped; the lines before and after it are read."""
    rig = Rig(tmp_path)
    rig.retraining.request(None)
    rig.trainer.ended = GOOD
    rig.tick()
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"id": "torn')
    (tmp_path / "current.json").write_text("no JSON")
    rig.restart()
    rig.retraining.request(None)
    rig.trainer.ended = GOOD
    rig.tick()
    rig.restart()
    assert rig.states() == [RunState.SUCCEEDED] * 2


@given(st.lists(st.integers(0, 5 * DAY), max_size=40), st.integers(1, 5))
def test_no_day_has_more_runs_than_the_budget(asked: list[int], most: int) -> None:
    """Whenever runs are asked for, no 24 hours have more of them than may be."""
    runs: list[TrainingRun] = []
    for at in sorted(asked):
        if not over_budget(runs, at, most):
            runs.append(TrainingRun(id="r", level=LevelName.DEMO, trigger=Trigger.MANUAL, started=at, seed=0))
    for run in runs:
        assert sum(run.started - DAY < other.started <= run.started for other in runs) <= most
