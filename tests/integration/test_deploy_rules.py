"""The shipped Prometheus rules, in promtool and in a real Prometheus with a real Alertmanager."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.alertmanager import RunningAlertmanager
from tests.servers.processes import Process, answers, free_port, require_programs, wait_until
from tests.servers.prometheus import RunningPrometheus

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "rules" / "forewarn.rules.yml"
ALL_RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))

EXPOSED = """\
forewarn_forecast_age_seconds 20
forewarn_source_up{source="prometheus"} 1
forewarn_alert_cut{metric="cpu_busy_pct",severity="critical"} 0.6
forewarn_breach_probability{server="web-1",metric="cpu_busy_pct",severity="critical"} 0.7
forewarn_breach_probability{server="127.0.0.1",metric="cpu_busy_pct",severity="critical"} 0.9
forewarn_breach_probability{server="db-1",metric="cpu_busy_pct",severity="critical"} 0.5
"""

# A user's own rule, with the one label that the shipped Alertmanager configuration asks for. Its instance is an
# address and a port; that the server of the same name is meant is for alert_relabel_configs to find out.
OWN_RULE = """\
groups:
  - name: own
    interval: 1s
    rules:
      - alert: CpuBusy
        expr: up == 1
        labels: {severity: critical, metric: cpu_busy_pct}
"""


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return its output; fail with the output if its status is not 0."""
    require_programs("promtool")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shipped_rules() -> list[dict[str, Any]]:
    """Return all rules of the shipped files."""
    groups = [group for file in ALL_RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def test_promtool_accepts_the_rules() -> None:
    """``promtool check rules`` accepts the rules, lint included, and finds every rule."""
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", *ALL_RULES)
    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules found", said))) == len(shipped_rules())


def test_promtool_accepts_the_configuration() -> None:
    """``promtool check config`` accepts the sample configuration and finds its rule files."""
    assert "SUCCESS: 2 rule files found" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_promtool_unit_tests(file: Path) -> None:
    """``promtool test rules`` passes."""
    assert "SUCCESS" in promtool("test", "rules", file)


def test_every_alert_has_a_unit_test() -> None:
    """Each alert has a unit test that expects its labels and its text."""
    alerts = {rule["alert"] for rule in shipped_rules() if "alert" in rule}
    documents = [yaml.safe_load(file.read_text()) for file in UNIT_TESTS]
    cases = [case for document in documents for test in document["tests"] for case in test.get("alert_rule_test", ())]
    assert alerts == {case["alertname"] for case in cases if case["exp_alerts"]}


def test_every_alert_on_forewarn_itself_has_an_entry_in_the_runbook() -> None:
    """The runbook has one entry for each alert, and none for another name."""
    own = {rule["alert"]: rule["annotations"]["runbook"] for rule in shipped_rules() if "runbook" in str(rule)}
    assert own == {name: f"docs/runbook.md#{name.lower()}" for name in own}
    assert list(own) == re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)


@pytest.fixture
def exposed(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose /metrics shows EXPOSED."""
    folder, address = tmp_path / "exposed", f"127.0.0.1:{free_port()}"
    folder.mkdir()
    (folder / "metrics").write_text(EXPOSED)
    host, port = address.split(":")
    command = [sys.executable, "-m", "http.server", port, "--bind", host, "--directory", str(folder)]
    process = Process(command, tmp_path / "exposed.log")
    process.start(lambda: answers(f"http://{address}/metrics"))
    yield address
    process.stop()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[RunningAlertmanager]:
    """Alertmanager with the shipped configuration."""
    config = DEPLOY / "alertmanager" / "alertmanager.yml"
    with RunningAlertmanager(tmp_path / "alertmanager", config) as server:
        yield server


@pytest.fixture
def prometheus(tmp_path: Path, exposed: str, alertmanager: RunningAlertmanager) -> Iterator[RunningPrometheus]:
    """Prometheus with the shipped rules at sixty times the speed, and the shipped Alertmanager section."""
    require_programs("prometheus")
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.yml").write_text(OWN_RULE)
    (rules / RULES.name).write_text(RULES.read_text().replace("interval: 1m", "interval: 1s").replace("10m", "10s"))
    alerting = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["alerting"]
    alerting["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{alertmanager.port}"]
    extra = yaml.safe_dump({"rule_files": [f"{rules}/*.yml"], "alerting": alerting})
    with RunningPrometheus(
        folder=tmp_path / "prometheus", targets={"forewarn": [exposed]}, extra_config=extra
    ) as server:
        yield server


def test_from_exposed_series_to_alertmanager(prometheus: RunningPrometheus, alertmanager: RunningAlertmanager) -> None:
    """A real Prometheus sends the alerts of the series to Alertmanager; a real alert inhibits its prediction."""
    wait_until(lambda: states(alertmanager).count("suppressed") == 1, 60, "an inhibited alert in Alertmanager")
    wait_until(lambda: len(states(alertmanager)) == 3, 60, "two predictions and a real alert in Alertmanager")
    assert rule_health(prometheus) == {"ok"}
    found = {(alert["labels"]["alertname"], alert["labels"]["server"]): alert for alert in alertmanager.alerts()}
    assert set(found) == {
        ("PredictedBreach", "web-1"),
        ("PredictedBreach", "127.0.0.1"),
        ("CpuBusy", "127.0.0.1"),
    }
    alone = found["PredictedBreach", "web-1"]
    assert set(alone["labels"]) == {"alertname", "server", "metric", "severity"}
    text = "web-1: cpu_busy_pct will probably reach the critical threshold within 8 hours (probability 70%)."
    assert alone["annotations"]["summary"] == text
    assert alone["status"]["state"] != "suppressed"
    assert [receiver["name"] for receiver in alone["receivers"]] == ["predictions"]
    real = found["CpuBusy", "127.0.0.1"]
    assert found["PredictedBreach", "127.0.0.1"]["status"]["inhibitedBy"] == [real["fingerprint"]]


def states(alertmanager: RunningAlertmanager) -> list[str]:
    """Return the state of each alert in Alertmanager."""
    return [alert["status"]["state"] for alert in alertmanager.alerts()]


def rule_health(prometheus: RunningPrometheus) -> set[str]:
    """Return the states of health of all rules."""
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/rules", timeout=10) as response:
        groups: list[dict[str, Any]] = json.load(response)["data"]["groups"]
    return {rule["health"] for group in groups for rule in group["rules"]}
