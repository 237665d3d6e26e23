"""The HTTP client alone; the tests of Prometheus and Alertmanager have its answers, credentials and outages."""

import time
from collections.abc import Callable
from threading import Timer
from typing import Any

import httpx
import pytest

from daemon.config.alerting import AlertmanagerConfig
from daemon.system.http_client import HttpClient, HttpUnavailable, Retries


def client(handle: Callable[[httpx.Request], httpx.Response], **changes: Any) -> HttpClient:
    """Return a client whose requests ``handle`` answers."""
    return HttpClient(
        AlertmanagerConfig.model_validate({"name": "main", "url": "http://server.example/base/"}),
        **{
            "label": "server main",
            "key": "servers: main",
            "api": "Example",
            "error_text": lambda document: document,
            "retries": Retries(attempts=3, patience_seconds=8, first_wait_seconds=0.01),
            "transport": httpx.MockTransport(handle),
        }
        | changes,
    )


def post(server: HttpClient, until: float = float("inf"), attempts: int | None = None) -> bytes:
    return server.post(
        "/path",
        lambda seconds: f"{seconds:g}".encode(),
        media_type="text/plain",
        reject=lambda answer, text: None,
        until=until,
        attempts=attempts,
    ).body


def test_a_longer_answer_is_not_read_to_its_end() -> None:
    """After the limit no further chunk is read."""
    read: list[int] = []

    def chunks():
        for number in range(100):
            read.append(number)
            yield b"x" * 1000

    body = post(client(lambda _: httpx.Response(200, content=chunks()), longest_answer_bytes=5000))
    assert len(body) == 6000
    assert len(read) <= 7


def test_the_body_gets_the_seconds_of_its_attempt() -> None:
    """The timeout of the configuration is the limit, unless the deadline is earlier."""
    sent: list[float] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(float(request.content))
        assert str(request.url) == "http://server.example/base/path"
        return httpx.Response(200)

    post(client(handle))
    post(client(handle), until=time.monotonic() + 2)
    assert sent[0] == 5
    assert 0 < sent[1] <= 2


@pytest.mark.parametrize(("attempts", "expected"), [(None, 3), (1, 1)])
def test_a_temporary_error_is_retried_as_often_as_configured(attempts: int | None, expected: int) -> None:
    """A call can have fewer attempts than the client; the last error is raised."""
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(503, json="starting up")

    with pytest.raises(HttpUnavailable, match=r"server main: http://server\.example/base/: .*503: starting up"):
        post(client(handle), attempts=attempts)
    assert len(requests) == expected


def test_work_ends_when_the_client_closes_or_the_time_is_over() -> None:
    """The caller gets the result, the error, or the reason why there is none."""
    server = client(lambda _: httpx.Response(200))
    assert server.run_interruptibly(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        server.run_interruptibly(lambda: 1 / 0, 5)
    with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
        server.run_interruptibly(lambda: time.sleep(2), 0.2)
    Timer(0.2, server.close).start()
    with pytest.raises(InterruptedError):
        server.run_interruptibly(lambda: time.sleep(2), 60)
