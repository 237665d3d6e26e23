"""What to do next, as far as the figures of a training run say it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.domain.claims import level_of, measured, tested
from daemon.domain.levels import LevelName
from daemon.reports.quality import mapping, percent

_SOUND_COVERAGE = 0.05
_NOMINAL = 0.80
NOTHING = "Nothing in these figures asks for a change."


def next_steps(info: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what the record asks for, the most pressing first; one sentence that says so where it asks for nothing."""
    steps = [*_refused(info), *_level(info), *_history(info), *_fitting(info, epochs)]
    if level_of(info).name is not LevelName.DEMO:
        steps += [*_skill(info), *_coverage(info)]
    return tuple(steps) or (NOTHING,)


def _refused(info: Mapping[str, Any]) -> Iterator[str]:
    if mapping(info, "verdict").get("promoted") is False:
        yield "This model does not serve: put right what the gate refused it for, or train again on newer history."


def _level(info: Mapping[str, Any]) -> Iterator[str]:
    level = level_of(info).name
    if level is LevelName.DEMO:
        yield "Train at level validation for a first baseline, and at level production for figures that may be quoted."
    elif level is LevelName.VALIDATION:
        yield "Train at level production: only its held-out test gives figures that may be quoted."
    elif not tested(info):
        yield "Train again with enough history for a held-out test: without one no figure may be quoted."


def _history(info: Mapping[str, Any]) -> Iterator[str]:
    hours, wanted = measured(info, "data_hours"), level_of(info).data_hours
    if hours is not None and hours < wanted:
        yield f"Collect or back-fill more history: there were {hours:g} h of the {wanted} h that this level asks for."


def _fitting(info: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    overfitting = mapping(info, "overfitting")
    if overfitting.get("warned"):
        ratio = measured(overfitting, "ratio")
        how = "" if ratio is None else f", at {ratio:.2f} times the training loss"
        remedies = (
            ", ".join(str(remedy) for remedy in overfitting.get("remedies") or ()) or "more data, a smaller model"
        )
        yield f"The model overfits: its validation loss is too high{how}. Remedies: {remedies}."
    last = epochs[-1].get("epoch") if epochs else None
    if level_of(info).name is LevelName.DEMO or info.get("convergence") == "achieved":
        return
    if last is not None and last == info.get("best_epoch"):
        yield "Train for more epochs: the validation loss was still falling at the last one."
    else:
        yield "Train for more epochs: training had not converged when it ended."


def _skill(info: Mapping[str, Any]) -> Iterator[str]:
    skill = {name: measured(info, "skill_vs_seasonal_naive", name) for name in mapping(info, "skill_vs_seasonal_naive")}
    worse = {name: ratio for name, ratio in skill.items() if ratio is not None and ratio >= 1}
    if worse:
        listed = ", ".join(f"{name} ({ratio:.2f})" for name, ratio in sorted(worse.items(), key=lambda item: -item[1]))
        yield f"Look at the samples of what is forecast no better than by repeating yesterday: {listed}."


def _coverage(info: Mapping[str, Any]) -> Iterator[str]:
    share = measured(info, "coverage", "80")
    if share is None or abs(share - _NOMINAL) <= _SOUND_COVERAGE:
        return
    kind = "too narrow, so warnings are too sure of themselves" if share < _NOMINAL else "wider than need be"
    yield f"Calibrate on newer history: the 80 % interval held {percent(share)} of the actual values, it is {kind}."
