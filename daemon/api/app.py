"""The HTTP application: health, /metrics, the JSON API, push and reload, with errors in one form."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from daemon import __version__
from daemon.api.accuracy import add_accuracy
from daemon.api.alerts import (
    AlertsPage,
    FiguresDocument,
    HistoryPage,
    PredictionDocument,
    alert_document,
    risk_document,
)
from daemon.api.answers import (
    ForecastsPage,
    Limit,
    Offset,
    PushDocument,
    ServerDocument,
    ServersPage,
    SourceDocument,
    StatusDocument,
    error_answer,
    forecast_document,
    refusals,
)
from daemon.api.push import BODY, PushEndpoint
from daemon.api.security import PUSH_PATH, Authentication, ClientLimits, WebAccess, add_authentication, add_hardening
from daemon.api.server import add_swagger_ui
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.core.errors import ForewarnError
from daemon.core.series import as_text
from daemon.models.registry import demotion_text

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_LIKELIEST = 20


def create_app(
    cache: SnapshotCache,
    telemetry: PrometheusTelemetry,
    push: Callable[[], PushEndpoint | None],
    *,
    reload: Callable[[], None],
    authentication: Authentication,
    access: WebAccess,
    limits: ClientLimits | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        cache: holds the result of the newest tick.
        telemetry: the service's own metrics.
        push: returns the endpoint for pushed metrics; None if no source of type push is configured.
        reload: applies the present configuration file; raises ForewarnError if it is not valid.
        authentication: checks the credentials for every path except the health checks.
        access: has the additional headers of every answer.
        limits: limits the requests of each client; None is no limit.
    """
    app = FastAPI(title="forewarn", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    _add_errors(app)
    _add_health(app, cache)
    add_swagger_ui(app)
    _add_exposition(app, cache, telemetry)
    _add_documents(app, cache)
    _add_alerts(app, cache)
    add_accuracy(app, cache)
    _add_push(app, push)
    _add_reload(app, reload)
    limits = limits or ClientLimits()
    add_authentication(app, authentication, limits, telemetry)
    add_hardening(app, access, authentication, limits, telemetry)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        headers = {"Allow": _allowed(app, request)} if error.status_code == 405 else error.headers
        return error_answer(error.status_code, str(error.detail), request.url.path, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        details = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        return error_answer(422, "the request is not valid", "; ".join(details))

    @app.exception_handler(ForewarnError)
    async def failed(_: Request, error: ForewarnError) -> JSONResponse:
        return error_answer(503, "the request cannot be served now", str(error))


def _allowed(app: FastAPI, request: Request) -> str:
    """Return the methods of a path: each is a route, and the error of one route would name only its own method."""
    routes = [route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))


def _add_health(app: FastAPI, cache: SnapshotCache) -> None:
    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """Answer 200 while the process serves requests."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: {"model": StatusDocument}})
    async def ready() -> JSONResponse:
        """Answer 200 if the newest forecast is younger than two intervals, else 503; with the state of the sources."""
        document = _status(cache)
        return JSONResponse(document.model_dump(), 200 if document.ready else 503)

    @app.get("/api/v1/status", responses=refusals())
    async def status() -> StatusDocument:
        """Return the state of the service in its last tick."""
        return _status(cache)


def _status(cache: SnapshotCache) -> StatusDocument:
    problems, snapshot = cache.problems(), cache.snapshot
    document = StatusDocument(version=__version__, ready=not problems, problems=list(problems))
    if snapshot is None:
        return document
    return document.model_copy(
        update={
            "at": as_text(snapshot.at),
            "model": snapshot.model,
            "model_error": snapshot.model_error,
            "withdrawn": demotion_text(snapshot.demotion),
            "forecast_source": {kind.value: count for kind, count in snapshot.series_by_forecaster.items()},
            "servers": len(snapshot.servers),
            "sources": [SourceDocument.model_validate(source) for source in snapshot.sources],
        }
    )


def _add_exposition(app: FastAPI, cache: SnapshotCache, telemetry: PrometheusTelemetry) -> None:
    @app.get("/metrics", response_class=PlainTextResponse, responses=refusals())
    def metrics(request: Request) -> Response:
        """Return the forecasts and the service's own metrics in Prometheus' text format."""
        own, forecasts = telemetry.render(), cache.exposition
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            body = forecasts.compressed_followed_by(own)
            return Response(body, media_type=_TEXT_FORMAT, headers={"Content-Encoding": "gzip"})
        return Response(forecasts.followed_by(own), media_type=_TEXT_FORMAT)


def _add_documents(app: FastAPI, cache: SnapshotCache) -> None:
    @app.get("/api/v1/servers", responses=refusals(422))
    def servers(limit: Limit = 100, offset: Offset = 0) -> ServersPage:
        """Return the servers with a sample within the last day, by name."""
        known = cache.newest().servers
        return ServersPage(
            total=len(known),
            offset=offset,
            items=[ServerDocument.model_validate(server) for server in known[offset : offset + limit]],
        )

    @app.get("/api/v1/servers/{server}", responses=refusals(404, 422))
    def one_server(server: str) -> ServerDocument:
        """Return one server."""
        found = next((item for item in cache.newest().servers if item.name == server), None)
        if found is None:
            raise HTTPException(404, f"no server {server!r} with a sample within the last day")
        return ServerDocument.model_validate(found)

    @app.get("/api/v1/forecasts", responses=refusals(422))
    def forecasts(
        server: str | None = None, metric: str | None = None, limit: Limit = 100, offset: Offset = 0
    ) -> ForecastsPage:
        """Return the quantile paths of all series, optionally of one server or one metric."""
        snapshot = cache.newest()
        rows = [
            row
            for row, key in enumerate(snapshot.forecast.keys)
            if server in (None, key.server) and metric in (None, key.metric)
        ]
        items = [forecast_document(snapshot, row) for row in rows[offset : offset + limit]]
        return ForecastsPage(total=len(rows), offset=offset, items=items)


def _add_alerts(app: FastAPI, cache: SnapshotCache) -> None:
    @app.get("/api/v1/alerts", responses=refusals(422))
    def alerts(limit: Limit = 100, offset: Offset = 0) -> AlertsPage:
        """Return the pending and firing alerts, and the most probable breaches."""
        alerting = cache.newest().alerting
        items = sorted(alerting.alerts.items())
        likeliest = sorted(alerting.risks, key=lambda risk: -(risk.probability or 0))
        return AlertsPage(
            total=len(items),
            offset=offset,
            items=[alert_document(key, alert) for key, alert in items[offset : offset + limit]],
            likeliest=[risk_document(risk) for risk in likeliest[:_LIKELIEST]],
        )

    @app.get("/api/v1/alerts/history", responses=refusals(422))
    def history(limit: Limit = 100, offset: Offset = 0) -> HistoryPage:
        """Return the prediction log, newest first, with the outcome of each prediction and the metrics of all."""
        alerting = cache.newest().alerting
        newest_first = alerting.predictions[::-1]
        return HistoryPage(
            total=len(newest_first),
            offset=offset,
            items=[PredictionDocument.model_validate(each) for each in newest_first[offset : offset + limit]],
            figures=FiguresDocument.model_validate(alerting.figures),
        )


def _add_reload(app: FastAPI, reload: Callable[[], None]) -> None:
    @app.post("/-/reload", responses=refusals(400, 403))
    def reload_configuration() -> dict[str, str]:
        """Apply the present configuration file; if it is not valid, answer with the reason and keep the running one."""
        try:
            reload()
        except ForewarnError as error:
            raise HTTPException(400, f"the configuration was rejected: {error}") from error
        return {"status": "reloaded"}


def _add_push(app: FastAPI, push: Callable[[], PushEndpoint | None]) -> None:
    @app.post(PUSH_PATH, responses=refusals(400, 403, 404), openapi_extra={"requestBody": BODY})
    async def push_metrics(request: Request) -> PushDocument:
        """Store pushed metrics, a JSON list of records, long or wide; answers after they are stored."""
        endpoint = push()
        if endpoint is None:
            raise HTTPException(404, "push is not configured; add a source of type push")
        body = await _limited_body(request, endpoint.max_body_bytes)
        try:
            document: Any = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is not JSON: {error}") from error
        return await run_in_threadpool(endpoint.take, document)


async def _limited_body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"the body has more than {max_bytes} bytes; send it in parts")
    return bytes(body)
