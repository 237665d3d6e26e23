"""The shared parts of all answers of the JSON API, and its documents for servers, forecasts, sources and pushes."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from daemon.core.forecast import QUANTILE_COLUMNS, ForecasterKind
from daemon.core.series import STEP_SECONDS, as_text
from daemon.pipeline.cycle import Snapshot

_MEANINGS = {
    400: "The content is not valid; the detail has the reason.",
    401: "Credentials are missing or wrong.",
    403: "The request comes from a page of another site.",
    404: "Not found.",
    409: "Not possible in the present state; the detail has the reason.",
    413: "The body is too large.",
    422: "A parameter or the body does not have the documented form.",
    429: "Too many requests or failed logins of this client; `Retry-After` has the seconds to wait.",
    503: "The request cannot be served now.",
}
_ANYWHERE = (401, 413, 429, 503)

Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of items in the answer.")]
Offset = Annotated[int, Query(ge=0, description="Number of items to skip.")]


def _time_text(seconds: float | None) -> str | None:
    return None if seconds is None else as_text(int(seconds))


TimeText = Annotated[str, BeforeValidator(_time_text)]
"""Epoch seconds, shown in ISO 8601."""

OptionalTimeText = Annotated[str | None, BeforeValidator(_time_text)]


class Document(BaseModel):
    """A part of an answer; it is made from a record that has the same attributes."""

    model_config = ConfigDict(from_attributes=True)


class ErrorDocument(BaseModel):
    """An error and its detail."""

    error: str
    detail: str


def error_answer(status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error answer in the form of every path."""
    return JSONResponse({"error": error, "detail": detail}, status, headers)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers for OpenAPI: ``statuses``, and those of every path except the health checks."""
    return {
        status: {"model": ErrorDocument, "description": _MEANINGS[status]} for status in sorted({*_ANYWHERE, *statuses})
    }


class SourceDocument(Document):
    """The state of a source in the last tick."""

    name: str
    healthy: bool
    error: str
    failed_streams: dict[str, str]
    empty_streams: list[str]
    newest: OptionalTimeText


class StatusDocument(BaseModel):
    """The state of the service in its last tick."""

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


class ServerDocument(Document):
    """One server."""

    server: str = Field(validation_alias="name")
    profile: str
    state: str
    metrics: list[str]
    newest: TimeText


class ForecastDocument(BaseModel):
    """The quantile paths of one series; ``times`` and each path cover 5 minutes to 8 hours after the origin."""

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


class RejectionDocument(Document):
    """A rejected record, or a rejected value of one."""

    index: int
    field: str
    reason: str
    detail: str


class PushDocument(BaseModel):
    """The result of a push: the number of stored samples, and the rejected parts."""

    accepted: int
    rejected: int
    rejections: list[RejectionDocument]


def forecast_document(snapshot: Snapshot, row: int) -> ForecastDocument:
    """Return the document of one row of the forecast."""
    forecast = snapshot.forecast
    key, paths, kind = forecast.keys[row], forecast.paths[row], forecast.kinds[row]
    steps = np.arange(1, len(paths) + 1)
    return ForecastDocument(
        origin=as_text(forecast.origin),
        server=key.server,
        metric=key.metric,
        source=kind.value,
        model=forecast.model if kind is ForecasterKind.MODEL else "",
        times=[as_text(forecast.origin + int(step) * STEP_SECONDS) for step in steps],
        quantiles={name: paths[:, column].tolist() for column, name in enumerate(QUANTILE_COLUMNS)},
    )
