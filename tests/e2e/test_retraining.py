"""The service trains beside its ticks: on request, within limits, and resumed after a kill."""

import os
from pathlib import Path

import pytest

from tests.servers.forewarn import RunningForewarn, change_config, simulated, write_config
from tests.servers.processes import wait_until


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three simulated servers with eight days of history, on a clock that passes a grid time in a second."""
    fleet = simulated(hours=200, ml_compute=1, database=1, web_api=1)
    return write_config(tmp_path, sources=[fleet], clock={"start": "2026-01-10T00:00:00Z", "speed": 300})


def child_of(service: RunningForewarn) -> int:
    children = Path(f"/proc/{service.pid}/task").glob("*/children")
    return int(next(text for text in (each.read_text() for each in children) if text).split()[0])


def test_a_training_beside_the_ticks_ends_in_a_model(config: Path) -> None:
    """The training has the lowest priority and reports its progress; no tick fails; an accepted model serves."""
    with RunningForewarn(config) as service:
        answer = service.post("/api/v1/training", {"level": "demo"})
        assert answer.status == 202
        assert service.post("/api/v1/training", {}).status == 409
        wait_until(lambda: "forewarn_training_in_progress 1.0" in service.get("/metrics").text, 10, "in progress")
        pid = child_of(service)
        wait_until(lambda: os.getpriority(os.PRIO_PROCESS, pid) == 19, 20, "priority")
        wait_until(lambda: Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n", 20, "first to be killed")
        wait_until(lambda: service.training()["epoch_share"] is not None, 60, "progress")
        wait_until(lambda: service.training()["current"] is None, 120, "the end of the training")
        (run,) = service.training()["runs"]
        assert run["state"] in ("succeeded", "rejected"), run
        assert run["model"]
        assert run["detail"]
        (model,) = service.get("/api/v1/models").json()["items"]
        assert (model["id"], model["level"], model["figures"]["skill"]) == (run["model"], "demo", {})
        metrics = service.get("/metrics").text
        assert f'forewarn_training_runs_total{{level="demo",result="{run["state"]}"}} 1.0' in metrics
        if run["state"] == "succeeded":
            wait_until(lambda: service.get("/api/v1/status").json()["model"] == run["model"], 20, "the model serves")
        assert not service.events("tick_failed")
        assert list((config.parent / "data" / "training").iterdir()) == [config.parent / "data/training/runs.jsonl"]


@pytest.mark.parametrize(
    ("bound", "state", "said"),
    [
        ({"memory_limit_mb": 100}, "out_of_memory", "training.memory_limit_mb: 100"),
        ({"deadline_minutes": 0.03}, "timed_out", "training.deadline_minutes: 0.03"),
    ],
)
def test_a_training_out_of_bounds_is_ended_and_the_service_goes_on(
    config: Path, bound: dict[str, float], state: str, said: str
) -> None:
    """The record of the run has the limit in words, and the service stays ready."""
    change_config(config, {"training": bound})
    with RunningForewarn(config) as service:
        service.post("/api/v1/training", None)
        wait_until(lambda: bool(service.training()["runs"]), 30, "the end of the training")
        (run,) = service.training()["runs"]
        assert (run["state"], run["model"]) == (state, "")
        assert said in run["detail"]
        assert service.ready


def test_a_training_is_cancelled_or_resumed_after_a_kill(config: Path) -> None:
    """Kill -9 of the service ends the training too; the next start resumes it; a cancelled run is not resumed."""
    service = RunningForewarn(config)
    service.start()
    started = service.post("/api/v1/training", None).json()
    wait_until(lambda: service.training()["epoch_share"] is not None, 60, "progress")
    child = child_of(service)
    service.kill()
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 10, "the end of the training")
    with service:
        wait_until(lambda: service.training()["current"] is not None, 20, "resumed")
        current = service.training()["current"]
        assert (current["id"], current["attempt"]) == (started["id"], 2)
        wait_until(lambda: service.training()["epoch_share"] is not None, 60, "progress")
        assert service.delete("/api/v1/training").status == 202
        wait_until(lambda: service.training()["current"] is None, 10, "cancelled")
        assert service.delete("/api/v1/training").status == 409
        assert [run["state"] for run in service.training()["runs"]] == ["cancelled"]
        service.post("/api/v1/training", None)
        wait_until(lambda: service.training()["epoch_share"] is not None, 60, "progress")
        assert service.stop().exit_status == 0


def test_with_a_week_of_history_the_first_training_starts_by_itself(config: Path) -> None:
    """The record has the trigger and the reason; a cancelled run does not start again at the next tick."""
    change_config(config, {"training": {"triggers": ["first"]}})
    with RunningForewarn(config) as service:
        wait_until(lambda: service.training()["current"] is not None, 20, "a training")
        current = service.training()["current"]
        assert (current["trigger"], current["level"]) == ("first", "demo")
        assert current["reason"] == "there is no model yet, and a week of history"
        assert service.delete("/api/v1/training").status == 202
        wait_until(lambda: service.training()["current"] is None, 10, "cancelled")
        ticks = len(service.events("tick_done"))
        wait_until(lambda: len(service.events("tick_done")) > ticks + 3, 20, "more ticks")
        assert [run["state"] for run in service.training()["runs"]] == ["cancelled"]
        assert service.training()["current"] is None
