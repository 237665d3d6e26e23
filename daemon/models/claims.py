"""What may and what must not be said of a model's accuracy, from its level and its measurements alone."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.core.errors import BadModel
from daemon.core.forecast import ForecasterKind
from daemon.core.levels import LEVELS, Level, LevelName, Sayable
from daemon.core.scoring import rating
from daemon.models.gate import without_figures
from daemon.models.record import FILE, ModelRecord, level_of, measured, read_info, tested
from daemon.models.registry import ModelRegistry

_LARGE_FLEET_SERVERS = 100
_NEVER = (
    'Any percentage without a measurement that stands beside it, and any superlative such as "industry-leading".',
    "Any of these figures for another fleet, another span of time or another model: they hold for what was measured.",
)


@dataclass(frozen=True)
class Claim:
    """One thing that may be said.

    Attributes:
        sentence: the claim, with its number in it.
        number: the figure that the sentence rests on, as it was recorded.
        source: file and key of the figure.
    """

    sentence: str
    number: float
    source: str


@dataclass(frozen=True)
class Claims:
    """What may be said of a model, and what must not; ``level`` is None where no model serves."""

    level: LevelName | None
    may: tuple[Claim, ...]
    must_not: tuple[str, ...]


def claims(info: Mapping[str, Any], withdrawn: str = "") -> Claims:
    """Return what the level and the measurements of a ``training_info.json`` allow.

    Args:
        info: the record.
        withdrawn: since when and why the model does not serve any more; empty where it was not withdrawn.

    Raises:
        BadModel: its level is none of the four.
    """
    level = level_of(info)
    may = {Sayable.NOTHING: _demo, Sayable.VALIDATION_LOSS: _validation, Sayable.HELD_OUT: _held_out}[level.sayable]
    no_longer = (f"That it serves, or forecasts well now: it was {withdrawn}.",) if withdrawn else ()
    return Claims(level.name, tuple(may(info)), (*no_longer, *_refusals(info, level), *_NEVER))


def claims_without_model(serving: str) -> Claims:
    """Return what may be said where no model was trained: nothing, as nothing was measured of ``serving``."""
    nothing = (
        f"Any figure of accuracy, loss, coverage or skill: no model serves, and of {serving}, nothing was measured"
    )
    return Claims(None, (), (f"{nothing} on these servers. Train one at level production.", *_NEVER))


def sayable(level: Level, has_test: bool) -> Sayable:
    """Return which figures may be said of a model of ``level``; without a held-out test none that needs one."""
    return Sayable.NOTHING if level.sayable is Sayable.HELD_OUT and not has_test else level.sayable


def counted(number: float, what: str) -> str:
    """Return a number with what is counted, in the plural where it is not one."""
    return f"{number:g} {what}{'s' * (number != 1)}"


def _names(info: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = info.get(key)
    return tuple(found) if isinstance(found, Mapping) else ()


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _source(*path: str) -> str:
    return f"{FILE}: {'.'.join(path)}"


def _demo(info: Mapping[str, Any]) -> Iterator[Claim]:
    if (hours := measured(info, "data_hours")) is not None:
        sentence = f"A proof of concept: trained end to end on {hours:g} h of history; no accuracy is claimed."
        yield Claim(sentence, hours, _source("data_hours"))


def _validation(info: Mapping[str, Any]) -> Iterator[Claim]:
    if (loss := measured(info, "final_val_loss")) is not None:
        text = f"A first baseline: a validation loss of {loss:.4f} (weighted pinball loss of scaled series)"
        yield Claim(f"{text}; convergence is not claimed.", loss, _source("final_val_loss"))


def _held_out(info: Mapping[str, Any]) -> Iterator[Claim]:
    if sayable(level_of(info), tested(info)) is not Sayable.HELD_OUT:
        return
    loss = measured(info, "quantile_loss")
    if loss is not None and loss >= 0:
        text = f"On the held-out test, a quantile loss of {loss:.3f}, which is rated {rating(loss)}"
        what = "pinball loss over the error of repeating yesterday, mean over series"
        yield Claim(f"{text} ({what}).", loss, _source("quantile_loss"))
    for interval in _names(info, "coverage"):
        if (share := measured(info, "coverage", interval)) is not None:
            text = f"The {interval} % interval held {_percent(share)} of the actual values."
            yield Claim(text, share, _source("coverage", interval))
    epochs = measured(info, "epochs")
    if epochs is not None and info.get("convergence") == "achieved":
        yield Claim(f"Training converged: it stopped early, after {epochs:g} epochs.", epochs, _source("epochs"))
    yield from _unknown_servers(info)
    yield from _by_metric(info)


def _unknown_servers(info: Mapping[str, Any]) -> Iterator[Claim]:
    skill, servers, windows = (measured(info, "unknown_servers", key) for key in ("skill", "servers", "windows"))
    if skill is None or servers is None or windows is None:
        return
    text = f"On {counted(servers, 'server')} that it was not trained on, "
    text += f"{skill:.3f} times the pinball loss of repeating yesterday"
    known = measured(info, "unknown_servers", "known_skill")
    beside = "" if known is None else f"; on those that it was trained on, {known:.3f} times"
    yield Claim(f"{text} ({counted(windows, 'window')}){beside}.", skill, _source("unknown_servers", "skill"))


def _by_metric(info: Mapping[str, Any]) -> Iterator[Claim]:
    for metric in _names(info, "incident_figures"):
        yield from _accuracy(info, metric)
    for metric in _names(info, "coverage_by_metric"):
        if (share := measured(info, "coverage_by_metric", metric, "80")) is not None:
            text = f"{metric}: the 80 % interval held {_percent(share)} of the actual values."
            yield Claim(text, share, _source("coverage_by_metric", metric, "80"))
    for metric in _names(info, "skill_vs_seasonal_naive"):
        if (skill := measured(info, "skill_vs_seasonal_naive", metric)) is not None:
            text = f"{metric}: {skill:.3f} times the pinball loss of repeating yesterday."
            yield Claim(text, skill, _source("skill_vs_seasonal_naive", metric))


def _accuracy(info: Mapping[str, Any], metric: str) -> Iterator[Claim]:
    path = ("incident_figures", metric)
    windows, breaches, accuracy = (measured(info, *path, key) for key in ("windows", "breaches", "balanced_accuracy"))
    # of one kind of window alone there is no balanced accuracy
    if windows is None or breaches is None or accuracy is None or not 0 < breaches < windows:
        return
    text = f"{metric}: an accuracy of {_percent(accuracy)} (balanced accuracy of whether it breaches within 8 hours"
    counts = f"over {windows:g} windows, {breaches:g} of which breached"
    yield Claim(f"{text}, {counts}).", accuracy, _source(*path, "balanced_accuracy"))


def _refusals(info: Mapping[str, Any], level: Level) -> Iterator[str]:
    if level.name is LevelName.DEMO:
        yield "Any figure of accuracy, quantile loss, coverage or skill: level demo is a proof of concept."
        yield "That it is ready for production, or that training converged."
        return
    if level.name is LevelName.VALIDATION:
        yield "Any accuracy, coverage or skill: level validation keeps no test span, and its span chose the epoch."
        yield "That training converged: level validation does not show it."
        return
    yield from _untested(info, level)
    if not any(_unknown_servers(info)):
        yield "Anything of servers that it was not trained on: none were kept apart to measure that."
    if info.get("convergence") != "achieved":
        yield "That training converged: it was still within its epochs when it ended."
    yield from _shortfalls(info, level)
    worse = [name for name in _names(info, "skill_vs_seasonal_naive") if _worse(info, name)]
    if worse:
        yield f"That it is better than repeating yesterday for {', '.join(worse)}: there it is not."
    verdict = info.get("verdict")
    if isinstance(verdict, Mapping) and verdict.get("promoted") is False:
        yield "That it is good enough to serve: the promotion gate refused it."


def _untested(info: Mapping[str, Any], level: Level) -> Iterator[str]:
    if not tested(info):
        yield f"Any accuracy, loss, coverage or skill of level {level.name.value}: no held-out test was recorded."
        return
    figures = _names(info, "incident_figures")
    judged = [metric for metric in figures if any(_accuracy(info, metric))]
    if not judged:
        yield "Any accuracy: no breach within 8 hours was measured on the held-out test."
    elif len(judged) < len(figures):
        silent = ", ".join(metric for metric in figures if metric not in judged)
        yield f"Any accuracy for {silent}: the held-out test had no window with a breach, or none without."


def _shortfalls(info: Mapping[str, Any], level: Level) -> Iterator[str]:
    """Yield what the level asks for and the training run did not have."""
    hours, epochs, servers = (measured(info, key) for key in ("data_hours", "epochs", "num_servers"))
    name = level.name.value
    if hours is None or hours < level.data_hours:
        yield f"That it learnt from the {level.data_hours} h of history of level {name} ({_on_record(hours)})."
    if (epochs is None or epochs < level.epochs) and info.get("convergence") != "achieved":
        yield f"That it had the {level.epochs} epochs of level {name} ({_on_record(epochs)})."
    if level.name is LevelName.LARGE and (servers is None or servers < _LARGE_FLEET_SERVERS):
        yield f"That it is shown on a large fleet, {_LARGE_FLEET_SERVERS} servers or more ({_on_record(servers)})."


def _on_record(number: float | None) -> str:
    return "not on record" if number is None else f"on record: {number:g}"


def _worse(info: Mapping[str, Any], metric: str) -> bool:
    skill = measured(info, "skill_vs_seasonal_naive", metric)
    return skill is not None and skill >= 1


@dataclass(frozen=True, kw_only=True)
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
        train_loss=record.train_loss,
        validation_loss=None if allowed is Sayable.NOTHING else record.validation_loss,
        quantile_loss=record.quantile_loss if held_out else None,
        skill={name: ratio for name, ratio in record.skill.items() if math.isfinite(ratio)} if held_out else {},
        reasons=shown_reasons(record.reasons, allowed),
    )


def shown_reasons(reasons: tuple[str, ...], allowed: Sayable) -> tuple[str, ...]:
    """Return the gate's reasons with their figures, of held-out time, only where those may be said."""
    return reasons if allowed is Sayable.HELD_OUT else tuple(map(without_figures, reasons))


_BASE, _BASELINE = "the base network, which does", "the climatology baseline, which does"


@dataclass(frozen=True)
class ServingStatus:
    """A model, and whether it serves.

    Attributes:
        model: its id; None where none was let serve yet.
        serves: whether it is the one that serves.
        withdrawn: since when and why it, or without a model the base network, does not; empty where it was not.
    """

    model: str | None
    serves: bool
    withdrawn: str


def serving_status(registry: ModelRegistry, model: str | None = None) -> ServingStatus:
    """Return how ``model``, by default the one that is to serve, stands.

    Raises:
        BadModel: there is no such model, or ``current`` or the journal of promotions is damaged.
    """
    current = registry.current()
    name = current if model is None else model
    line = registry.demotion(ForecasterKind.BASE.value if name is None else name)
    withdrawn = "" if line is None else f"withdrawn at {line.at}: {line.why}"
    if name is not None:
        registry.path(name)
    return ServingStatus(name, name is not None and name == current and not withdrawn, withdrawn)


def claims_of(registry: ModelRegistry, status: ServingStatus) -> Claims:
    """Return what may be said of the model, or where there is none, of what serves in its place.

    Raises:
        BadModel: the record of its training is damaged, or there is none.
    """
    if status.model is None:
        return claims_without_model(_BASELINE if status.withdrawn else _BASE)
    return claims(info_of(registry, status.model), status.withdrawn)


def info_of(registry: ModelRegistry, model: str) -> Mapping[str, Any]:
    """Return ``training_info.json`` of ``model``.

    Raises:
        BadModel: there is no such model, or its record is damaged, or there is none.
    """
    info = read_info(registry.path(model))
    if info is None:
        raise BadModel(f"{registry.path(model)}: nothing is on record of its training; train a new model")
    return info
