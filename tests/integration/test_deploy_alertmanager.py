"""The shipped Alertmanager configuration: the routes of alerts, and which alert inhibits which."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.alertmanager import RunningAlertmanager
from tests.servers.processes import require_programs, wait_until
from tests.servers.webhook import WebhookReceiver

CONFIG = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
PLACEHOLDER = "http://127.0.0.1:9095/"

Labels = dict[str, str]


def predicted(server: str, severity: str, **changes: str) -> Labels:
    """Return the labels of a prediction as forewarn sends it."""
    labels = {"alertname": "PredictedBreach", "server": server, "metric": "cpu_busy_pct", "severity": severity}
    return labels | {"profile": "web_api"} | changes


def from_rules(labels: Labels) -> Labels:
    """Return ``labels`` as the rules in Prometheus send them, without a profile."""
    return {name: value for name, value in labels.items() if name != "profile"}


def fleet(severity: str, **changes: str) -> Labels:
    """Return the labels of a group alert as forewarn sends it."""
    labels = {"alertname": "FleetPredictedBreach", "metric": "cpu_busy_pct", "severity": severity}
    return labels | {"profile": "web_api"} | changes


def real(name: str, server: str, **labels: str) -> Labels:
    """Return the labels of an alert from a rule of the user."""
    return {"alertname": name, "server": server} | labels


def uninhibited(alertmanager: RunningAlertmanager) -> list[list[tuple[str, str]]]:
    """Return the labels of the alerts that nothing inhibits, sorted."""
    alerts = [alert for alert in alertmanager.alerts() if not alert["status"]["inhibitedBy"]]
    return ordered([alert["labels"] for alert in alerts])


def ordered(alerts: list[Labels]) -> list[list[tuple[str, str]]]:
    """Return ``alerts`` so that two lists of the same alerts are equal."""
    return sorted(sorted(labels.items()) for labels in alerts)


def assert_notified(alertmanager: RunningAlertmanager, alerts: list[Labels], notified: list[Labels]) -> None:
    """Send ``alerts`` and check that ``notified`` are those that nothing inhibits."""
    alertmanager.post([{"labels": labels} for labels in alerts])
    wait_until(lambda: len(alertmanager.alerts()) == len(alerts), 10, "the alerts in Alertmanager")
    # Alertmanager computes inhibitions a moment later
    with suppress(TimeoutError):
        wait_until(lambda: uninhibited(alertmanager) == ordered(notified), 2, "the inhibitions")
    assert uninhibited(alertmanager) == ordered(notified)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[RunningAlertmanager]:
    """Alertmanager with the unchanged shipped configuration, without a server at its webhooks."""
    with RunningAlertmanager(tmp_path / "alertmanager", CONFIG) as server:
        yield server


def test_amtool_accepts_the_configuration() -> None:
    """``amtool check-config`` has no complaint."""
    require_programs("amtool")
    done = subprocess.run(["amtool", "check-config", CONFIG], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 receivers" in done.stdout


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (predicted("web-1", "critical"), "predictions"),
        (predicted("web-1", "warning"), "predictions"),
        (from_rules(predicted("web-1", "warning")), "predictions"),
        (predicted("web-1", "info"), "low-priority"),
        (fleet("critical"), "predictions"),
        (fleet("info"), "low-priority"),
        (real("ServerDataMissing", "web-1", severity="warning"), "alerts"),
        (real("InstanceDown", "web-1", severity="critical"), "alerts"),
        (real("DiskFull", "web-1", severity="critical", metric="disk_used_pct"), "alerts"),
        (real("BackupDone", "web-1", severity="info"), "alerts"),
    ],
)
def test_predictions_go_to_receivers_of_their_own(labels: Labels, receiver: str) -> None:
    """``amtool config routes test`` names the receiver for what forewarn sends and for what others send."""
    require_programs("amtool")
    command = ["amtool", "config", "routes", "test", f"--config.file={CONFIG}"]
    command += [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, receiver), done.stderr


# The alerts sent, and how many of them, from the first on, are notified; the rest is inhibited.
INHIBITIONS: dict[str, tuple[list[Labels], int]] = {
    "a real critical silences both predictions of its metric on its server": (
        [
            real("CpuBusy", "web-1", metric="cpu_busy_pct", severity="critical"),
            predicted("web-2", "critical"),
            predicted("web-1", "critical", metric="disk_used_pct"),
            predicted("web-1", "critical"),
            predicted("web-1", "warning"),
        ],
        3,
    ),
    "so does one of a severity that forewarn does not know, and the predictions from rules": (
        [
            real("CpuBusy", "web-1", metric="cpu_busy_pct", severity="page"),
            from_rules(predicted("web-1", "critical")),
        ],
        1,
    ),
    "a real warning leaves the prediction that worse is to come": (
        [
            real("CpuBusy", "web-1", metric="cpu_busy_pct", severity="warning"),
            predicted("web-1", "critical"),
            predicted("web-1", "warning"),
            predicted("web-1", "info"),
        ],
        2,
    ),
    "a real warning silences the prediction of a warning, on its server and of its metric": (
        [
            real("CpuBusy", "web-1", metric="cpu_busy_pct", severity="warning"),
            real("CpuBusyAtNight", "web-1", metric="cpu_busy_pct", severity="info"),
            predicted("web-2", "warning"),
            predicted("web-1", "warning", metric="mem_used_pct"),
            predicted("web-1", "warning"),
        ],
        4,
    ),
    "a real alert that names no metric, or is information only, silences nothing": (
        [
            real("CpuBusy", "web-1", severity="critical"),
            real("CpuBusy", "web-1", metric="cpu_busy_pct", severity="info"),
            predicted("web-1", "warning"),
        ],
        3,
    ),
    "a server that is down silences all of it, and nothing of others": (
        [
            real("HostDown", "web-1", severity="critical"),
            real("InstanceDown", "web-1", severity="critical", job="node"),
            predicted("web-2", "critical"),
            fleet("critical", profile="database"),
            real("ServerDataMissing", "web-1", severity="warning"),
            predicted("web-1", "critical"),
            predicted("web-1", "warning", metric="mem_used_pct"),
            real("DiskFull", "web-1", severity="critical"),
        ],
        4,
    ),
    "an alert without a server silences none": (
        [{"alertname": "InstanceDown", "severity": "critical"}, fleet("warning"), predicted("web-1", "critical")],
        3,
    ),
    "missing data silences the server's predictions, not its real alerts": (
        [
            real("ServerDataMissing", "web-1", severity="warning"),
            real("DiskFull", "web-1", severity="critical"),
            predicted("web-2", "critical"),
            predicted("web-1", "critical"),
            predicted("web-1", "info", metric="mem_used_pct"),
        ],
        3,
    ),
    "a predicted critical silences the predicted warning on the way there": (
        [
            predicted("web-1", "critical"),
            predicted("web-1", "warning", metric="mem_used_pct"),
            predicted("web-2", "warning"),
            predicted("web-2", "info"),
            predicted("web-1", "warning"),
        ],
        4,
    ),
    "a fleet's alert silences the single ones of its profile, metric and severity": (
        [
            fleet("warning"),
            predicted("web-2", "critical"),
            predicted("db-1", "warning", profile="database"),
            predicted("web-1", "warning", metric="mem_used_pct"),
            predicted("web-1", "warning"),
        ],
        4,
    ),
    "so does the fleet's alert from rules": ([from_rules(fleet("warning")), from_rules(predicted("w", "warning"))], 1),
}


@pytest.mark.parametrize("case", INHIBITIONS)
def test_inhibition(case: str, alertmanager: RunningAlertmanager) -> None:
    """A real Alertmanager inhibits exactly the expected alerts."""
    alerts, expected = INHIBITIONS[case]
    assert_notified(alertmanager, alerts, alerts[:expected])


def test_a_prediction_returns_when_the_real_alert_ends(alertmanager: RunningAlertmanager) -> None:
    """An inhibited prediction is notified again as soon as the inhibiting alert ends."""
    prediction, down = predicted("web-1", "critical"), real("InstanceDown", "web-1", severity="critical")
    assert_notified(alertmanager, [prediction, down], [down])
    alertmanager.post([{"labels": down, "endsAt": "2026-01-01T00:00:00Z"}])
    wait_until(lambda: uninhibited(alertmanager) == ordered([prediction]), 10, "the notification of the prediction")


def test_one_message_for_a_metric_of_a_profile(tmp_path: Path) -> None:
    """Two servers of a profile are one message to the receiver of predictions; a real alert goes to the other."""
    with WebhookReceiver() as webhook:
        config = CONFIG.read_text().replace(PLACEHOLDER, webhook.url).replace("group_wait: 1m", "group_wait: 2s")
        config = config.replace("group_wait: 30s", "group_wait: 2s")
        sent = [
            predicted("web-1", "critical"),
            predicted("web-2", "warning"),
            predicted("web-3", "critical", profile="database"),
            predicted("web-4", "warning", metric="mem_used_pct"),
            predicted("web-5", "info"),
            real("DiskFull", "web-1", severity="critical"),
        ]
        with RunningAlertmanager(tmp_path / "alertmanager", config) as alertmanager:
            alertmanager.post([{"labels": labels} for labels in sent])
            wait_until(lambda: len(webhook.notifications()) == 5, 20, "five messages")
        assert sorted(map(summary, webhook.notifications())) == [
            ("alerts", ["web-1"]),
            ("low-priority", ["web-5"]),
            ("predictions", ["web-1", "web-2"]),
            ("predictions", ["web-3"]),
            ("predictions", ["web-4"]),
        ]


def summary(notification: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the receiver of a message and the servers in it."""
    return notification["receiver"], sorted(alert["labels"]["server"] for alert in notification["alerts"])
