"""A running service applies a changed configuration or rejects it, and notifies systemd of its state."""

import os
import re
import signal
from pathlib import Path

import pytest
import yaml

from daemon.config.loading import default_text
from daemon.core.series import STEP_SECONDS, as_text, parse_time
from tests.servers.forewarn import RunningForewarn, change_config, simulated, write_config
from tests.servers.processes import wait_until
from tests.servers.service_manager import NotifySocket

START = parse_time("2026-01-10T00:00:00Z")
SPEED = 300
SIMULATOR = simulated(hours=30, ml_compute=1, database=1, web_api=1)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three simulated servers on a clock that passes a grid time in a second."""
    clock = {"start": as_text(START), "speed": SPEED}
    return write_config(tmp_path, sources=[SIMULATOR], schedule={"delay_seconds": 30}, clock=clock)


def test_a_reload_changes_sources_thresholds_schedule_and_level_and_loses_no_tick(config: Path) -> None:
    """A changed file applies from the next tick; every grid time has one tick, before and after."""
    push = {"name": "push", "type": "push"}
    with RunningForewarn(config) as service:
        wait_until(lambda: len(service.ticks()) >= 3, 20, "three ticks")
        skipped = service.metric("forewarn_ticks_skipped_total")
        assert "forewarn_breach_probability{" in service.get("/metrics").text
        without_thresholds = {
            name: {"unit": each.get("unit", "")} for name, each in yaml.safe_load(default_text())["metrics"].items()
        }
        document = yaml.safe_load(config.read_text())
        document |= {"metrics": without_thresholds, "sources": [SIMULATOR, push], "schedule": {"delay_seconds": 200}}
        config.write_text(yaml.safe_dump(document))
        os.kill(service.pid, signal.SIGHUP)
        wait_until(lambda: bool(service.events("config_reloaded")), 20, "reload")
        seen = len(service.ticks())
        wait_until(lambda: len(service.ticks()) >= seen + 3, 20, "ticks by the new configuration")
        assert "forewarn_breach_probability{" not in service.get("/metrics").text
        record = {"timestamp": as_text(service.ticks()[-1]), "server": "pushed", "mem_used_pct": 41.0}
        assert service.post("/api/v1/metrics", [record]).json()["accepted"] == 1
        document |= {
            "sources": [push],
            "schedule": {"delay_seconds": 0},
            "logging": {"level": "error", "format": "json"},
        }
        config.write_text(yaml.safe_dump(document))
        before = service.metric("forewarn_config_last_reload_success_timestamp_seconds")
        assert service.post("/-/reload", None).json() == {"status": "reloaded"}
        assert service.metric("forewarn_config_last_reload_success_timestamp_seconds") > before
        lines = len(service.ticks())
        assert 'forewarn_source_up{source="fleet"}' not in service.get("/metrics").text
        done = service.metric('forewarn_stage_runs_total{result="success",stage="alert"}')
        wait_until(
            lambda: service.metric('forewarn_stage_runs_total{result="success",stage="alert"}') >= done + 3,
            20,
            "ticks",
        )
        assert len(service.ticks()) == lines
        # the first tick reads the history, and skips the grid times that pass meanwhile
        at = service.ticks()[1:]
        assert at == list(range(at[0], at[0] + len(at) * STEP_SECONDS, STEP_SECONDS))
        assert service.metric("forewarn_ticks_skipped_total") == skipped


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alerting": {"raise_ticks": 9}}, "raise"),
        ({"http": {"listen": "127.0.0.1:1"}}, "http.listen: cannot change while running; restart the service"),
        ({"data_dir": "elsewhere"}, "data_dir: cannot change while running; restart the service"),
        ({"sources": [{"name": "file", "type": "replay", "path": "none.parquet"}]}, "none.parquet"),
    ],
)
def test_a_configuration_that_cannot_be_applied_is_rejected_with_the_reason(
    config: Path, change: dict[str, object], said: str
) -> None:
    """The service keeps its configuration, and a metric shows the failure until the file is good again."""
    good = config.read_text()
    with RunningForewarn(config) as service:
        assert service.metric("forewarn_config_last_reload_successful") == 1
        change_config(config, change)
        answer = service.post("/-/reload", None)
        assert answer.status == 400
        assert said in answer.text
        assert said in service.events("config_refused")[0]["reason"]
        assert service.metric("forewarn_config_last_reload_successful") == 0
        seen = len(service.ticks())
        wait_until(lambda: len(service.ticks()) >= seen + 2, 20, "ticks by the configuration before")
        config.write_text(good)
        os.kill(service.pid, signal.SIGHUP)
        wait_until(lambda: service.metric("forewarn_config_last_reload_successful") == 1, 20, "reload")


def test_systemd_is_notified_of_the_state(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY follows the first forecast, each stage of a tick feeds the watchdog, a reload has a start and an end."""
    with NotifySocket(tmp_path / "notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        with RunningForewarn(config) as service:
            wait_until(lambda: "READY=1\nWATCHDOG=1" in manager.messages, 20, "READY")
            assert service.ready
            first = manager.messages.index("READY=1\nWATCHDOG=1")
            assert any(text.startswith("EXTEND_TIMEOUT_USEC=") for text in manager.messages[:first])
            assert "WATCHDOG=1" not in manager.messages[:first]
            done = len(service.ticks())
            fed = manager.messages.count("WATCHDOG=1")
            wait_until(lambda: len(service.ticks()) >= done + 3, 20, "ticks")
            assert manager.messages.count("WATCHDOG=1") >= fed + 3
            assert any(
                re.match(r"STATUS=forecast \d+ series of 3 servers from 2026-", each) for each in manager.messages
            )
            os.kill(service.pid, signal.SIGHUP)
            wait_until(lambda: "READY=1" in manager.messages, 20, "READY after the reload")
            reloading = next(text for text in manager.messages if text.startswith("RELOADING=1\nMONOTONIC_USEC="))
            assert manager.messages.index(reloading) < manager.messages.index("READY=1")
        assert "STOPPING=1" in manager.messages


def test_without_anything_to_forecast_the_service_is_not_ready(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service whose only source has delivered no sample requests more time at each tick instead."""
    change_config(config, {"sources": [{"name": "push", "type": "push"}]})
    with NotifySocket(tmp_path / "notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        with RunningForewarn(config, ready=False) as service:
            wait_until(lambda: len(service.ticks()) >= 3, 20, "ticks")
            assert not [text for text in manager.messages if "READY=1" in text]
            assert sum(text.startswith("EXTEND_TIMEOUT_USEC=") for text in manager.messages) > 3
            assert any(text.startswith("STATUS=not ready: ") for text in manager.messages)
