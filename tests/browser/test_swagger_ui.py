"""The page at /docs in a real browser, from a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from daemon.api.app import create_app
from daemon.api.security import Authentication, WebAccess
from daemon.api.server import HttpServer
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.schema import ExpositionConfig, HttpConfig
from tests.browser.chromium import look_at
from tests.fakes.source import FakeClock


@pytest.fixture
def app() -> FastAPI:
    """The application."""
    clock = FakeClock(0)
    snapshots = SnapshotCache(clock, {}, ExpositionConfig())
    return create_app(
        snapshots,
        PrometheusTelemetry(clock),
        lambda: None,
        reload=lambda: None,
        authentication=Authentication(None, dict),
        access=WebAccess(None),
    )


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    """The URL of the running application."""
    server = HttpServer(app, HttpConfig(listen="127.0.0.1:0"))
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def test_docs_shows_every_operation_and_asks_nobody_else(url: str, app: FastAPI, tmp_path: Path) -> None:
    """The page works under a policy without inline scripts and requests nothing from other servers."""
    seen = look_at(f"{url}/docs", tmp_path)
    paths = app.openapi()["paths"]
    assert len(paths) > 5
    for path in paths:
        assert f'data-path="{path}"' in seen.dom
    assert seen.console == ()
    assert f"{url}/openapi.json" in seen.requests
    assert [address for address in seen.requests if not address.startswith((f"{url}/", "data:"))] == []


def test_an_opened_operation_is_shown_whole(url: str, tmp_path: Path) -> None:
    """An opened operation shows its parameters and answers, and does not violate the policy either."""
    seen = look_at(f"{url}/docs#/default/forecasts_api_v1_forecasts_get", tmp_path)
    assert "Maximum number of items in the answer." in seen.dom
    assert seen.dom.count("opblock opblock-get is-open") == 1
    assert f"{url}/openapi.json" in seen.requests
    # Swagger UI warns of the underscores in the address that it generated itself
    assert [line for line in seen.console if "Deprecated: escaping deep link" not in line] == []
    assert [address for address in seen.requests if not address.startswith((f"{url}/", "data:"))] == []
