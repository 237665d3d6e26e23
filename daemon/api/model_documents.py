"""What the JSON API answers on models and on which of them served when."""

from datetime import UTC, datetime

from pydantic import BaseModel

from daemon.domain.errors import ForewarnError
from daemon.domain.shown_figures import ShownFigures, shown_figures
from daemon.registry.models import ModelRegistry
from daemon.registry.promotions import Promotion

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
        problem, record = registry.damage(model), registry.record(model)
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
