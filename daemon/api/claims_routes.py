"""What may be said of a model, and how ready it is, over HTTP: the same as the command line says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel

from daemon.api.model_documents import plain
from daemon.api.refusals import refusals
from daemon.domain.claims import Claims
from daemon.domain.errors import BadModel, ModelNotFound
from daemon.domain.readiness import Readiness
from daemon.registry.models import ModelRegistry
from daemon.registry.readiness import readiness_of
from daemon.registry.standing import Standing, claims_of, standing_of

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
            standing = standing_of(registry, model)
            return _claims_document(standing, claims_of(registry, standing))

    @app.get("/api/v1/readiness", responses=refusals(404, 422))
    def readiness(model: _Model = None) -> ReadinessDocument:
        """Return the checklist for production, each line with its evidence."""
        with _told(model):
            standing = standing_of(registry, model)
            return _readiness_document(standing, readiness_of(registry, standing))


@contextmanager
def _told(asked: str | None) -> Iterator[None]:
    """Answer 404 where a model that was asked for is not there, and 503 where what is there cannot be read."""
    try:
        yield
    except BadModel as problem:
        missing = asked is not None and isinstance(problem, ModelNotFound)
        raise HTTPException(404 if missing else 503, plain(problem)) from problem
    except OSError as error:
        raise HTTPException(503, f"the models cannot be read: {error.strerror}") from error


def _claims_document(standing: Standing, made: Claims) -> ClaimsDocument:
    return ClaimsDocument(
        model=None if standing.model is None else plain(standing.model),
        serves=standing.serves,
        withdrawn=plain(standing.withdrawn),
        level=made.level,
        may=[
            ClaimDocument(sentence=plain(claim.sentence), number=claim.number, source=plain(claim.source))
            for claim in made.may
        ],
        must_not=[plain(sentence) for sentence in made.must_not],
    )


def _readiness_document(standing: Standing, made: Readiness) -> ReadinessDocument:
    return ReadinessDocument(
        model=None if standing.model is None else plain(standing.model),
        serves=standing.serves,
        withdrawn=plain(standing.withdrawn),
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
