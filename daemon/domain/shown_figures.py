"""Which figures of a model are shown, wherever one is shown: those that may be claimed, and no other."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from daemon.domain.claims import sayable
from daemon.domain.gate import without_figures
from daemon.domain.levels import LEVELS, Sayable
from daemon.domain.model_record import ModelRecord


@dataclass(frozen=True)
class ShownFigures:
    """The figures of a model as far as they may be shown.

    Attributes:
        train_loss: how well it fits what it was fitted to, which says nothing of its accuracy.
        validation_loss: None where it may not be shown.
        quantile_loss: None where it may not be shown, or was not measured.
        skill: by metric; empty where it may not be shown.
        reasons: the gate's, without their figures where those may not be shown.
    """

    train_loss: float
    validation_loss: float | None
    quantile_loss: float | None
    skill: Mapping[str, float]
    reasons: tuple[str, ...]


def shown_figures(record: ModelRecord) -> ShownFigures:
    """Return the figures of ``record`` that its level and its held-out test allow."""
    allowed = sayable(LEVELS[record.level], record.tested)
    held_out = allowed is Sayable.HELD_OUT
    return ShownFigures(
        record.train_loss,
        None if allowed is Sayable.NOTHING else record.validation_loss,
        record.quantile_loss if held_out else None,
        {name: ratio for name, ratio in record.skill.items() if math.isfinite(ratio)} if held_out else {},
        shown_reasons(record.reasons, allowed),
    )


def shown_reasons(reasons: tuple[str, ...], allowed: Sayable) -> tuple[str, ...]:
    """Return the gate's reasons with their figures, of held-out time, only where those may be said."""
    return reasons if allowed is Sayable.HELD_OUT else tuple(map(without_figures, reasons))
