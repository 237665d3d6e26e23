"""Training over HTTP: what runs and what ran, starting one, ending one."""

from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict

from daemon.api.refusals import refusals
from daemon.domain.grid import as_text
from daemon.domain.levels import LevelName
from daemon.domain.retraining import TrainingRun
from daemon.pipeline.retraining import Retraining, TrainingRefused

_MOST_SHOWN = 50


class RunDocument(BaseModel):
    """One training run; times are of the service's clock, ``seconds`` is wall time."""

    id: str
    level: str
    trigger: str
    reason: str
    started: str
    attempt: int
    state: str
    detail: str
    model: str
    ended: str | None
    seconds: float


class TrainingDocument(BaseModel):
    """The run under way with its epochs, the last ones, newest first, and the next one.

    ``wished`` is why there should be one now, or is empty; ``drift`` the share of the series that behave otherwise than
    when the model was trained.
    """

    current: RunDocument | None
    epochs: list[dict[str, float]]
    epoch: int | None
    epoch_share: float | None
    runs: list[RunDocument]
    next_run: str | None
    refused: str
    wished: str
    drift: float | None


class TrainingRequest(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    level: LevelName | None = None


def add_training(app: FastAPI, retraining: Retraining) -> None:
    """Add the routes."""

    @app.get("/api/v1/training", responses=refusals())
    def training() -> TrainingDocument:
        """Return the training under way, those before, and when the next is scheduled."""
        state = retraining.state()
        last: dict[str, Any] = state.told[-1] if state.told else {}
        return TrainingDocument(
            current=None if state.current is None else _document(state.current),
            epochs=[said["record"] for said in state.told if "record" in said],
            epoch=last.get("epoch"),
            epoch_share=last.get("epoch_share"),
            runs=[_document(run) for run in state.runs[: -_MOST_SHOWN - 1 : -1]],
            next_run=None if state.next_time is None else as_text(int(state.next_time)),
            refused=state.refused,
            wished="" if state.looked.wish is None else state.looked.wish.why,
            drift=state.looked.drift,
        )

    @app.post("/api/v1/training", status_code=202, responses=refusals(400, 403, 409, 422))
    def start(request: TrainingRequest | None = None) -> RunDocument:
        """Begin a training now; 409 if one is under way or the day's budget is used up."""
        try:
            return _document(retraining.request(request.level if request is not None else None))
        except TrainingRefused as error:
            raise HTTPException(409, str(error)) from error

    @app.delete("/api/v1/training", status_code=202, responses=refusals(403, 409))
    def cancel() -> dict[str, str]:
        """End the training under way; 409 if there is none."""
        try:
            retraining.cancel()
        except TrainingRefused as error:
            raise HTTPException(409, str(error)) from error
        return {"status": "cancelled"}


def _document(run: TrainingRun) -> RunDocument:
    return RunDocument(
        id=run.id,
        level=run.level.value,
        trigger=run.trigger.value,
        reason=run.reason,
        started=as_text(int(run.started)),
        attempt=run.attempt,
        state=run.state.value,
        detail=run.detail,
        model=run.model,
        ended=None if run.ended is None else as_text(int(run.ended)),
        seconds=run.seconds,
    )
