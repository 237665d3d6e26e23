import threading
import time

import pytest

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import ForewarnError, SourceUnavailable
from daemon.ingest import prometheus_client
from daemon.ingest.prometheus import PrometheusSource
from daemon.system.http_client import Retries
from tests.servers.awkward import breaks_off, drips, says_nothing, tcp_server
from tests.servers.processes import free_port, wait_until


def source_at(port: int, timeout: float, deadline: float) -> PrometheusSource:
    """Return a source with one query."""
    return PrometheusSource(
        PrometheusConfig.model_validate(
            {
                "name": "main",
                "type": "prometheus",
                "url": f"http://127.0.0.1:{port}",
                "queries": {"cpu": "x"},
                "timeout_seconds": timeout,
                "deadline_seconds": deadline,
            }
        )
    )


@pytest.mark.parametrize("handle", [says_nothing, drips, breaks_off])
def test_a_server_that_does_not_finish_is_given_up_at_the_deadline(handle) -> None:
    """No answer, an answer byte by byte and a broken one all end as an outage, in time."""
    with tcp_server(handle) as port:
        started = time.monotonic()
        with pytest.raises(SourceUnavailable, match=f"127.0.0.1:{port}"):
            source_at(port, timeout=1, deadline=2).fetch("cpu", 0, 600)
        assert time.monotonic() - started < 60
        # What was left behind ends as well, although the source stays open.
        wait_until(lambda: not any(thread.name == "interruptible" for thread in threading.enumerate()), 3, "its end")


def test_a_server_that_is_not_there_is_named() -> None:
    """A refused connection is retried; then the error has the URL, the reason and the fix."""
    port = free_port()
    with pytest.raises(
        SourceUnavailable, match=rf"main: http://127.0.0.1:{port}/?: cannot be reached: .*refused.*; check that it"
    ):
        source_at(port, timeout=1, deadline=1).fetch("cpu", 0, 600)


def test_an_outage_is_reported_long_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is for long answers; an unreachable server does not delay a tick by that much."""
    monkeypatch.setattr(prometheus_client, "_RETRIES", Retries(attempts=None, patience_seconds=0.5))
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        source_at(free_port(), timeout=30, deadline=120).fetch("cpu", 0, 600)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("handle", [says_nothing, drips, None])
def test_closing_ends_a_fetch_under_way(handle) -> None:
    """A stop waits neither for a server that hangs nor for the next attempt."""

    def close_during_fetch(port: int) -> None:
        source = source_at(port, timeout=60, deadline=120)
        caught: list[Exception] = []

        def fetch() -> None:
            try:
                source.fetch("cpu", 0, 600)
            except ForewarnError as error:
                caught.append(error)

        fetching = threading.Thread(target=fetch)
        fetching.start()
        time.sleep(0.7)
        started = time.monotonic()
        source.close()
        fetching.join(50)
        assert not fetching.is_alive()
        assert time.monotonic() - started < 50
        assert isinstance(caught[0], SourceUnavailable)

    if handle is None:
        close_during_fetch(free_port())
        return
    with tcp_server(handle) as port:
        close_during_fetch(port)


def test_a_closed_source_does_not_ask_any_more() -> None:
    """A fetch after ``close`` fails at once, as an outage."""
    with tcp_server(says_nothing) as port:
        source = source_at(port, timeout=60, deadline=60)
        source.close()
        started = time.monotonic()
        with pytest.raises(SourceUnavailable, match="closed"):
            source.fetch("cpu", 0, 600)
        assert time.monotonic() - started < 50
