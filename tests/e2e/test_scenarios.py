"""Scenarios end to end on a fast clock: an incident is posted, predicted, cancelled and resolved."""

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
from daemon.core.series import SeriesKey, as_text, parse_time
from daemon.store.history import SqlStore
from tests.servers.forewarn import RunningForewarn
from tests.servers.processes import free_port, require_programs, wait_until

DOCUMENT = Path(__file__).parents[2] / "docs" / "scenarios.md"
START = "2026-01-12T08:00:00Z"
# a grid time in a quarter of a second
SPEED = 1200
MEMORY, CRITICAL = "mem_used_pct", 95
METRICS = (MEMORY, "cpu_busy_pct", "tcp_close_wait")
LEAKING = "web-02"


def configure(folder: Path) -> Path:
    """Write a configuration of a database and four web servers with three days of history, without trainings."""
    path = folder / "config.yaml"
    document = yaml.safe_load(default_text())
    servers = dict.fromkeys(document["sources"][0]["servers"], 0) | {"database": 1, "web_api": 4}
    document |= {
        "data_dir": "data",
        "sources": [{"name": "fleet", "type": "simulator", "servers": servers, "backfill_hours": 72}],
        "metrics": {MEMORY: document["metrics"][MEMORY]} | {name: {"unit": "1", "minimum": 0} for name in METRICS[1:]},
        "schedule": {"delay_seconds": 0},
        "clock": {"start": START, "speed": SPEED},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "logging": {"format": "json"},
        "training": {"triggers": [], "schedule": None},
        "verification": {"fallback": False},
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningForewarn]:
    path = configure(tmp_path_factory.mktemp("scenarios"))
    with RunningForewarn(path) as running:
        # without the simulator's own incidents, only those of the tests are seen
        post(running, kind="healthy")
        yield running


def post(service: RunningForewarn, **document: Any) -> Any:
    answer = service.post("/api/v1/scenarios", document)
    assert answer.status == 201, answer.text
    return answer.json()


def changes(service: RunningForewarn, event: str, **labels: str) -> list[int]:
    """Return the grid times at which alerts of these labels fired or resolved."""
    return [parse_time(line["at"]) for line in service.events(event) if labels.items() <= line.items()]


def breaches(service: RunningForewarn, since: str) -> list[int]:
    """Return the grid times after ``since`` at which the store has the leaking server's memory past critical."""
    store = SqlStore(load_config(service.config).store_url)
    try:
        panel = store.read(parse_time(since), parse_time(service.get("/api/v1/status").json()["at"]))
    finally:
        store.close()
    values = panel.values[panel.keys.index(SeriesKey(LEAKING, MEMORY))]
    return [int(time) for time in panel.timestamps[np.nan_to_num(values) >= CRITICAL]]


def test_a_leak_is_predicted_and_resolves_after_it_is_cancelled(service: RunningForewarn) -> None:
    """The alert fires before memory reaches its threshold, also across a reload; it resolves soon after the end."""
    alert = {"name": "PredictedBreach", "server": LEAKING, "metric": MEMORY, "severity": "critical"}
    posted = post(service, kind="memory_leak", servers=[LEAKING], ramp_minutes=480)
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: bool(service.events("config_reloaded")), 20, "reload")
    wait_until(lambda: bool(changes(service, "alert_fired", **alert)), 60, "the alert")
    wait_until(lambda: bool(breaches(service, posted["start"])), 60, "the breach")
    (fired,), breach = changes(service, "alert_fired", **alert), breaches(service, posted["start"])[0]
    lead = (breach - fired) // 60
    print(f"\nposted {posted['posted']}, fired {as_text(fired)}, breach {as_text(breach)}: {lead} min ahead")
    assert parse_time(posted["start"]) < fired <= breach - 1800
    assert not changes(service, "alert_resolved", **alert)

    ended = service.delete(f"/api/v1/scenarios/{posted['id']}")
    assert (ended.status, ended.json()["state"]) == (200, "recovering")
    wait_until(lambda: bool(changes(service, "alert_resolved", **alert)), 30, "the end of the alert")
    until, resolved = parse_time(ended.json()["until"]), changes(service, "alert_resolved", **alert)[0]
    print(f"cancelled {as_text(until)}, resolved {as_text(resolved)}")
    assert breaches(service, posted["start"])[-1] < until + 1200 < resolved <= until + 3 * 3600
    assert {line["server"] for line in service.events("alert_fired")} == {LEAKING}
    assert not service.events("tick_failed")


def test_a_cascade_fires_a_group_alert_and_survives_a_kill(service: RunningForewarn) -> None:
    """It continues after a restart; many web servers have one group alert, which resolves after the cascade."""
    group = {"name": "FleetPredictedBreach", "metric": MEMORY, "profile": "web_api"}
    posted = post(service, kind="cascade", ramp_minutes=240)
    service.kill()
    service.start()
    listed = service.get("/api/v1/scenarios").json()["items"]
    assert [item["id"] for item in listed if item["state"] in ("waiting", "active")] == [posted["id"], "healthy-1"]
    wait_until(lambda: bool(changes(service, "alert_fired", **group)), 60, "the group alert")
    since = parse_time(posted["start"])
    singles = [at for at in changes(service, "alert_fired", name="PredictedBreach", metric=MEMORY) if at >= since]
    fired = changes(service, "alert_fired", **group)[0]
    print(f"\nposted {posted['posted']}, first alert {as_text(singles[0])}, the group alert {as_text(fired)}")
    assert since < singles[0] <= fired
    named = [each["annotations"].get("servers", "") for each in service.get("/api/v1/alerts").json()["items"]]
    assert max(text.count("web-") for text in named) >= 3
    assert service.delete(f"/api/v1/scenarios/{posted['id']}").status == 200
    wait_until(lambda: bool(changes(service, "alert_resolved", **group)), 60, "the end of the group alert")
    assert not service.events("tick_failed")


def test_the_documented_commands_do_what_they_say(service: RunningForewarn) -> None:
    """Every curl command of the document succeeds."""
    require_programs("curl")
    commands = re.findall(r"^curl .+$", DOCUMENT.read_text(), re.MULTILINE)
    answers = []
    for command in commands:
        # the ids in the document are those of a service without earlier scenarios
        leak = next((answer["id"] for answer in answers if "id" in answer), "")
        here = command.replace("localhost:9855", service.url.removeprefix("http://")).replace("memory_leak-1", leak)
        words = [*shlex.split(here, comments=True), "--silent", "--show-error", "--fail-with-body"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        answers.append(json.loads(done.stdout))
    kinds = [answer["kind"] for answer in answers if "kind" in answer]
    assert kinds == ["memory_leak", "traffic_surge", "cascade", "healthy", "memory_leak"]
    assert answers[-1]["cancelled"]
