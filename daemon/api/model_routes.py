"""The models over HTTP: what was trained, what serves, what served when and why."""

from typing import Annotated

from fastapi import FastAPI, Query

from daemon.api.model_documents import ModelsPage, PromotionsPage, model_document, plain, promotion_document
from daemon.api.refusals import refusals
from daemon.domain.errors import BadModel
from daemon.registry.models import ModelRegistry
from daemon.registry.promotions import Promotion

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
    except OSError as error:
        problems.append(f"the models cannot be listed: {error.strerror}")
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
