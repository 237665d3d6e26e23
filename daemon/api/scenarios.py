"""Scenarios over HTTP: list, start and cancel incidents on simulated servers."""

from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from daemon.api.answers import refusals
from daemon.core.series import STEP_SECONDS, as_text
from daemon.simulation.scenario import (
    LONGEST_MINUTES,
    BadScenario,
    NoSimulator,
    NoSuchScenario,
    Scenario,
    ScenarioKind,
    ScenarioRefused,
    Scenarios,
    ScenarioState,
    Wanted,
)

_PATH = "/api/v1/scenarios"
_Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of items in the answer.")]
_Offset = Annotated[int, Query(ge=0, description="Number of items to skip.")]
_Minutes = Annotated[float, Field(gt=0, le=LONGEST_MINUTES, allow_inf_nan=False, strict=True)]


class ScenarioRequest(BaseModel):
    """A scenario on ``servers``, on those of ``profile``, or on all servers. Minutes are of the service's clock."""

    model_config = ConfigDict(extra="forbid")

    kind: ScenarioKind
    servers: list[str] | None = Field(None, min_length=1, max_length=10_000)
    profile: str | None = None
    ramp_minutes: _Minutes | None = Field(None, description="Time until full size; null is the default of the kind.")
    duration_minutes: _Minutes | None = Field(None, description="Time until the servers recover; null is a week.")

    @field_validator("kind", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        kinds = [kind.value for kind in ScenarioKind]
        if value not in kinds:
            raise ValueError(f"{repr(value)[:80]} is not a kind of scenario; use {', '.join(kinds)}")
        return value


class ScenarioDocument(BaseModel):
    """A scenario; its servers recover after ``until``, those in ``released`` recovered earlier."""

    id: str
    kind: ScenarioKind
    state: ScenarioState
    cancelled: bool
    servers: list[str]
    released: list[str]
    posted: str
    start: str
    ramp_minutes: float
    until: str


class ScenariosPage(BaseModel):
    """A part of the list of scenarios."""

    total: int
    offset: int
    items: list[ScenarioDocument]


def add_scenarios(app: FastAPI, scenarios: Scenarios) -> None:
    """Add the routes."""

    @app.get(_PATH, responses=refusals(404, 422))
    def listed(limit: _Limit = 100, offset: _Offset = 0) -> ScenariosPage:
        """Return the active and the latest ended scenarios, newest first; 404 without a simulator."""
        try:
            known = scenarios.listed()
        except NoSimulator as error:
            raise HTTPException(404, str(error)) from error
        items = [_document(*each) for each in known[offset : offset + limit]]
        return ScenariosPage(total=len(known), offset=offset, items=items)

    @app.post(_PATH, status_code=201, responses=refusals(400, 403, 404, 409, 422))
    def post(request: ScenarioRequest) -> ScenarioDocument:
        """Start a scenario on simulated servers at the next step; 409 if there are too many already."""
        try:
            return _document(*scenarios.post(Wanted(**request.model_dump())))
        except BadScenario as error:
            raise HTTPException(400, str(error)) from error
        except NoSimulator as error:
            raise HTTPException(404, str(error)) from error
        except ScenarioRefused as error:
            raise HTTPException(409, str(error)) from error

    @app.delete(_PATH + "/{scenario}", responses=refusals(403, 404, 409, 422))
    def cancel(scenario: str) -> ScenarioDocument:
        """Cancel a scenario; its servers recover over the next steps. 409 if it has already ended."""
        try:
            return _document(*scenarios.cancel(scenario))
        except (NoSuchScenario, NoSimulator) as error:
            raise HTTPException(404, str(error)) from error
        except ScenarioRefused as error:
            raise HTTPException(409, str(error)) from error


def _document(scenario: Scenario, state: ScenarioState) -> ScenarioDocument:
    return ScenarioDocument(
        id=scenario.id,
        kind=scenario.kind,
        state=state,
        cancelled=scenario.cancelled,
        servers=list(scenario.servers),
        released=[name for name, _ in scenario.released],
        posted=as_text(int(scenario.posted)),
        start=as_text(scenario.start),
        ramp_minutes=scenario.ramp_seconds / 60,
        until=as_text(max(scenario.ending.until, scenario.start - STEP_SECONDS)),
    )
