"""What the JSON API answers: documents of plain records."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from daemon.core.forecast import QUANTILE_COLUMNS
from daemon.core.series import STEP_SECONDS, as_text
from daemon.core.server import ServerState
from daemon.pipeline.cycle import Snapshot

_MEANINGS = {
    400: "What was sent cannot be used; says why.",
    401: "Credentials are needed, or were wrong.",
    403: "Refused to pages of other sites.",
    404: "There is no such thing.",
    409: "Not now; says why.",
    413: "The body is too large.",
    422: "A parameter or the body is not of its form.",
    429: "This client has asked too often, or failed to log in; `Retry-After` says for how many seconds to wait.",
    503: "Cannot be served now.",
}
_ANYWHERE = (401, 413, 429, 503)


class ErrorDocument(BaseModel):
    """What is wrong, and more of it."""

    error: str
    detail: str


def error_answer(status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as every path answers it."""
    return JSONResponse({"error": error, "detail": detail}, status, headers)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return ``statuses``, and those that every path but the health checks can have, for the OpenAPI document."""
    return {
        status: {"model": ErrorDocument, "description": _MEANINGS[status]} for status in sorted({*_ANYWHERE, *statuses})
    }


class SourceDocument(BaseModel):
    """How a source fared in the last tick."""

    name: str
    healthy: bool
    error: str
    failed_streams: dict[str, str]
    empty_streams: list[str]
    newest: str | None


class StatusDocument(BaseModel):
    """The service as of its last tick."""

    version: str
    ready: bool
    problems: list[str]
    at: str | None = None
    model: str = ""
    model_error: str = ""
    withdrawn: str = ""
    forecast_source: dict[str, int] = {}
    servers: int = 0
    sources: list[SourceDocument] = []


class ServerDocument(BaseModel):
    """One server."""

    server: str
    profile: str
    state: str
    metrics: list[str]
    newest: str


class ForecastDocument(BaseModel):
    """The quantile paths of one series; ``times`` and each path run from 5 minutes after the origin to 8 hours."""

    origin: str
    server: str
    metric: str
    source: str
    model: str
    times: list[str]
    quantiles: dict[str, list[float]]


class ServersPage(BaseModel):
    """A part of the list of servers."""

    total: int
    offset: int
    items: list[ServerDocument]


class ForecastsPage(BaseModel):
    """A part of the list of forecasts."""

    total: int
    offset: int
    items: list[ForecastDocument]


class RejectionDocument(BaseModel):
    """A record, or a value of one, that was not taken."""

    index: int
    field: str
    reason: str
    detail: str


class PushDocument(BaseModel):
    """What became of a push: how many samples are safely stored, and what was not taken."""

    accepted: int
    rejected: int
    rejections: list[RejectionDocument]


def source_documents(snapshot: Snapshot) -> list[SourceDocument]:
    """Return the sources as of a tick."""
    return [
        SourceDocument(
            name=source.name,
            healthy=source.healthy,
            error=source.error,
            failed_streams=source.failed_streams,
            empty_streams=list(source.empty_streams),
            newest=as_text(source.newest) if source.newest is not None else None,
        )
        for source in snapshot.sources
    ]


def server_document(server: ServerState) -> ServerDocument:
    """Return one server."""
    return ServerDocument(
        server=server.name,
        profile=server.profile,
        state=server.state,
        metrics=list(server.metrics),
        newest=as_text(server.newest),
    )


def forecast_document(snapshot: Snapshot, row: int) -> ForecastDocument:
    """Return one row of the forecast."""
    forecast = snapshot.forecast
    key, paths = forecast.keys[row], forecast.paths[row]
    steps = np.arange(1, len(paths) + 1)
    return ForecastDocument(
        origin=as_text(forecast.origin),
        server=key.server,
        metric=key.metric,
        source=forecast.kinds[row].value,
        model=forecast.model if forecast.kinds[row].value == "model" else "",
        times=[as_text(forecast.origin + int(step) * STEP_SECONDS) for step in steps],
        quantiles={name: paths[:, column].tolist() for column, name in enumerate(QUANTILE_COLUMNS)},
    )
