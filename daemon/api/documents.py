"""What the JSON API answers: documents of plain records."""

import numpy as np
from pydantic import BaseModel

from daemon.domain.grid import STEP_SECONDS, as_text
from daemon.domain.quantiles import QUANTILE_COLUMNS
from daemon.pipeline.cycle import Snapshot
from daemon.pipeline.server_state import ServerState


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
        source=forecast.sources[row].value,
        model=forecast.model if forecast.sources[row].value == "model" else "",
        times=[as_text(forecast.origin + int(step) * STEP_SECONDS) for step in steps],
        quantiles={name: paths[:, column].tolist() for column, name in enumerate(QUANTILE_COLUMNS)},
    )
