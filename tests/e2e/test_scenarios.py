"""Scenarios the whole way: trouble is made over HTTP, foretold, ended and resolved, on a clock that runs fast."""

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from daemon.config.loading import default_text, load_config
from daemon.domain.grid import STEP_SECONDS, as_text, parse_time
from daemon.domain.series import SeriesKey
from daemon.store.sql_store import SqlStore
from tests.servers.forewarn import RunningForewarn
from tests.servers.processes import free_port, require_programs, wait_until

DOCUMENT = Path(__file__).parents[2] / "docs" / "scenarios.md"
START = "2026-01-12T08:00:00Z"
# a grid time in a third of a second
SPEED = 900
LEAKING = "web-02"
THRESHOLD = 95


def configure(folder: Path) -> Path:
    """Write a configuration of a database and four web servers with three days of history, where nothing trains."""
    path = folder / "config.yaml"
    document = yaml.safe_load(default_text())
    servers = dict.fromkeys(document["sources"][0]["servers"], 0) | {"database": 1, "web_api": 4}
    document |= {
        "data_dir": "data",
        "sources": [{"name": "fleet", "type": "simulator", "servers": servers, "backfill_hours": 72}],
        "schedule": {"delay_seconds": 0},
        "clock": {"start": START, "speed": SPEED},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "logging": {"format": "json"},
        "training": {"triggers": [], "schedule": None},
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningForewarn]:
    with RunningForewarn(configure(tmp_path)) as running:
        # the fleet's own incidents must not be taken for those of the tests
        post(running, kind="healthy")
        yield running


def post(service: RunningForewarn, **document: Any) -> Any:
    answer = service.post("/api/v1/scenarios", document)
    assert answer.status == 201, answer.text
    return answer.json()


def told(service: RunningForewarn, event: str, **labels: str) -> list[int]:
    """Return the grid times at which alerts of these labels fired or resolved."""
    lines = service.events(event)
    return [parse_time(line["at"]) for line in lines if labels.items() <= line.items()]


def past_threshold(service: RunningForewarn, server: str, metric: str, since: int) -> list[int]:
    """Return the grid times after ``since`` at which the store has the metric past its critical threshold."""
    store = SqlStore(load_config(service.config).store_url)
    try:
        panel = store.read(since + STEP_SECONDS, newest(service))
    finally:
        store.close()
    values = panel.values[panel.keys.index(SeriesKey(server, metric))]
    return [int(time) for time in panel.timestamps[np.nan_to_num(values) >= THRESHOLD]]


def newest(service: RunningForewarn) -> int:
    """Return the time of the newest tick."""
    return parse_time(service.get("/api/v1/status").json()["at"])


def test_a_leak_is_foretold_and_resolves_when_it_is_cancelled(service: RunningForewarn) -> None:
    """The alert fires while memory is below its threshold, over a reload; soon after the end it resolves."""
    critical = {"name": "PredictedBreach", "server": LEAKING, "metric": "mem_used_pct", "severity": "critical"}
    posted = post(service, kind="memory_leak", servers=[LEAKING], ramp_minutes=480)
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: bool(service.events("config_reloaded")), 20, "reload")
    wait_until(lambda: bool(told(service, "alert_fired", **critical)), 60, "the alert")
    since = parse_time(posted["posted"])
    wait_until(lambda: bool(past_threshold(service, LEAKING, "mem_used_pct", since)), 60, "the breach")
    (fired,) = told(service, "alert_fired", **critical)
    breach = past_threshold(service, LEAKING, "mem_used_pct", since)[0]
    lead = (breach - fired) // 60
    print(f"\nposted {posted['posted']}, fired {as_text(fired)}, breach {as_text(breach)}: {lead} min ahead")
    assert since < fired <= breach - 1800
    assert not told(service, "alert_resolved", **critical)

    ended = service.delete(f"/api/v1/scenarios/{posted['id']}")
    assert (ended.status, ended.json()["state"]) == (200, "recovering")
    wait_until(lambda: bool(told(service, "alert_resolved", **critical)), 30, "the end of the alert")
    resolved = told(service, "alert_resolved", **critical)[0]
    print(f"cancelled {ended.json()['until']}, resolved {as_text(resolved)}")
    assert resolved <= parse_time(ended.json()["until"]) + 2 * 3600
    assert max(past_threshold(service, LEAKING, "mem_used_pct", since)) < resolved
    assert {line["server"] for line in service.events("alert_fired")} == {LEAKING}
    assert not service.events("tick_failed")


def test_a_cascade_raises_the_fleets_alert_and_survives_a_kill(service: RunningForewarn) -> None:
    """It goes on after a restart, many web servers are one alert, and it resolves when the cascade is cancelled."""
    posted = post(service, kind="cascade", ramp_minutes=180)
    service.kill()
    service.start()
    listed = service.get("/api/v1/scenarios").json()["items"]
    assert [item["id"] for item in listed] == [posted["id"], "healthy-1"]
    fleets = {"name": "FleetPredictedBreach", "profile": "web_api"}
    wait_until(lambda: bool(told(service, "alert_fired", **fleets)), 60, "the fleet's alert")
    first = min(told(service, "alert_fired", name="PredictedBreach"))
    fleet = told(service, "alert_fired", **fleets)[0]
    print(f"\nposted {posted['posted']}, first alert {as_text(first)}, the fleet's {as_text(fleet)}")
    assert first <= fleet
    alerts = service.get("/api/v1/alerts").json()["items"]
    named = [each["annotations"]["servers"] for each in alerts if each["name"] == "FleetPredictedBreach"]
    assert named[0].count("web-") >= 3
    assert service.delete(f"/api/v1/scenarios/{posted['id']}").status == 200
    wait_until(lambda: bool(told(service, "alert_resolved", **fleets)), 60, "the end of the fleet's alert")
    assert not service.events("tick_failed")


def test_the_documented_commands_do_what_they_say(service: RunningForewarn) -> None:
    """Every curl command of the document is answered, by the status that a script can rely on."""
    require_programs("curl")
    commands = re.findall(r"^curl .+$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(commands) >= 5
    answers = []
    for command in commands:
        words = shlex.split(command.replace("localhost:9855", service.url.removeprefix("http://")), comments=True)
        done = subprocess.run(
            [*words, "--silent", "--show-error", "--fail-with-body"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        answers.append(json.loads(done.stdout))
    kinds = [answer["kind"] for answer in answers if "kind" in answer]
    assert kinds == ["memory_leak", "traffic_surge", "cascade", "healthy", "memory_leak"]
