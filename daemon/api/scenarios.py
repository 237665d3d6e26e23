"""Scenarios over HTTP: list, start and cancel incidents on simulated servers."""

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from daemon.api.answers import Limit, Offset, refusals
from daemon.simulation.scenario import (
    BadScenario,
    NoSimulator,
    NoSuchScenario,
    ScenarioRefused,
    ScenarioRequest,
    Scenarios,
    ScenarioStatus,
)

_PATH = "/api/v1/scenarios"


class ScenariosPage(BaseModel):
    """A part of the list of scenarios."""

    total: int
    offset: int
    items: list[ScenarioStatus]


def add_scenarios(app: FastAPI, scenarios: Scenarios) -> None:
    """Add the routes."""

    @app.get(_PATH, responses=refusals(404, 422))
    def listed(limit: Limit = 100, offset: Offset = 0) -> ScenariosPage:
        """Return the active and the latest ended scenarios, newest first; 404 without a simulator."""
        try:
            known = scenarios.listed()
        except NoSimulator as error:
            raise HTTPException(404, str(error)) from error
        return ScenariosPage(total=len(known), offset=offset, items=list(known[offset : offset + limit]))

    @app.post(_PATH, status_code=201, responses=refusals(400, 403, 404, 409, 422))
    def post(request: ScenarioRequest) -> ScenarioStatus:
        """Inject a scenario from the next step on; 409 if too many are active."""
        try:
            return scenarios.post(request)
        except BadScenario as error:
            raise HTTPException(400, str(error)) from error
        except NoSimulator as error:
            raise HTTPException(404, str(error)) from error
        except ScenarioRefused as error:
            raise HTTPException(409, str(error)) from error

    @app.delete(_PATH + "/{scenario}", responses=refusals(403, 404, 409, 422))
    def cancel(scenario: str) -> ScenarioStatus:
        """End a scenario; its servers recover over the next steps. 409 if it has ended already."""
        try:
            return scenarios.cancel(scenario)
        except (NoSuchScenario, NoSimulator) as error:
            raise HTTPException(404, str(error)) from error
        except ScenarioRefused as error:
            raise HTTPException(409, str(error)) from error
