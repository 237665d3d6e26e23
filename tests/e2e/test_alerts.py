"""Early warning end to end: a service, two real Alertmanagers, and a webhook receiver behind each."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from daemon.core.series import as_text, parse_time
from tests.servers.alertmanager import RunningAlertmanager
from tests.servers.forewarn import RunningForewarn
from tests.servers.processes import free_port, wait_until
from tests.servers.webhook import WebhookReceiver

# a grid time in half a second; on a loaded machine some are skipped, and the service is not ready all the time
SPEED = 600
TICK_SECONDS = 300 / SPEED
START = 1_767_225_600  # 2026-01-01T00:00:00Z
DAYS = 12
BREACH = slice(144, 168)
"""The steps of every day, noon to two o'clock, in which db-1 is past its threshold."""


def recording(path: Path) -> Path:
    """Write the metrics of a server that is overloaded every noon, and of one that is not."""
    steps = np.arange(DAYS * 288)
    noise = np.random.default_rng(0).normal(0, 1, (2, len(steps)))
    busy = np.full((2, len(steps)), 40.0) + noise
    in_breach = (steps % 288 >= BREACH.start) & (steps % 288 < BREACH.stop)
    busy[0, in_breach] += 52
    times = pd.to_datetime(START + steps * 300, unit="s", utc=True)
    frames = [
        pd.DataFrame({"timestamp": times, "server": server, "disk_busy_pct": busy[row]})
        for row, server in enumerate(("db-1", "db-2"))
    ]
    pd.concat(frames).to_parquet(path, index=False)
    return path


def configuration(folder: Path, alertmanagers: list[str], begin: int) -> Path:
    """Write the configuration of a service on that recording."""
    path = folder / "config.yaml"
    document = {
        "data_dir": "data",
        "sources": [{"name": "recording", "type": "replay", "path": str(recording(folder / "metrics.parquet"))}],
        "metrics": {
            "disk_busy_pct": {
                "display_name": "Disk busy",
                "unit": "%",
                "minimum": 0,
                "maximum": 100,
                "critical": 85,
                "hint": "what reads and writes",
            }
        },
        "profiles": [{"pattern": "^db", "profile": "database"}],
        "schedule": {"delay_seconds": 0},
        "clock": {"start": as_text(begin), "speed": SPEED},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "alerting": {
            "alertmanagers": [{"name": f"am-{i}", "url": url} for i, url in enumerate(alertmanagers)],
            "external_url": "http://forewarn.example",
        },
        "logging": {"format": "json"},
        "training": {"schedule": None, "triggers": []},
    }
    path.write_text(yaml.safe_dump(document))
    return path


def routing(receiver: WebhookReceiver) -> str:
    """Return an Alertmanager configuration that sends everything to ``receiver`` at once."""
    return yaml.safe_dump(
        {
            "route": {
                "receiver": "webhook",
                "group_by": ["..."],
                "group_wait": "100ms",
                "group_interval": "300ms",
                "repeat_interval": "4h",
            },
            "receivers": [{"name": "webhook", "webhook_configs": [{"url": receiver.url, "send_resolved": True}]}],
        }
    )


@pytest.fixture
def receivers() -> Iterator[tuple[WebhookReceiver, WebhookReceiver]]:
    """Two webhook receivers, one for each Alertmanager."""
    with WebhookReceiver() as first, WebhookReceiver() as second:
        yield first, second


def received(receiver: WebhookReceiver) -> list[tuple[str, str, str]]:
    """Return what ``receiver`` got: name of the alert, server, and whether it fires."""
    return [
        (alert["labels"]["alertname"], alert["labels"].get("server", ""), alert["status"])
        for notification in receiver.notifications()
        for alert in notification["alerts"]
    ]


def grid_time(service: RunningForewarn) -> int:
    """Return the service's newest tick; 0 before the first."""
    at = service.get("/api/v1/status").json().get("at")
    return parse_time(at) if at else 0


def until(service: RunningForewarn, at: int) -> None:
    """Wait until the service has completed the tick ``at``."""
    wait_until(lambda: grid_time(service) >= at, 120, f"tick {as_text(at)}")


def test_an_alert_goes_out_survives_everything_and_resolves_once(
    tmp_path: Path, receivers: tuple[WebhookReceiver, WebhookReceiver]
) -> None:
    """It fires once, hours before noon, survives a kill and an outage of an hour, and resolves once after two."""
    noon = START + (DAYS - 2) * 86_400 + BREACH.start * 300
    managers = [RunningAlertmanager(tmp_path / f"am-{i}", routing(each)) for i, each in enumerate(receivers)]
    with managers[0], managers[1]:
        config = configuration(tmp_path, [manager.url for manager in managers], noon - 7 * 3600)
        with RunningForewarn(config, ready=False) as service:
            expected = [("PredictedBreach", "db-1", "firing")]
            wait_until(lambda: [received(each) for each in receivers] == [expected, expected], 30, "the alert at both")
            assert grid_time(service) < noon - 4 * 3600
            alert = receivers[0].notifications()[0]["alerts"][0]
            assert_is_complete(alert)

            service.kill()
            service.start()
            until(service, noon - 3 * 3600)
            managers[0].stop()
            until(service, noon - 2 * 3600)
            assert queued(service) == 0  # it still fires, so nothing has changed
            managers[0].start()

            until(service, noon + 3600)
            (still,) = service.get("/api/v1/alerts").json()["items"]
            assert (still["state"], still["server"], still["severity"]) == ("firing", "db-1", "critical")
            summary = still["annotations"]["summary"]
            assert summary.startswith("db-1: Disk busy has reached the critical threshold of 85 % (predicted ")
            assert still["annotations"]["severity"] == "critical"

            managers[1].stop()
            until(service, noon + 5 * 3600)
            assert service.get("/api/v1/alerts").json()["items"] == []
            assert queued(service) == 1  # am-1 has not received yet that it resolved
            managers[1].start()
            wait_until(lambda: queued(service) == 0, 30, "the queue is empty")
            figures = service.get("/api/v1/alerts/history").json()["figures"]
            assert (figures["hits"], figures["false"], figures["missed"]) == (1, 0, 0)
            assert 4 * 3600 < figures["median_lead_seconds"] < 7 * 3600
            text = service.get("/metrics").text
            assert "forewarn_alert_precision_ratio 1.0" in text
            assert 'forewarn_alert_lead_time_seconds_bucket{le="28800.0"} 1.0' in text
            assert [event["server"] for event in service.events("alert_fired")] == ["db-1"]
            assert [event["server"] for event in service.events("alert_resolved")] == ["db-1"]
            both = [*expected, ("PredictedBreach", "db-1", "resolved")]
            wait_until(lambda: [received(each) for each in receivers] == [both, both], 30, "both changes at both")


def queued(service: RunningForewarn) -> float:
    """Return the number of notifications queued on disk."""
    lines = service.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("forewarn_notifications_queued{"))


def assert_is_complete(alert: dict[str, Any]) -> None:
    """Check that the labels are the identity, and that the annotations have the facts and what to check."""
    assert alert["labels"] == {
        "alertname": "PredictedBreach",
        "server": "db-1",
        "metric": "disk_busy_pct",
        "severity": "critical",
        "profile": "database",
    }
    annotations = alert["annotations"]
    assert annotations["summary"].startswith("db-1: Disk busy will probably reach 85 % (critical) ")
    assert annotations["description"].endswith("Check what reads and writes.")
    assert annotations["precision"] == "No track record on this fleet yet (target 80 %)."
    assert annotations["link"].startswith("http://forewarn.example/api/v1/forecasts?server=db-1")
    assert 0.5 < float(annotations["probability"]) <= 1
    assert {"interval", "predicted", "value", "precision", "model", "expected_at"} <= set(annotations)
    starts, ends = (datetime.fromisoformat(alert[key]) for key in ("startsAt", "endsAt"))
    assert abs(starts.timestamp() - time.time()) < 120
    assert ends.year in (1, starts.year)
