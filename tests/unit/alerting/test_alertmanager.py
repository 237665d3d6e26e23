import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.alerting import alertmanager
from daemon.alerting.alertmanager import AlertmanagerNotifier
from daemon.alerting.state import Notification
from daemon.config.alerting import AlertmanagerConfig
from daemon.core.errors import ConfigError, NotificationRejected, NotifierUnavailable
from daemon.system.http_client import Retries
from tests.servers.awkward import breaks_off, drips, says_nothing, tcp_server
from tests.servers.processes import free_port, wait_until

ALERT = Notification(
    labels={"alertname": "PredictedBreach", "server": "web-1"},
    annotations={"summary": "é"},
    starts_at=1_767_225_600.0004,
    ends_at=1_767_226_500.25,
)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager, "_RETRIES", replace(alertmanager._RETRIES, first_wait_seconds=0.01))


def configured(**changes: Any) -> AlertmanagerConfig:
    """Return a configuration."""
    return AlertmanagerConfig.model_validate({"name": "main", "url": "http://am.example:9093"} | changes)


def answering(handle: Callable[[httpx.Request], httpx.Response], **changes: Any) -> AlertmanagerNotifier:
    """Return a notifier whose requests ``handle`` answers."""
    return AlertmanagerNotifier(configured(**changes), httpx.MockTransport(handle))


def at_port(port: int, **changes: Any) -> AlertmanagerNotifier:
    """Return a notifier towards a server on this machine, with little patience."""
    return AlertmanagerNotifier(configured(url=f"http://127.0.0.1:{port}", **{"timeout_seconds": 0.3} | changes))


def test_alerts_are_posted_as_api_v2_takes_them() -> None:
    """One request has all alerts, times in UTC with milliseconds, and no link where there is none."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    notifier = answering(handle, url="http://am.example:9093/alertmanager/")
    linked = Notification(
        labels={"alertname": "x"},
        annotations={},
        starts_at=0,
        ends_at=60,
        generator_url="https://forewarn.example/?server=web-1",
    )
    notifier.send([ALERT, linked])
    (request,) = asked
    assert notifier.name == "main"
    assert (request.method, str(request.url)) == ("POST", "http://am.example:9093/alertmanager/api/v2/alerts")
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.content) == [
        {
            "labels": {"alertname": "PredictedBreach", "server": "web-1"},
            "annotations": {"summary": "é"},
            "startsAt": "2026-01-01T00:00:00.000Z",
            "endsAt": "2026-01-01T00:15:00.250Z",
        },
        {
            "labels": {"alertname": "x"},
            "annotations": {},
            "startsAt": "1970-01-01T00:00:00.000Z",
            "endsAt": "1970-01-01T00:01:00.000Z",
            "generatorURL": "https://forewarn.example/?server=web-1",
        },
    ]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_outage_is_retried_with_the_same_alerts(status: int) -> None:
    """What may be over in a moment is tried again, and the second answer counts."""
    bodies: list[bytes] = []
    answers = [httpx.Response(status, text="busy"), httpx.Response(200)]

    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return answers.pop(0)

    answering(handle).send([ALERT])
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]


def test_an_outage_is_given_up_after_a_few_attempts() -> None:
    """The error has the last reason, in the words of the server."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503, json={"code": 503, "message": "starting up"})

    with pytest.raises(NotifierUnavailable, match="status 503: starting up; look at its log"):
        answering(handle).send([ALERT])
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(400, json='invalid label set: invalid name "a b"'), 'invalid label set: invalid name "a b"'),
        (httpx.Response(422, json={"code": 602, "message": "0.labels is required"}), "0.labels is required"),
        (httpx.Response(413, text="<html>Request Entity Too Large"), "raise the limit of the proxy"),
    ],
)
def test_a_refusal_of_an_alert_is_a_rejection(response: httpx.Response, expected: str) -> None:
    """It has Alertmanager's own words and is not tried twice."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return response

    with pytest.raises(NotificationRejected) as caught:
        answering(handle).send([ALERT])
    assert "alertmanager main: http://am.example:9093/: " in str(caught.value)
    assert expected in str(caught.value)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(401), ["access denied (401)", "basic_auth, bearer_token or headers"]),
        (httpx.Response(403, json="no"), ["access denied (403)"]),
        (httpx.Response(404, text="404 page not found"), ["status 404", "url"]),
        (httpx.Response(400, text="Client sent an HTTP request to an HTTPS server."), ["status 400", "url"]),
        (httpx.Response(400, json=[1]), ["status 400"]),
        (httpx.Response(308, headers={"Location": "https://u:pw@sso.example/login?state=s3cret"}), ["redirects to https://sso.example/login,"]),
        (httpx.Response(200, html="<html>Welcome to the hotel</html>"), ["web page", "Alertmanager itself"]),
    ],
)  # fmt: skip
def test_what_says_nothing_of_the_alerts_makes_it_unavailable(response: httpx.Response, expected: list[str]) -> None:
    """The alerts stay queued; the text has the URL, the reason and the fix, and no secret of anybody."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return response

    with pytest.raises(NotifierUnavailable) as caught:
        answering(handle, url="http://user:hush@am.example:9093/x?key=hidden").send([ALERT])
    for part in ["alertmanager main: http://am.example:9093/x: ", *expected]:
        assert part in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("hush", "hidden", "pw", "s3cret"))
    assert len(asked) == 1


def test_credentials_are_sent_and_read_again_at_each_send(tmp_path: Path) -> None:
    """A token that is rotated on disk is used at the next send; a file that is gone is named, and nothing is sent."""
    token = tmp_path / "token"
    seen: list[tuple[str, str]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["Authorization"], request.headers["X-Scope-OrgID"]))
        return httpx.Response(200)

    notifier = answering(handle, bearer_token_file=str(token), headers={"X-Scope-OrgID": "tenant"})
    for text in ("first\n", "second"):
        token.write_text(text)
        notifier.send([ALERT])
    token.unlink()
    with pytest.raises(NotifierUnavailable, match=r"alertmanager main: bearer_token_file: .*No such file"):
        notifier.send([ALERT])
    assert seen == [("Bearer first", "tenant"), ("Bearer second", "tenant")]


def test_a_header_that_cannot_be_sent_is_not_quoted() -> None:
    """A secret with a line break is refused without being shown, not even by the error's cause."""
    with tcp_server(says_nothing) as port:
        notifier = at_port(port, headers={"X-Key": "s3c\nret"})
        with pytest.raises(NotifierUnavailable, match="characters that HTTP does not allow") as caught:
            notifier.send([ALERT])
    assert "s3c" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize("handle", [says_nothing, drips, breaks_off])
def test_an_alertmanager_that_does_not_finish_is_given_up(handle) -> None:
    """No answer, an answer byte by byte and a broken one all end as an outage."""
    with tcp_server(handle) as port:
        started = time.monotonic()
        with pytest.raises(NotifierUnavailable, match=f"127.0.0.1:{port}"):
            at_port(port).send([ALERT])
        assert time.monotonic() - started < 60


def test_patience_ends_before_the_attempts_where_each_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that time out are not repeated beyond the patience: the queue and the next tick are there for that."""
    monkeypatch.setattr(alertmanager, "_RETRIES", Retries(attempts=3, patience_seconds=0.4))
    attempts: list[int] = []

    def counts(connection: socket.socket, over: threading.Event) -> None:
        attempts.append(connection.fileno())
        over.wait()

    with tcp_server(counts) as port:
        with pytest.raises(NotifierUnavailable, match=r"no complete answer within 0\.5 s; .*timeout_seconds"):
            at_port(port, timeout_seconds=0.5).send([ALERT])
        wait_until(lambda: bool(attempts), 1, "the attempt at the server")
    assert len(attempts) == 1


def test_a_proxy_of_the_environment_is_not_asked_the_way_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a proxy leads, on loopback none does."""
    proxy, here = free_port(), free_port()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    asked: list[bytes] = []

    def answer(connection, over) -> None:
        asked.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with pytest.raises(NotifierUnavailable, match=rf"http://127.0.0.1:{here}/: cannot be reached: .*refused"):
        at_port(here).send([ALERT])
    with tcp_server(answer) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        AlertmanagerNotifier(configured()).send([ALERT])
    assert asked[0].startswith(b"POST http://am.example:9093/api/v2/alerts ")


def test_a_closed_notifier_sends_no_more() -> None:
    """A send after the end fails at once, as an outage, and does not reach anybody."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    notifier = answering(handle)
    notifier.close()
    with pytest.raises(NotifierUnavailable, match="being closed"):
        notifier.send([ALERT])
    assert not asked


def test_a_close_ends_the_retries() -> None:
    """What is tried again until it works is not, once the service stops."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        notifier.close()
        return httpx.Response(503)

    notifier = answering(handle)
    with pytest.raises(NotifierUnavailable, match="status 503"):
        notifier.send([ALERT])
    assert len(asked) == 1


def test_a_certificate_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """The start of the service fails with the key and the fix."""
    path = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"alertmanagers: main: tls\.ca_file: .*ca\.pem: No such file.*name a PEM"):
        AlertmanagerNotifier(configured(tls={"ca_file": str(path)}))
