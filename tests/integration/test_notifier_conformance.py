"""What every notifier has in common, the fake included."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from daemon.alerting.alertmanager import AlertmanagerNotifier
from daemon.alerting.state import Notification, Notifier
from daemon.config.alerting import AlertmanagerConfig
from daemon.core.errors import NotificationRejected, NotifierUnavailable
from tests.fakes.notifier import FakeNotifier
from tests.servers.alertmanager import RunningAlertmanager
from tests.servers.processes import wait_until

REFUSED = "refused"
SILENT = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@dataclass(frozen=True)
class Rig:
    """A notifier and its target.

    Attributes:
        make: returns one more notifier to the same target.
        alerts: the firing alerts of the target by server.
        fail: make the target unreachable.
        recover: make it reachable again, as it was or without any alert.
        refused: an alert that the target rejects for what is in it.
    """

    make: Callable[[], Notifier]
    alerts: Callable[[], Mapping[str, Notification]]
    fail: Callable[[], None]
    recover: Callable[[], None]
    refused: Notification


def alert(server: str = "web-1", seconds_left: float = 900) -> Notification:
    """Return an alert that fired an hour ago and ends ``seconds_left`` from now."""
    now = round(time.time(), 3)
    return Notification(
        labels={"alertname": "PredictedBreach", "server": server, "severity": "critical"},
        annotations={"summary": f"{server}: CPU über 95 %", "probability": "0.83"},
        starts_at=now - 3600,
        ends_at=now + seconds_left,
        generator_url="http://forewarn.example/",
    )


def fake_rig() -> Rig:
    """Return the fake; its alerts are computed from all that it was sent, as Alertmanager does."""
    notifier = FakeNotifier("main")
    notifier.rejects = frozenset({REFUSED})

    def alerts() -> Mapping[str, Notification]:
        newest = {each.labels["server"]: each for batch in notifier.accepted for each in batch}
        return {server: each for server, each in newest.items() if each.ends_at > time.time()}

    def down(whether: bool) -> None:
        notifier.down = whether

    return Rig(lambda: notifier, alerts, lambda: down(True), lambda: down(False), alert(REFUSED))


def alertmanager_rig(server: RunningAlertmanager) -> Rig:
    """Return the adapter to a real Alertmanager."""

    def alerts() -> Mapping[str, Notification]:
        return {
            found["labels"]["server"]: Notification(
                labels=found["labels"],
                annotations=found["annotations"],
                starts_at=datetime.fromisoformat(found["startsAt"]).timestamp(),
                ends_at=datetime.fromisoformat(found["endsAt"]).timestamp(),
                generator_url=found["generatorURL"],
            )
            for found in server.alerts()
        }

    return Rig(
        lambda: AlertmanagerNotifier(AlertmanagerConfig.model_validate({"name": "main", "url": server.url})),
        alerts,
        server.stop,
        server.start,
        replace(alert(REFUSED), labels={"alertname": "x", "server": REFUSED, "a b": "c"}),
    )


@pytest.fixture(params=["fake", "alertmanager"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Return each kind."""
    if request.param == "fake":
        yield fake_rig()
        return
    with RunningAlertmanager(tmp_path / "alertmanager", SILENT) as server:
        yield alertmanager_rig(server)


@pytest.fixture
def notifier(rig: Rig) -> Iterator[Notifier]:
    """Return the notifier, closed at the end."""
    made = rig.make()
    yield made
    made.close()


def test_the_name_is_the_configured_one(rig: Rig, notifier: Notifier) -> None:
    """The name does not change, whatever the notifier sends."""
    assert notifier.name == "main"
    notifier.send([alert()])
    assert (notifier.name, rig.make().name) == ("main", "main")


def test_an_alert_arrives_as_it_was_sent(rig: Rig, notifier: Notifier) -> None:
    """Labels, annotations, link and both times, to the millisecond, are at the target when ``send`` returns."""
    sent = alert()
    notifier.send([sent])
    found = rig.alerts()
    assert list(found) == ["web-1"]
    received = found["web-1"]
    assert (received.labels, received.annotations) == (sent.labels, sent.annotations)
    assert received.generator_url == sent.generator_url
    assert received.starts_at == pytest.approx(sent.starts_at, abs=0.0015)
    assert received.ends_at == pytest.approx(sent.ends_at, abs=0.0015)


def test_all_alerts_of_a_large_batch_arrive(rig: Rig, notifier: Notifier) -> None:
    """A batch of 500 alerts is taken as one."""
    servers = {f"web-{number}" for number in range(500)}
    notifier.send([alert(server) for server in sorted(servers)])
    assert set(rig.alerts()) == servers


def test_an_empty_batch_changes_nothing(rig: Rig, notifier: Notifier) -> None:
    """A notifier accepts a batch without alerts."""
    notifier.send([alert()])
    notifier.send([])
    assert set(rig.alerts()) == {"web-1"}


def test_the_same_alert_sent_again_is_the_same_alert(rig: Rig, notifier: Notifier) -> None:
    """The labels identify the alert; its end moves, and a second notifier to the target changes nothing of this."""
    first = alert()
    notifier.send([first])
    again = replace(first, ends_at=first.ends_at + 300)
    rig.make().send([again])
    found = rig.alerts()
    assert list(found) == ["web-1"]
    assert found["web-1"].ends_at == pytest.approx(again.ends_at, abs=0.0015)


def test_an_end_in_the_past_resolves_the_alert(rig: Rig, notifier: Notifier) -> None:
    """The resolved alert is gone and the other one fires on; a second resolution is harmless."""
    first, other = alert(), alert("web-2")
    notifier.send([first, other])
    ended = replace(first, ends_at=time.time() - 1)
    for _ in range(2):
        notifier.send([ended])
        assert set(rig.alerts()) == {"web-2"}


def test_an_alert_that_is_not_sent_again_ends_by_itself(rig: Rig, notifier: Notifier) -> None:
    """The target resolves an alert at its end if nothing more arrives."""
    notifier.send([alert(seconds_left=1)])
    wait_until(lambda: rig.alerts() == {}, 30, "the end of the alert")


def test_a_refused_alert_is_a_rejection_each_time(rig: Rig, notifier: Notifier) -> None:
    """The error has the name of the notifier; a good alert alone is taken afterwards."""
    for _ in range(2):
        with pytest.raises(NotificationRejected, match="main: "):
            notifier.send([rig.refused, alert("web-2")])
    notifier.send([alert()])
    assert "web-1" in rig.alerts()
    assert REFUSED not in rig.alerts()


def test_an_outage_is_reported_and_the_same_notifier_goes_on_afterwards(rig: Rig, notifier: Notifier) -> None:
    """While the target is down the documented error names the notifier; what is sent later arrives."""
    rig.fail()
    with pytest.raises(NotifierUnavailable, match="main: "):
        notifier.send([alert()])
    rig.recover()
    assert rig.alerts() == {}
    notifier.send([alert("web-2")])
    assert set(rig.alerts()) == {"web-2"}


def test_nothing_is_sent_after_the_close(rig: Rig, notifier: Notifier) -> None:
    """A second close is harmless; a closed notifier refuses as in an outage, and the alerts at the target stay."""
    notifier.send([alert()])
    notifier.close()
    notifier.close()
    with pytest.raises(NotifierUnavailable, match="main: "):
        notifier.send([alert("web-2")])
    assert set(rig.alerts()) == {"web-1"}
