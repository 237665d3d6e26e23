"""Delivery of alerts to a real Alertmanager."""

import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.alerting.alertmanager import AlertmanagerNotifier
from daemon.alerting.state import Notification
from daemon.config.alerting import AlertmanagerConfig
from daemon.core.errors import NotificationRejected, NotifierUnavailable
from tests.servers.alertmanager import RunningAlertmanager
from tests.servers.certificates import make_certificates
from tests.servers.processes import wait_until
from tests.servers.webhook import WebhookReceiver

CONFIG = """
route: {{receiver: webhook, group_wait: 100ms, group_interval: 1s, group_by: [alertname, server]}}
receivers:
  - name: webhook
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    """What Alertmanager notifies."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def alertmanager(tmp_path: Path, webhook: WebhookReceiver) -> Iterator[RunningAlertmanager]:
    """Alertmanager that sends everything to the webhook within a second."""
    with RunningAlertmanager(tmp_path / "alertmanager", CONFIG.format(url=webhook.url)) as server:
        yield server


def notifier_for(url: str, **changes: Any) -> AlertmanagerNotifier:
    """Return a notifier towards ``url``."""
    return AlertmanagerNotifier(AlertmanagerConfig.model_validate({"name": "main", "url": url} | changes))


def alert(server: str = "web-1") -> Notification:
    """Return an alert that fired a minute ago and holds for fifteen more."""
    now = round(time.time(), 3)
    labels = {"alertname": "PredictedBreach", "server": server, "metric": "cpu_busy_pct", "severity": "critical"}
    texts = {"summary": "web-1: CPU über 95 % by 04:10 (probability 83 %)", "probability": "0.83"}
    return Notification(
        labels=labels,
        annotations=texts,
        starts_at=now - 60,
        ends_at=now + 900,
        generator_url=f"http://forewarn.example/?server={server}",
    )


def epoch(text: str) -> float:
    """Return a time of the API in epoch seconds."""
    return datetime.fromisoformat(text).timestamp()


def received(webhook: WebhookReceiver, status: str) -> list[dict[str, Any]]:
    """Return the alerts with ``status`` that the webhook received."""
    return [one for each in webhook.notifications() for one in each["alerts"] if one["status"] == status]


def test_an_alert_stands_in_alertmanager_as_it_was_sent(alertmanager: RunningAlertmanager) -> None:
    """Labels, annotations, both times to the millisecond, and the link."""
    sent = alert()
    notifier_for(alertmanager.url).send([sent])
    (found,) = alertmanager.alerts()
    assert found["labels"] == sent.labels
    assert found["annotations"] == sent.annotations
    assert found["generatorURL"] == sent.generator_url
    assert epoch(found["startsAt"]) == pytest.approx(sent.starts_at, abs=0.0015)
    assert epoch(found["endsAt"]) == pytest.approx(sent.ends_at, abs=0.0015)


def test_an_alert_that_is_re_sent_notifies_once_and_resolves_once(
    alertmanager: RunningAlertmanager, webhook: WebhookReceiver
) -> None:
    """Sent again with other annotations and a later end it is the same alert; an end in the past resolves it."""
    notifier, first = notifier_for(alertmanager.url), alert()
    notifier.send([first])
    wait_until(lambda: bool(received(webhook, "firing")), 5, "the alert at the webhook")
    for more in range(1, 4):
        notifier.send([replace(first, annotations={"probability": f"0.8{more}"}, ends_at=first.ends_at + more)])
    (found,) = alertmanager.alerts()
    assert found["annotations"] == {"probability": "0.83"}
    ended = round(time.time(), 3) - 1
    for _ in range(2):
        notifier.send([replace(first, ends_at=ended)])
    wait_until(lambda: bool(received(webhook, "resolved")), 5, "the resolution at the webhook")
    assert alertmanager.alerts() == []
    # time for a message too many
    time.sleep(2.5)
    assert [one["labels"]["server"] for one in received(webhook, "firing")] == ["web-1"]
    (resolved,) = received(webhook, "resolved")
    assert resolved["labels"] == first.labels
    assert epoch(resolved["endsAt"]) == pytest.approx(ended, abs=0.0015)


def test_what_alertmanager_refuses_is_a_rejection_in_its_words_and_the_rest_is_taken(
    alertmanager: RunningAlertmanager,
) -> None:
    """A label with a name that it does not allow is named; a proper alert beside it got through."""
    bad = replace(alert("web-2"), labels={"alertname": "x", "a b": "c"})
    with pytest.raises(NotificationRejected, match=r'main: http://127.*invalid label set: invalid name "a b"; correct'):
        notifier_for(alertmanager.url).send([bad, alert()])
    assert [one["labels"]["server"] for one in alertmanager.alerts()] == ["web-1"]
    backwards = replace(alert(), ends_at=1.0)
    with pytest.raises(NotificationRejected, match="start time must be before end time"):
        notifier_for(alertmanager.url).send([backwards])
    with pytest.raises(NotificationRejected, match="generatorURL in body must be of type uri"):
        notifier_for(alertmanager.url).send([replace(alert(), generator_url="no link")])


def test_a_wrong_path_is_an_outage_that_names_the_url(alertmanager: RunningAlertmanager) -> None:
    """Nothing is given up because the address is wrong; the text says which it is."""
    with pytest.raises(NotifierUnavailable, match=r"/wrong: it answers with status 404; set url to the base"):
        notifier_for(f"{alertmanager.url}/wrong").send([alert()])


def test_a_stopped_alertmanager_is_an_outage_until_it_is_back(alertmanager: RunningAlertmanager) -> None:
    """It is reported within seconds, and the same notifier works afterwards."""
    notifier = notifier_for(alertmanager.url)
    notifier.send([alert()])
    alertmanager.stop()
    started = time.monotonic()
    with pytest.raises(NotifierUnavailable, match=r"main: http://127.*: cannot be reached: .*refused.*; check that it"):
        notifier.send([alert()])
    assert time.monotonic() - started < 60
    alertmanager.start()
    notifier.send([alert("web-2")])
    assert [one["labels"]["server"] for one in alertmanager.alerts()] == ["web-2"]


def test_basic_authentication_over_tls(tmp_path: Path, webhook: WebhookReceiver) -> None:
    """With the authority and the password it works; without either the text says which is missing."""
    bcrypt = pytest.importorskip("bcrypt", reason="needs bcrypt for Alertmanager's password file")
    certificates = make_certificates(tmp_path / "tls")
    hashed = bcrypt.hashpw(b"opensesame", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: {certificates.cert}, key_file: {certificates.key}}}\n"
        f"basic_auth_users: {{forewarn: '{hashed}'}}\n"
    )
    password = tmp_path / "password"
    password.write_text("opensesame\n")
    user = {"username": "forewarn", "password_file": str(password)}
    trust = {"ca_file": str(certificates.ca)}
    server = RunningAlertmanager(
        tmp_path / "alertmanager", CONFIG.format(url=webhook.url), [f"--web.config.file={web}"]
    )
    with server:
        url = f"https://localhost:{server.port}"
        notifier_for(url, basic_auth=user, tls=trust).send([alert("web-1")])
        notifier_for(url, basic_auth=user, tls={"insecure_skip_verify": True}).send([alert("web-2")])
        # credentials in the URL are credentials, and are not shown
        notifier_for(f"https://forewarn:opensesame@localhost:{server.port}", tls=trust).send([alert("web-3")])
        context = ssl.create_default_context(cafile=certificates.ca)
        found = httpx.get(f"{url}/api/v2/alerts", verify=context, auth=("forewarn", "opensesame")).json()
        assert sorted(one["labels"]["server"] for one in found) == ["web-1", "web-2", "web-3"]
        with pytest.raises(NotifierUnavailable, match=r"certificate is not trusted.*tls\.ca_file"):
            notifier_for(url, basic_auth=user).send([alert()])
        with pytest.raises(NotifierUnavailable, match=r"access denied \(401\)"):
            notifier_for(url, tls=trust).send([alert()])
        password.write_text("guesswork")
        with pytest.raises(NotifierUnavailable, match=r"access denied \(401\); check its basic_auth") as caught:
            notifier_for(url, basic_auth=user, tls=trust).send([alert()])
        assert "guesswork" not in str(caught.value)
        with pytest.raises(NotifierUnavailable, match=r"access denied \(401\)") as caught:
            notifier_for(f"https://forewarn:guesswork@localhost:{server.port}", tls=trust).send([alert()])
        assert "guesswork" not in str(caught.value)
        with pytest.raises(NotifierUnavailable, match="status 400"):
            notifier_for(url.replace("https", "http")).send([alert()])


def test_tls_with_a_client_certificate(tmp_path: Path, webhook: WebhookReceiver) -> None:
    """Alertmanager that asks for a certificate lets in who has one, and nobody else."""
    certificates = make_certificates(tmp_path / "tls")
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: {certificates.cert}, key_file: {certificates.key}, "
        f"client_auth_type: RequireAndVerifyClientCert, client_ca_file: {certificates.ca}}}\n"
    )
    pair = {"cert_file": str(certificates.cert), "key_file": str(certificates.key)}
    trust = {"ca_file": str(certificates.ca)}
    server = RunningAlertmanager(
        tmp_path / "alertmanager", CONFIG.format(url=webhook.url), [f"--web.config.file={web}"]
    )
    with server:
        url = f"https://localhost:{server.port}"
        notifier_for(url, tls=trust | pair).send([alert()])
        wait_until(lambda: bool(received(webhook, "firing")), 5, "the alert at the webhook")
        # on a busy machine the reset of the connection can overtake the reason
        with pytest.raises(NotifierUnavailable, match=r"TLS failed: .*CERTIFICATE.*; .*tls settings|reset by peer"):
            notifier_for(url, tls=trust).send([alert()])
