"""The report of a training run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from daemon.core.levels import LevelName
from daemon.core.scoring import BUCKETS, INTERVALS
from daemon.models.claims import Claim, claims, sayable, shown_reasons
from daemon.models.record import FILE, level_of, measured, tested
from daemon.reports.charts import (
    BLUE,
    ORANGE,
    axis,
    coverage_chart,
    fan_chart,
    fan_legend,
    fans_of,
    layout,
    line,
    ratio_map,
    reliability_chart,
)
from daemon.reports.page import Chart, Charts, Folded, Part, Points, Section, Table, render_page

WITHHELD = "Not shown: a demo model is a proof of concept, and no figure of its accuracy may be given."
RATIO_NOTE = (
    "Pinball loss over that of seasonal naive, which repeats yesterday: 1 is as good as it, blue and below 1 is "
    "better, orange and above 1 is worse. An empty cell could not be measured."
)
RELIABILITY_NOTE = (
    "The share of actual values at or below each quantile should be the quantile's own. A series that rests at one "
    "value, such as 0, equals its quantiles and so lies above the line."
)
BREACH_NOTE = (
    "Of the windows for which a probability was claimed, the share in which a breach began should be that probability."
)

Info = Mapping[str, Any]
_INCIDENT_COLUMNS = ("windows", "breaches", "balanced_accuracy", "precision", "recall", "cut", "brier")


def quality_sections(info: Info) -> list[Section]:
    """Return skill, calibration, warnings of breaches, and profiles; withheld at level demo."""
    made = {
        "Skill by metric and horizon": _skill,
        "Calibration": _calibration,
        "Breaches within 8 hours": _incidents,
        "By profile": _profiles,
    }
    if level_of(info).name is LevelName.DEMO:
        return [Section("Skill, calibration and accuracy", [WITHHELD])]
    return [Section(title, [*_preface(info), *section(info)]) for title, section in made.items()]


def not_measured(key: str) -> str:
    """Return the sentence that stands where a figure is missing."""
    return f"This was not measured: {FILE} has no {key}."


def mapping(info: Info, key: str) -> Info:
    """Return the mapping at ``key``; empty where there is none."""
    found = info.get(key)
    return found if isinstance(found, Mapping) else {}


def percent(share: float | None) -> str:
    """Return a share as a percentage; empty where there is none."""
    return "" if share is None else f"{100 * share:.1f} %"


def _preface(info: Info) -> list[Part]:
    if tested(info):
        return []
    return ["Measured on the span that also chose the best epoch, which flatters the model: not to be quoted."]


def _table(info: Info, key: str, names: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return {name: {field: measured(info, key, name, field) for field in fields} for name in names}


def _skill(info: Info) -> list[Part]:
    by_horizon = mapping(info, "skill_by_horizon")
    if by_horizon:
        rows = _table(info, "skill_by_horizon", by_horizon, tuple(BUCKETS))
        return [ratio_map("Pinball loss relative to seasonal naive", rows, tuple(BUCKETS), RATIO_NOTE)]
    overall = mapping(info, "skill_vs_seasonal_naive")
    rows = {name: {"all 8 hours": measured(info, "skill_vs_seasonal_naive", name)} for name in overall}
    parts: list[Part] = [not_measured("skill_by_horizon")]
    if rows:
        parts.append(ratio_map("Pinball loss relative to seasonal naive", rows, ("all 8 hours",), RATIO_NOTE))
    return parts


def _calibration(info: Info) -> list[Part]:
    parts: list[Part] = []
    shares = {name: measured(info, "reliability", name) for name in mapping(info, "reliability")}
    if shares:
        parts.append(reliability_chart("Reliability of the quantiles", {"this model": shares}, RELIABILITY_NOTE))
    else:
        parts.append(not_measured("reliability"))
    metrics = mapping(info, "coverage_by_metric")
    rows = _table(info, "coverage_by_metric", metrics, tuple(INTERVALS))
    overall = {name: measured(info, "coverage", name) for name in INTERVALS}
    if any(share is not None for share in overall.values()):
        rows = {"all metrics": overall, **rows}
    if rows:
        parts.append(coverage_chart("Coverage of the intervals by metric", rows, tuple(INTERVALS)))
    if not metrics:
        parts.append(not_measured("coverage_by_metric"))
    return [*parts, _calibration_effect(info)]


def _calibration_effect(info: Info) -> str:
    effect = mapping(info, "calibration_effect")
    before, after = (measured(effect, key) for key in ("loss_before", "loss_after"))
    if before is None or after is None:
        return not_measured("calibration_effect")
    low, high = (measured(effect, key, "80") for key in ("coverage_before", "coverage_after"))
    covered = (
        ""
        if low is None or high is None
        else f", the coverage of the 80 % interval from {percent(low)} to {percent(high)}"
    )
    done = "Calibration changed" if effect.get("applied") else "Calibration was not applied; it would have changed"
    reason = f" ({effect['reason']})" if effect.get("reason") else ""
    return f"{done} the loss from {before:.4f} to {after:.4f}{covered}{reason}."


def _incidents(info: Info) -> list[Part]:
    figures = mapping(info, "incident_figures")
    if not figures:
        return [not_measured("incident_figures")]
    rows = []
    for metric, found in _table(info, "incident_figures", figures, _INCIDENT_COLUMNS).items():
        counts = ["" if found[key] is None else f"{found[key]:g}" for key in _INCIDENT_COLUMNS[:2]]
        shares = [percent(found[key]) for key in _INCIDENT_COLUMNS[2:6]]
        score = "" if found["brier"] is None else f"{found['brier']:.4f}"
        rows.append([metric, *counts, *shares, score, _cut_text(mapping(figures, metric))])
    columns = (
        "metric",
        "windows",
        "with a breach",
        "balanced accuracy",
        "precision",
        "recall",
        "alert from",
        "Brier score",
        "the cut was chosen on",
    )
    asked = "Will this metric breach its threshold within 8 hours? An alert says yes at the probability of its cut."
    return [asked, Table(columns, rows), *_breach_reliability(info)]


def _cut_text(figures: Info) -> str:
    chosen = str(figures.get("cut_chosen_on", ""))
    if figures.get("cut_reaches_target") is False:
        return f"{chosen}; it does not reach the target precision: such alerts are sent as info"
    return chosen


def _breach_reliability(info: Info) -> list[Part]:
    found = mapping(info, "breach_reliability")
    bins = [each for each in found.get("bins") or () if isinstance(each, Mapping)]
    score, base = measured(found, "brier"), measured(found, "brier_of_the_base_rate")
    if not bins or score is None or base is None:
        return [not_measured("breach_reliability")]
    shares = {str(each["claimed"]): float(each["happened"]) for each in bins}
    rows = [
        [f"{percent(each['from'])} to {percent(each['to'])}", f"{each['windows']:g}", *_claimed_and_happened(each)]
        for each in bins
    ]
    scored = f"Brier score {score:.4f}; always claiming the base rate would score {base:.4f}. Lower is better."
    columns = ("probability", "windows", "claimed on average", "happened")
    chart = reliability_chart("Reliability of the breach probability", {"this model": shares}, BREACH_NOTE)
    return [scored, chart, Table(columns, rows)]


def _claimed_and_happened(found: Info) -> list[str]:
    return [percent(found["claimed"]), percent(found["happened"])]


def _profiles(info: Info) -> list[Part]:
    profiles = mapping(info, "by_profile")
    if not profiles:
        return [not_measured("by_profile")]
    rows, shares = [], {}
    for name in profiles:
        count, skill = measured(info, "by_profile", name, "series"), measured(info, "by_profile", name, "skill")
        shares[name] = {each: measured(info, "by_profile", name, "coverage", each) for each in INTERVALS}
        texts = ["" if count is None else f"{count:g}", "" if skill is None else f"{skill:.3f}"]
        rows.append([name, *texts, *map(percent, shares[name].values())])
    columns = ("profile", "series", "loss relative to seasonal naive", *(f"{name} % interval" for name in INTERVALS))
    return [coverage_chart("Coverage of the intervals by profile", shares, tuple(INTERVALS)), Table(columns, rows)]


_SOUND_COVERAGE = 0.05
_NOMINAL = 0.80
NOTHING = "Nothing in these figures asks for a change."


def next_steps(info: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what the record asks for, the most pressing first; one sentence that says so where it asks for nothing."""
    steps = [*_refused(info), *_level(info), *_history(info), *_fitting(info, epochs)]
    if level_of(info).name is not LevelName.DEMO:
        steps += [*_skill_advice(info), *_coverage(info)]
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


def _skill_advice(info: Mapping[str, Any]) -> Iterator[str]:
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


_MOST_TICKS = 10
_COLUMNS = {
    "train_loss": ("training loss", "{:.4f}"),
    "val_loss": ("validation loss", "{:.4f}"),
    "learning_rate": ("learning rate", "{:.2g}"),
    "time_seconds": ("time (s)", "{:.1f}"),
    "gpu_memory_mb": ("GPU memory (MB)", "{:,.0f}"),
    "samples_per_second": ("windows/s", "{:,.0f}"),
}

Epochs = Sequence[Mapping[str, Any]]


def losses(info: Mapping[str, Any], epochs: Epochs) -> list[Part]:
    """Return the curves of both losses, with the epoch whose weights were kept."""
    if len(epochs) < 2:
        return [f"A curve needs two epochs; on record: {len(epochs)}."]
    x = [_ordinal(record) for record in epochs]
    train = line("training", x, [measured(record, "train_loss") for record in epochs], ORANGE)
    validation = line("validation", x, [measured(record, "val_loss") for record in epochs], BLUE)
    traces = [train, validation]
    kept = measured(info, "best_epoch")
    for record in (record for record in epochs if kept is not None and measured(record, "epoch") == kept):
        name = f"best epoch, {_ordinal(record):.0f}"
        mark = line(name, [_ordinal(record)], [measured(record, "val_loss")], BLUE, mode="markers")
        mark["marker"] = {"color": "@ink", "size": 14, "symbol": "star", "line": {"color": "@paper", "width": 1}}
        traces.append(mark)
    y = axis("weighted pinball loss (no unit)")
    note = "The weights of the best epoch are kept. Training and validation part where the model starts to overfit."
    return [Chart("Loss by epoch", traces, layout(_epoch_axis(epochs), y), note)]


def epoch_figures(epochs: Epochs) -> list[Part]:
    """Return learning rate, time and GPU memory of each epoch, and all figures as a table."""
    rows = [
        [f"{_ordinal(record):.0f}", *(_cell(record, key, form) for key, (_, form) in _COLUMNS.items())]
        for record in epochs
    ]
    table = Table(("epoch", *(title for title, _ in _COLUMNS.values())), rows)
    if len(epochs) < 2:
        return [table]
    charts = [
        _per_epoch("Learning rate at the end of each epoch", epochs, "learning_rate", "learning rate (no unit)"),
        _per_epoch("Time of each epoch", epochs, "time_seconds", "time (s)"),
    ]
    if any(measured(record, "gpu_memory_mb") for record in epochs):
        charts.append(_per_epoch("Peak GPU memory so far", epochs, "gpu_memory_mb", "memory (MB)"))
        return [Charts(charts), table]
    return [Charts(charts), "No GPU was used, so there is no GPU memory to show.", table]


def _per_epoch(title: str, epochs: Epochs, key: str, unit: str) -> Chart:
    y = [measured(record, key) for record in epochs]
    trace = line(title, [_ordinal(record) for record in epochs], y, BLUE, showlegend=False)
    return Chart(title, [trace], layout(_epoch_axis(epochs), axis(unit, rangemode="tozero"), 240))


def _epoch_axis(epochs: Epochs) -> dict[str, Any]:
    return axis("epoch", tick0=1, dtick=1 + len(epochs) // _MOST_TICKS, tickangle=0)


def _ordinal(record: Mapping[str, Any]) -> float:
    """Return an epoch's number as people count, from 1."""
    return (measured(record, "epoch") or 0) + 1


def _cell(record: Mapping[str, Any], key: str, form: str) -> str:
    number = measured(record, key)
    return "" if number is None else form.format(number)


_MOST_SAMPLES = 12
_MOST_CLAIMS = 8
_FACTS = {
    "epochs": ("epochs", "{:g}"),
    "hours of history": ("data_hours", "{:g} h"),
    "servers": ("num_servers", "{:g}"),
    "parameters": ("model_parameters", "{:,.0f}"),
    "loss in training, last epoch": ("final_train_loss", "{:.4f}"),
    "loss in validation, best epoch": ("final_val_loss", "{:.4f}"),
    "time of one forecast of all series": ("inference_latency_ms", "{:,.0f} ms"),
    "seed": ("seed", "{:.0f}"),
}


def render_training_report(
    info: Info, epochs: Epochs, samples: pd.DataFrame, units: Mapping[str, str] | None = None
) -> str:
    """Return the report of a training run as one HTML page that needs no network.

    Args:
        info: ``training_info.json``.
        epochs: the lines of ``epochs.jsonl``.
        samples: ``samples.parquet``.
        units: of the metrics, where they are known.

    Raises:
        BadModel: ``info`` names none of the four levels.
    """
    sections = [
        _summary(info),
        _claims(info),
        _verdict(info),
        Section("Losses", losses(info, epochs)),
        Section("Epochs", epoch_figures(epochs)),
        *quality_sections(info),
        _samples(samples, units or {}),
        Section("What to do next", [Points(next_steps(info, epochs))]),
    ]
    title = f"Training at level {info['level']}"
    return render_page(title, f"forewarn, trained at {info.get('trained_at', 'an unknown time')}", sections)


def _summary(info: Info) -> Section:
    rows = [["level", str(info["level"])]]
    if info.get("data_from") and info.get("data_to"):
        rows.append(["history", f"{info['data_from']} to {info['data_to']}"])
    for name, (key, form) in _FACTS.items():
        if (number := measured(info, key)) is not None:
            rows.append([name, form.format(number)])
    if (hours := measured(info, "training_time_hours")) is not None:
        rows.append(["training time", _duration(hours * 3600)])
    if memory := measured(info, "gpu_memory_peak_mb"):
        rows.append(["peak GPU memory", f"{memory:,.0f} MB"])
    rows.append(["convergence", str(info.get("convergence", "not recorded"))])
    if info.get("device"):
        rows.append(["device", str(info["device"])])
    held_out = mapping(info, "held_out")
    if held_out:
        span, first, last = (held_out.get(key, "?") for key in ("span", "from", "to"))
        rows.append(["measured on", f"the {span} span, {first} to {last}, {held_out.get('origins', '?')} origins"])
    return Section("Summary", [Table(("", ""), rows, text_columns=2)])


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _claims(info: Info) -> Section:
    made = claims(info)
    may: list[Part] = ["Nothing may be said of the accuracy of this model."]
    if made.may:
        may = [_claim_table(made.may[:_MOST_CLAIMS])]
        if len(made.may) > _MOST_CLAIMS:
            more = made.may[_MOST_CLAIMS:]
            may.append(Folded(f"{len(more)} more, metric by metric", _claim_table(more)))
    return Section("What may be said of it", [*may, "What must not be said:", Points(made.must_not)])


def _claim_table(listed: Sequence[Claim]) -> Table:
    rows = [[claim.sentence, claim.source] for claim in listed]
    return Table(("what may be said", "where its number stands"), rows, text_columns=2)


def _verdict(info: Info) -> Section:
    verdict = mapping(info, "verdict")
    if not isinstance(verdict.get("promoted"), bool):
        return Section("Promotion gate", [not_measured("verdict")])
    decision = (
        "It was promoted, to serve." if verdict["promoted"] else "It was refused: it is kept, but was not let serve."
    )
    allowed = sayable(level_of(info), tested(info))
    reasons = Points(shown_reasons(tuple(map(str, verdict.get("reasons") or ())), allowed))
    return Section("Promotion gate", [decision, reasons, "These figures chose which model serves; they are no claim."])


def _samples(samples: pd.DataFrame, units: Mapping[str, str]) -> Section:
    fans = fans_of(samples, _MOST_SAMPLES, units)
    if not fans:
        return Section("Sample forecasts", ["There is no sample with actual values beside it."])
    return Section("Sample forecasts", [fan_legend(fans), Charts([fan_chart(fan) for fan in fans])])
