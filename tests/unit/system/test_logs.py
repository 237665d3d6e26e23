"""What the service writes to its log."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest
import stamina
import structlog

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import SourceUnavailable
from daemon.ingest.prometheus import PrometheusSource
from daemon.system.logs import configure_logs

HIDDEN = "hush5ecret"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Logging is of the whole process: put back what a test changes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    stamina.instrumentation.set_on_retry_hooks(None)


def test_a_fetch_that_is_tried_again_and_again_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The retries of a source are silent; that it failed in the end is for the tick to say, once."""
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ConnectError("refused", request=request)

    configure_logs("debug", "json")
    config = PrometheusConfig.model_validate(
        {"name": "main", "type": "prometheus", "url": "http://127.0.0.1:9", "queries": {"up": "up"}}
        | {"deadline_seconds": 0.5}
    )
    with pytest.raises(SourceUnavailable):
        PrometheusSource(config, httpx.MockTransport(refuse)).fetch("up", 0, 300)
    assert len(asked) > 1
    written = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert not [event for event in written if "retry" in event]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(form: Literal["json", "console"], capsys: pytest.CaptureFixture[str]) -> None:
    """Where it happened is logged, not what the variables there held: they may be passwords."""
    configure_logs("debug", form)

    def fail(password: str) -> None:
        raise RuntimeError(f"no answer of {len(password)} letters")

    try:
        fail(HIDDEN)
    except RuntimeError:
        structlog.get_logger().error("it_failed", exc_info=True)
        logging.getLogger("uvicorn.error").exception("it failed")
    written = capsys.readouterr().err
    assert written.count("no answer of 10 letters") >= 2
    assert "in fail" in written or '"name": "fail"' in written
    assert HIDDEN not in written
