"""The claims that a model's level and measurements allow about its accuracy, and those that they forbid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daemon.core.errors import BadModel
from daemon.core.forecast import ForecasterKind
from daemon.core.levels import Level, LevelName, Sayable
from daemon.core.scoring import rating
from daemon.core.training_info import INFO_FILE, TrainingInfo
from daemon.models.gate import shown_reasons
from daemon.models.registry import Demotion, ModelRegistry, demotion_text

_LARGE_FLEET_SERVERS = 100
_BASE, _BASELINE = "the base network", "the climatology baseline"
_NEVER = (
    'Any percentage without the measurement that it comes from, and any superlative such as "industry-leading".',
    "Any of these figures for another fleet, another time span or another model: they hold for what was measured.",
)


@dataclass(frozen=True)
class Claim:
    """One claim that may be made.

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
    """What may be claimed of a model, and what must not; ``level`` is None where no model serves."""

    level: LevelName | None
    may: tuple[Claim, ...]
    must_not: tuple[str, ...]


@dataclass(frozen=True)
class ServingStatus:
    """A model, and whether it serves.

    Attributes:
        model: its id; None where no model was promoted yet.
        serves: whether it is the one that serves.
        demotion: of the model, or of the base network where there is no model; None where it was not demoted.
    """

    model: str | None
    serves: bool
    demotion: Demotion | None = None


@dataclass(frozen=True, kw_only=True)
class ShownFigures:
    """The figures of a model that may be shown.

    Attributes:
        train_loss: loss on the training data, which is no measure of accuracy.
        validation_loss: None where it may not be shown.
        quantile_loss: None where it may not be shown, or was not measured.
        skill: by metric; empty where it may not be shown.
        reasons: those of the gate, without their figures where those may not be shown.
    """

    train_loss: float
    validation_loss: float | None
    quantile_loss: float | None
    skill: Mapping[str, float]
    reasons: tuple[str, ...]


def sayable(level: Level, has_test: bool) -> Sayable:
    """Return which figures may be claimed of a model of ``level``; without a held-out test none that needs one."""
    return Sayable.NOTHING if level.sayable is Sayable.HELD_OUT and not has_test else level.sayable


def allowed_figures(info: TrainingInfo) -> Sayable:
    """Return which figures of a model may be claimed, and so be shown."""
    return sayable(info.training_level, info.tested)


def shown_figures(info: TrainingInfo) -> ShownFigures:
    """Return the figures that the level of a model and its held-out test allow."""
    allowed = allowed_figures(info)
    held_out = allowed is Sayable.HELD_OUT
    return ShownFigures(
        train_loss=info.final_train_loss,
        validation_loss=None if allowed is Sayable.NOTHING else info.final_val_loss,
        quantile_loss=info.quantile_loss if held_out else None,
        skill=info.skill if held_out else {},
        reasons=() if info.verdict is None else shown_reasons(info.verdict, allowed),
    )


def claims(info: TrainingInfo, demotion: Demotion | None = None) -> Claims:
    """Return the claims that the level and the measurements of a model allow, and those that they forbid."""
    may = {Sayable.NOTHING: _demo, Sayable.VALIDATION_LOSS: _validation, Sayable.HELD_OUT: _held_out}
    allowed = tuple(may[info.training_level.sayable](info))
    demoted = () if demotion is None else (f"That it serves, or forecasts well now: it was {demotion_text(demotion)}.",)
    return Claims(info.level, allowed, (*demoted, *_refusals(info), *_NEVER))


def claims_without_model(serving: str) -> Claims:
    """Return the claims where no model was trained: none, as nothing was measured of ``serving``."""
    nothing = (
        f"Any figure of accuracy, loss, coverage or skill: no model serves, and {serving}, which serves instead, was "
        "not measured on these servers. Train a model at level production."
    )
    return Claims(None, (), (nothing, *_NEVER))


def serving_status(registry: ModelRegistry, model: str | None = None) -> ServingStatus:
    """Return the serving status of ``model``, by default of the one in ``current``.

    Raises:
        BadModel: there is no such model, or ``current`` or the journal of promotions is damaged.
    """
    current = registry.current()
    name = current if model is None else model
    demotion = registry.demotion(ForecasterKind.BASE.value if name is None else name)
    if name is not None:
        registry.path(name)
    return ServingStatus(name, name is not None and name == current and demotion is None, demotion)


def claims_of(registry: ModelRegistry, status: ServingStatus) -> Claims:
    """Return the claims of the model, or of what serves where there is no model.

    Raises:
        BadModel: the record of its training is damaged or missing.
    """
    if status.model is None:
        return claims_without_model(_BASE if status.demotion is None else _BASELINE)
    return claims(info_of(registry, status.model), status.demotion)


def info_of(registry: ModelRegistry, model: str) -> TrainingInfo:
    """Return ``training_info.json`` of ``model``.

    Raises:
        BadModel: there is no such model, or its record is damaged or missing.
    """
    info = TrainingInfo.read(registry.path(model))
    if info is None:
        raise BadModel(f"{registry.path(model)}: it has no record of its training; train a new model")
    return info


def counted(number: float, what: str) -> str:
    """Return a number and its noun, in the plural unless the number is one."""
    return f"{number:g} {what}{'s' * (number != 1)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _source(*path: str) -> str:
    return f"{INFO_FILE}: {'.'.join(path)}"


def _demo(info: TrainingInfo) -> Iterator[Claim]:
    sentence = f"A proof of concept: trained end to end on {info.data_hours:g} h of history; no accuracy is claimed."
    yield Claim(sentence, info.data_hours, _source("data_hours"))


def _validation(info: TrainingInfo) -> Iterator[Claim]:
    loss = info.final_val_loss
    text = f"A first baseline: a validation loss of {loss:.4f} (weighted pinball loss of scaled series)"
    yield Claim(f"{text}; convergence is not claimed.", loss, _source("final_val_loss"))


def _held_out(info: TrainingInfo) -> Iterator[Claim]:
    if not info.tested:
        return
    loss = info.quantile_loss
    if loss is not None and loss >= 0:
        text = f"On the held-out test, a quantile loss of {loss:.3f}, which is rated {rating(loss)}"
        what = "pinball loss over the error of repeating yesterday, mean over series"
        yield Claim(f"{text} ({what}).", loss, _source("quantile_loss"))
    for interval, share in info.coverage.items():
        if share is not None:
            text = f"The {interval} % interval held {_percent(share)} of the actual values."
            yield Claim(text, share, _source("coverage", interval))
    if info.converged:
        text = f"Training converged: it stopped early, after {counted(info.epochs, 'epoch')}."
        yield Claim(text, float(info.epochs), _source("epochs"))
    yield from _held_out_servers(info)
    yield from _by_metric(info)


def _held_out_servers(info: TrainingInfo) -> Iterator[Claim]:
    found = info.unknown_servers
    if found is None or found.skill is None:
        return
    text = f"On {counted(found.servers, 'server')} that it was not trained on, "
    text += f"{found.skill:.3f} times the pinball loss of repeating yesterday"
    known = (
        "" if found.known_skill is None else f"; on the servers that it was trained on, {found.known_skill:.3f} times"
    )
    source = _source("unknown_servers", "skill")
    yield Claim(f"{text} ({counted(found.windows, 'window')}){known}.", found.skill, source)


def _by_metric(info: TrainingInfo) -> Iterator[Claim]:
    for metric in info.incident_figures or {}:
        yield from _accuracy(info, metric)
    for metric, shares in (info.coverage_by_metric or {}).items():
        if (share := shares.get("80")) is not None:
            text = f"{metric}: the 80 % interval held {_percent(share)} of the actual values."
            yield Claim(text, share, _source("coverage_by_metric", metric, "80"))
    for metric, skill in info.skill.items():
        text = f"{metric}: {skill:.3f} times the pinball loss of repeating yesterday."
        yield Claim(text, skill, _source("skill_vs_seasonal_naive", metric))


def _accuracy(info: TrainingInfo, metric: str) -> Iterator[Claim]:
    found = (info.incident_figures or {})[metric]
    # with windows of one kind alone there is no balanced accuracy
    if found.balanced_accuracy is None or not 0 < found.breaches < found.windows:
        return
    accuracy = found.balanced_accuracy
    text = f"{metric}: an accuracy of {_percent(accuracy)} (balanced accuracy of whether it breaches within 8 hours"
    counts = f"over {found.windows} windows, {found.breaches} of which breached"
    yield Claim(f"{text}, {counts}).", accuracy, _source("incident_figures", metric, "balanced_accuracy"))


def _refusals(info: TrainingInfo) -> Iterator[str]:
    if info.level is LevelName.DEMO:
        yield "Any figure of accuracy, quantile loss, coverage or skill: level demo is a proof of concept."
        yield "That it is ready for production, or that training converged."
        return
    if info.level is LevelName.VALIDATION:
        yield "Any accuracy, coverage or skill: level validation has no test span, and its span chose the epoch."
        yield "That training converged: level validation does not show it."
        return
    yield from _untested(info)
    if not any(_held_out_servers(info)):
        yield "Anything about servers that it was not trained on: no server was held out to measure that."
    if not info.converged:
        yield "That training converged: it reached its last epoch before early stopping ended it."
    yield from _shortfalls(info)
    worse = [name for name, skill in info.skill.items() if skill >= 1]
    if worse:
        yield f"That it is better than repeating yesterday for {', '.join(worse)}: there it is not."
    if info.verdict is not None and not info.verdict.promoted:
        yield "That it is good enough to serve: the promotion gate rejected it."


def _untested(info: TrainingInfo) -> Iterator[str]:
    if not info.tested:
        yield f"Any accuracy, loss, coverage or skill of level {info.level.value}: no held-out test was recorded."
        return
    figures = tuple(info.incident_figures or {})
    measured = [metric for metric in figures if any(_accuracy(info, metric))]
    if not measured:
        yield "Any accuracy: no breach within 8 hours was measured on the held-out test."
    elif len(measured) < len(figures):
        others = ", ".join(metric for metric in figures if metric not in measured)
        yield f"Any accuracy for {others}: the held-out test had no window with a breach, or none without."


def _shortfalls(info: TrainingInfo) -> Iterator[str]:
    """Yield a sentence for each requirement of the level that the training did not meet."""
    level, name, servers = info.training_level, info.level.value, info.num_servers
    if info.data_hours < level.data_hours:
        hours = f"(on record: {info.data_hours:g})"
        yield f"That it learnt from the {level.data_hours} h of history of level {name} {hours}."
    if info.epochs < level.epochs and not info.converged:
        yield f"That it had the {level.epochs} epochs of level {name} (on record: {info.epochs})."
    if info.level is LevelName.LARGE and servers < _LARGE_FLEET_SERVERS:
        yield f"That it was measured on a fleet of {_LARGE_FLEET_SERVERS} servers or more (on record: {servers})."
