"""The models over HTTP: what was trained, what serves, what served when and why."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict

from daemon.api.answers import refusals
from daemon.core.errors import BadModel, ForewarnError, ModelNotFound
from daemon.core.file_access import reason_of
from daemon.core.levels import LevelName
from daemon.core.series import as_text
from daemon.models.claims import Claims, ServingStatus, ShownFigures, claims_of, serving_status, shown_figures
from daemon.models.readiness import Readiness, readiness_of
from daemon.models.registry import ModelRegistry, Promotion
from daemon.models.runs import Retraining, TrainingRefused, TrainingRun

_VERDICTS = {True: "promoted", False: "rejected", None: "none"}


class ModelFigures(BaseModel):
    """What was measured at the training, null where it is no number or must not be said, see ``/api/v1/claims``."""

    train_loss: float | None
    validation_loss: float | None
    quantile_loss: float | None
    skill: dict[str, float]


class ModelDocument(BaseModel):
    """A model directory; of a damaged one only ``problem`` is known."""

    id: str
    serves: bool
    problem: str = ""
    level: str | None = None
    trained_at: str | None = None
    epochs: int | None = None
    verdict: str | None = None
    reasons: list[str] = []
    figures: ModelFigures | None = None


class PromotionDocument(BaseModel):
    """A model began to serve.

    ``back`` is whether it had served before and was gone back to; ``withdrawn`` that it ceased to serve, and that the
    baseline does in its place.
    """

    at: str
    model: str
    previous: str | None
    why: str
    back: bool
    withdrawn: bool


class PromotionsPage(BaseModel):
    """A part of the journal, newest first."""

    total: int
    offset: int
    items: list[PromotionDocument]


class ModelsPage(BaseModel):
    """A part of the models, newest first, which one is to serve, what served before, and what cannot be read."""

    total: int
    offset: int
    items: list[ModelDocument]
    current: str | None
    promotions: PromotionsPage
    problems: list[str]


def model_document(registry: ModelRegistry, model: str, current: str | None) -> ModelDocument:
    """Return one model; what is wrong with it is its problem, and nobody else's."""
    document = ModelDocument(id=plain(model), serves=model == current)
    try:
        problem, record = registry.integrity_error(model), registry.record(model)
    # it is damaged, or was removed since the models were listed
    except (ForewarnError, OSError) as error:
        return document.model_copy(update={"problem": plain(str(error))})
    if problem is not None or record is None:
        return document.model_copy(update={"problem": plain(problem or "nothing is on record of its training")})
    shown = shown_figures(record)
    return document.model_copy(
        update={
            "level": record.level.value,
            "trained_at": datetime.fromtimestamp(record.trained_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "epochs": record.epochs,
            "verdict": _VERDICTS[record.promoted],
            "reasons": [plain(reason) for reason in shown.reasons],
            "figures": _figures(shown),
        }
    )


def _figures(shown: ShownFigures) -> ModelFigures:
    return ModelFigures(
        train_loss=shown.train_loss,
        validation_loss=shown.validation_loss,
        quantile_loss=shown.quantile_loss,
        skill={plain(name): ratio for name, ratio in shown.skill.items()},
    )


def promotion_document(promotion: Promotion) -> PromotionDocument:
    """Return one line of the journal."""
    return PromotionDocument(
        at=plain(promotion.at),
        model=plain(promotion.model),
        previous=None if promotion.previous is None else plain(promotion.previous),
        why=plain(promotion.why),
        back=bool(promotion.back),
        withdrawn=bool(promotion.withdrawn),
    )


def plain(text: object) -> str:
    """Return ``text`` as what JSON can carry: files of others may hold anything, halves of surrogate pairs too."""
    return str(text).encode("utf-8", "replace").decode()


_Model = Annotated[str | None, Query(description="Id of a model; default is the one that serves.")]


class ClaimDocument(BaseModel):
    """A sentence that may be said, its figure, and the file and the key where that stands."""

    sentence: str
    number: float
    source: str


class ClaimsDocument(BaseModel):
    """What may and what must not be said; ``model`` and ``level`` are null where no model serves."""

    model: str | None
    serves: bool
    withdrawn: str
    level: str | None
    may: list[ClaimDocument]
    must_not: list[str]


class CheckDocument(BaseModel):
    """A line of the checklist: its figures, where they stand, and what to do where it did not pass."""

    name: str
    passed: bool
    evidence: str
    source: str
    fix: str


class ReadinessDocument(BaseModel):
    """The checklist for production; ``model`` and ``level`` are null where no model serves."""

    model: str | None
    serves: bool
    withdrawn: str
    ready: bool
    level: str | None
    checks: list[CheckDocument]


def add_claims(app: FastAPI, registry: ModelRegistry) -> None:
    """Add the routes."""

    @app.get("/api/v1/claims", responses=refusals(404, 422))
    def claims(model: _Model = None) -> ClaimsDocument:
        """Return what may and what must not be said of a model's accuracy, with the numbers and where they stand."""
        with _told(model):
            status = serving_status(registry, model)
            return _claims_document(status, claims_of(registry, status))

    @app.get("/api/v1/readiness", responses=refusals(404, 422))
    def readiness(model: _Model = None) -> ReadinessDocument:
        """Return the checklist for production, each line with its evidence."""
        with _told(model):
            status = serving_status(registry, model)
            return _readiness_document(status, readiness_of(registry, status))


@contextmanager
def _told(asked: str | None) -> Iterator[None]:
    """Answer 404 where a model that was asked for is not there, and 503 where what is there cannot be read."""
    try:
        yield
    except BadModel as problem:
        missing = asked is not None and isinstance(problem, ModelNotFound)
        raise HTTPException(404 if missing else 503, plain(problem)) from problem
    except OSError as error:
        raise HTTPException(503, f"the models cannot be read: {reason_of(error)}") from error


def _claims_document(status: ServingStatus, made: Claims) -> ClaimsDocument:
    return ClaimsDocument(
        model=None if status.model is None else plain(status.model),
        serves=status.serves,
        withdrawn=plain(status.withdrawn),
        level=made.level,
        may=[
            ClaimDocument(sentence=plain(claim.sentence), number=claim.number, source=plain(claim.source))
            for claim in made.may
        ],
        must_not=[plain(sentence) for sentence in made.must_not],
    )


def _readiness_document(status: ServingStatus, made: Readiness) -> ReadinessDocument:
    return ReadinessDocument(
        model=None if status.model is None else plain(status.model),
        serves=status.serves,
        withdrawn=plain(status.withdrawn),
        ready=made.ready,
        level=made.level,
        checks=[
            CheckDocument(
                name=check.name,
                passed=check.passed,
                evidence=plain(check.evidence),
                source=check.source,
                fix=check.fix,
            )
            for check in made.checks
        ],
    )


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
            wished="" if state.trigger_check.request is None else state.trigger_check.request.why,
            drift=state.trigger_check.drift,
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


_Limit = Annotated[int, Query(ge=1, le=1000, description="Most models, and most promotions, in the answer.")]
_Offset = Annotated[int, Query(ge=0, description="Models to skip.")]
_PromotionsOffset = Annotated[int, Query(ge=0, description="Promotions to skip.")]


def add_models(app: FastAPI, registry: ModelRegistry) -> None:
    """Add the route."""

    @app.get("/api/v1/models", responses=refusals(422))
    def models(limit: _Limit = 100, offset: _Offset = 0, promotions_offset: _PromotionsOffset = 0) -> ModelsPage:
        """Return the models, newest first, and the journal of what served since when and why, newest first."""
        problems: list[str] = []
        ids, current, journal = _ids(registry, problems), _current(registry, problems), _journal(registry, problems)
        if current is not None and current not in ids:
            problems.append(f"{plain(current)} is to serve and is not there; forewarn models rollback goes back")
        return ModelsPage(
            total=len(ids),
            offset=offset,
            items=[model_document(registry, model, current) for model in ids[offset : offset + limit]],
            current=None if current is None else plain(current),
            promotions=PromotionsPage(
                total=len(journal),
                offset=promotions_offset,
                items=[promotion_document(each) for each in journal[promotions_offset : promotions_offset + limit]],
            ),
            problems=problems,
        )


def _ids(registry: ModelRegistry, problems: list[str]) -> list[str]:
    try:
        return registry.ids()[::-1]
    except BadModel as problem:
        problems.append(plain(problem))
        return []


def _current(registry: ModelRegistry, problems: list[str]) -> str | None:
    try:
        return registry.current()
    except BadModel as problem:
        problems.append(plain(problem))
        return None


def _journal(registry: ModelRegistry, problems: list[str]) -> list[Promotion]:
    try:
        return registry.promotions()[::-1]
    except BadModel as problem:
        problems.append(plain(problem))
        return []
