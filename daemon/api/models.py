"""The models over HTTP: their records, promotions, claims and readiness, and the trainings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from daemon.api.answers import Document, OptionalTimeText, TimeText, refusals
from daemon.core.errors import BadModel, ForewarnError, ModelNotFound
from daemon.core.file_access import reason_of
from daemon.core.levels import LevelName
from daemon.models.claims import ServingStatus, claims_of, serving_status, shown_figures
from daemon.models.readiness import readiness_of
from daemon.models.registry import ModelRegistry, Promotion, demotion_text
from daemon.models.retraining import Retraining, TrainingRefused, TrainingState

_DECISIONS = {True: "promoted", False: "rejected", None: "none"}
_MOST_SHOWN = 50


def plain(text: object) -> str:
    """Return ``text`` as JSON can carry it: a file name may hold bytes that are no UTF-8, halves of surrogate pairs."""
    return str(text).encode("utf-8", "replace").decode()


def _plain_or_none(text: object) -> str | None:
    return None if text is None else plain(text)


Text = Annotated[str, BeforeValidator(plain)]
"""Text from files, as JSON can carry it."""

OptionalText = Annotated[str | None, BeforeValidator(_plain_or_none)]


class ModelFigures(Document):
    """Figures of the training; null where a figure is no number or must not be stated, see ``/api/v1/claims``."""

    train_loss: float | None
    validation_loss: float | None
    quantile_loss: float | None
    skill: dict[Text, float]


class ModelDocument(Document):
    """A model directory; of a damaged one only ``problem`` is known."""

    id: Text
    serves: bool
    problem: Text = ""
    level: str | None = None
    trained_at: OptionalTimeText = None
    epochs: int | None = None
    verdict: str | None = None
    reasons: list[Text] = Field([])
    figures: ModelFigures | None = None


class PromotionDocument(Document):
    """A model began to serve, or was demoted.

    ``back`` is true where a rollback made it serve again; ``withdrawn`` where it was demoted, so that the baseline
    serves instead.
    """

    at: Text
    model: Text
    previous: OptionalText
    why: Text
    back: bool
    withdrawn: bool


class PromotionsPage(Document):
    """A part of the journal, newest first."""

    total: int
    offset: int
    items: list[PromotionDocument]


class ModelsPage(Document):
    """A part of the models, newest first, the id in ``current``, the promotions, and what cannot be read."""

    total: int
    offset: int
    items: list[ModelDocument]
    current: OptionalText
    promotions: PromotionsPage
    problems: list[Text]


class ClaimDocument(Document):
    """A sentence that may be claimed, its figure, and the file and the key of the figure."""

    sentence: Text
    number: float
    source: Text


class ClaimsDocument(Document):
    """What may be claimed and what must not; ``model`` and ``level`` are null where no model serves."""

    model: OptionalText
    serves: bool
    withdrawn: Text
    level: str | None
    may: list[ClaimDocument]
    must_not: list[Text]


class CheckDocument(Document):
    """A check of the list: its figures, their source, and what to do where it failed."""

    name: str
    passed: bool
    evidence: Text
    source: str
    fix: str


class ReadinessDocument(Document):
    """The checklist for production; ``model`` and ``level`` are null where no model serves."""

    model: OptionalText
    serves: bool
    withdrawn: Text
    ready: bool
    level: str | None
    checks: list[CheckDocument]


class RunDocument(Document):
    """One training run; times are of the service's clock, ``seconds`` is wall time."""

    id: str
    level: str
    trigger: str
    reason: str
    started: TimeText
    attempt: int
    state: str
    detail: str
    model: str
    ended: OptionalTimeText
    seconds: float


class TrainingDocument(Document):
    """The run under way with its epochs, the last runs, newest first, and the next one.

    ``wished`` is why a trigger asks for a training now, or empty; ``drift`` is the share of the series whose
    distribution changed since the training.
    """

    current: RunDocument | None
    epochs: list[dict[str, float]]
    epoch: int | None
    epoch_share: float | None
    runs: list[RunDocument]
    next_run: OptionalTimeText
    refused: str
    wished: str
    drift: float | None


class TrainingRequest(BaseModel):
    """A request to train."""

    model_config = ConfigDict(extra="forbid")

    level: LevelName | None = None


_Model = Annotated[str | None, Query(description="Id of a model; default is the one that serves.")]
_Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of models, and of promotions.")]
_Offset = Annotated[int, Query(ge=0, description="Models to skip.")]
_PromotionsOffset = Annotated[int, Query(ge=0, description="Promotions to skip.")]


def add_models(app: FastAPI, registry: ModelRegistry) -> None:
    """Add the route."""

    @app.get("/api/v1/models", responses=refusals(422))
    def models(limit: _Limit = 100, offset: _Offset = 0, promotions_offset: _PromotionsOffset = 0) -> ModelsPage:
        """Return the models, newest first, and the journal of promotions and demotions, newest first."""
        problems: list[str] = []
        ids, current, journal = _ids(registry, problems), _current(registry, problems), _journal(registry, problems)
        if current is not None and current not in ids:
            problems.append(f"{current} is to serve and is missing; go back with forewarn models rollback")
        shown = journal[promotions_offset : promotions_offset + limit]
        return ModelsPage(
            total=len(ids),
            offset=offset,
            items=[model_document(registry, model, current) for model in ids[offset : offset + limit]],
            current=current,
            promotions=PromotionsPage(
                total=len(journal),
                offset=promotions_offset,
                items=[PromotionDocument.model_validate(promotion) for promotion in shown],
            ),
            problems=problems,
        )


def model_document(registry: ModelRegistry, model: str, current: str | None) -> ModelDocument:
    """Return one model; a damaged one has its problem and does not fail the others."""
    serves = model == current
    try:
        problem, record = registry.integrity_error(model), registry.record(model)
    # it is damaged, or was deleted since the models were listed
    except (ForewarnError, OSError) as error:
        return ModelDocument(id=model, serves=serves, problem=str(error))
    if problem is not None or record is None:
        return ModelDocument(id=model, serves=serves, problem=problem or "it has no record of its training")
    info, shown = record.info, shown_figures(record.info)
    return ModelDocument.model_validate(
        {
            "id": model,
            "serves": serves,
            "level": info.level.value,
            "trained_at": info.trained_seconds,
            "epochs": info.epochs,
            "verdict": _DECISIONS[None if info.verdict is None else info.verdict.promoted],
            "reasons": shown.reasons,
            "figures": shown,
        }
    )


def _ids(registry: ModelRegistry, problems: list[str]) -> list[str]:
    try:
        return registry.ids()[::-1]
    except BadModel as problem:
        problems.append(str(problem))
        return []


def _current(registry: ModelRegistry, problems: list[str]) -> str | None:
    try:
        return registry.current()
    except BadModel as problem:
        problems.append(str(problem))
        return None


def _journal(registry: ModelRegistry, problems: list[str]) -> tuple[Promotion, ...]:
    try:
        return registry.promotions()[::-1]
    except BadModel as problem:
        problems.append(str(problem))
        return ()


def add_claims(app: FastAPI, registry: ModelRegistry) -> None:
    """Add the routes."""

    @app.get("/api/v1/claims", responses=refusals(404, 422))
    def claims(model: _Model = None) -> ClaimsDocument:
        """Return what may and what must not be claimed of a model's accuracy, with the numbers and their sources."""
        with _errors_answered(model):
            status = serving_status(registry, model)
            made = claims_of(registry, status)
            return ClaimsDocument.model_validate(
                {**_status(status), "level": made.level, "may": made.may, "must_not": made.must_not}
            )

    @app.get("/api/v1/readiness", responses=refusals(404, 422))
    def readiness(model: _Model = None) -> ReadinessDocument:
        """Return the checklist for production, each check with its evidence."""
        with _errors_answered(model):
            status = serving_status(registry, model)
            made = readiness_of(registry, status)
            return ReadinessDocument.model_validate(
                {**_status(status), "ready": made.ready, "level": made.level, "checks": made.checks}
            )


def _status(status: ServingStatus) -> dict[str, object]:
    return {"model": status.model, "serves": status.serves, "withdrawn": demotion_text(status.demotion)}


@contextmanager
def _errors_answered(asked: str | None) -> Iterator[None]:
    """Answer 404 where the requested model does not exist, and 503 where its files cannot be read."""
    try:
        yield
    except BadModel as problem:
        missing = asked is not None and isinstance(problem, ModelNotFound)
        raise HTTPException(404 if missing else 503, plain(problem)) from problem
    except OSError as error:
        raise HTTPException(503, f"the models cannot be read: {reason_of(error)}") from error


def add_training(app: FastAPI, retraining: Retraining) -> None:
    """Add the routes."""

    @app.get("/api/v1/training", responses=refusals())
    def training() -> TrainingDocument:
        """Return the training under way, the last ones, and when the next is scheduled."""
        return training_document(retraining.state())

    @app.post("/api/v1/training", status_code=202, responses=refusals(400, 403, 409, 422))
    def start(request: TrainingRequest | None = None) -> RunDocument:
        """Begin a training now; 409 if one is under way or the day's budget is used up."""
        try:
            return RunDocument.model_validate(retraining.request(request.level if request is not None else None))
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


def training_document(state: TrainingState) -> TrainingDocument:
    """Return the state of training."""
    request = state.trigger_check.request
    return TrainingDocument.model_validate(
        {
            "current": state.current,
            "epochs": [asdict(epoch) for epoch in state.progress.epochs],
            "epoch": state.progress.epoch,
            "epoch_share": state.progress.epoch_share,
            "runs": state.runs[: -_MOST_SHOWN - 1 : -1],
            "next_run": state.next_time,
            "refused": state.refused or "",
            "wished": "" if request is None else request.why,
            "drift": state.trigger_check.drift,
        }
    )
