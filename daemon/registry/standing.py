"""How a model stands: whether it serves, and what may be said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.domain.claims import Claims, claims, claims_without_model
from daemon.domain.errors import BadModel
from daemon.domain.forecast import ForecastSource
from daemon.registry.models import ModelRegistry
from daemon.registry.records import read_info

_BASE, _BASELINE = "the base network, which does", "the climatology baseline, which does"


@dataclass(frozen=True)
class Standing:
    """A model, and whether it serves.

    Attributes:
        model: its id; None where none was let serve yet.
        serves: whether it is the one that serves.
        withdrawn: since when and why it, or without a model the base network, does not; empty where it was not.
    """

    model: str | None
    serves: bool
    withdrawn: str


def standing_of(registry: ModelRegistry, model: str | None = None) -> Standing:
    """Return how ``model``, by default the one that is to serve, stands.

    Raises:
        BadModel: there is no such model, or ``current`` or the journal of promotions is damaged.
    """
    current = registry.current()
    name = current if model is None else model
    line = registry.withdrawal(ForecastSource.BASE.value if name is None else name)
    withdrawn = "" if line is None else f"withdrawn at {line.at}: {line.why}"
    if name is not None:
        registry.path(name)
    return Standing(name, name is not None and name == current and not withdrawn, withdrawn)


def claims_of(registry: ModelRegistry, standing: Standing) -> Claims:
    """Return what may be said of the model, or where there is none, of what serves in its place.

    Raises:
        BadModel: the record of its training is damaged, or there is none.
    """
    if standing.model is None:
        return claims_without_model(_BASELINE if standing.withdrawn else _BASE)
    return claims(info_of(registry, standing.model), standing.withdrawn)


def info_of(registry: ModelRegistry, model: str) -> Mapping[str, Any]:
    """Return ``training_info.json`` of ``model``.

    Raises:
        BadModel: there is no such model, or its record is damaged, or there is none.
    """
    info = read_info(registry.path(model))
    if info is None:
        raise BadModel(f"{registry.path(model)}: nothing is on record of its training; train a new model")
    return info
