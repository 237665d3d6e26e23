"""The report of a training: what it made, what may be claimed of it, its figures, and what to do next."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from daemon.core.levels import LevelName
from daemon.core.scoring import BUCKETS, INTERVALS
from daemon.core.training_info import INFO_FILE, EpochRecord, IncidentFigures, ReliabilityBin, TrainingInfo
from daemon.models.claims import Claim, allowed_figures, claims
from daemon.models.gate import shown_reasons
from daemon.reports.charts import (
    BLUE,
    ORANGE,
    RATIO_NOTE,
    RELIABILITY_NOTE,
    axis,
    coverage_chart,
    fan_chart,
    fan_legend,
    fans_of,
    layout,
    line,
    percent,
    ratio_map,
    reliability_chart,
)
from daemon.reports.page import Chart, Charts, Folded, Part, Points, Section, Table, render_page

WITHHELD = "Not shown: a demo model is a proof of concept, and no figure of its accuracy may be claimed."
NOTHING = "These figures ask for no change."
_BREACH_NOTE = "A breach should begin in the same share of the windows as the probability states."
_SKILL_TITLE = "Pinball loss relative to seasonal naive"
_MOST_TICKS = 10
_MOST_SAMPLES = 12
_MOST_CLAIMS = 8
_COVERAGE_TOLERANCE = 0.05
_NOMINAL = 0.80
_COLUMNS = {
    "train_loss": ("training loss", "{:.4f}"),
    "val_loss": ("validation loss", "{:.4f}"),
    "learning_rate": ("learning rate", "{:.2g}"),
    "time_seconds": ("time (s)", "{:.1f}"),
    "gpu_memory_mb": ("GPU memory (MB)", "{:,.0f}"),
    "samples_per_second": ("windows/s", "{:,.0f}"),
}

Epochs = Sequence[EpochRecord]


def render_training_report(
    info: TrainingInfo, epochs: Epochs, samples: pd.DataFrame, units: Mapping[str, str] | None = None
) -> str:
    """Return the report of a training as one HTML page that needs no network.

    Args:
        info: the record of the training.
        epochs: its epochs.
        samples: ``samples.parquet``.
        units: of the metrics, where they are known.
    """
    sections = [
        _summary(info),
        _claims(info),
        _gate(info),
        Section("Losses", _losses(info, epochs)),
        Section("Epochs", _epoch_figures(epochs)),
        *_quality(info),
        _samples(samples, units or {}),
        Section("What to do next", [Points(next_steps(info, epochs))]),
    ]
    return render_page(f"Training at level {info.level.value}", f"forewarn, trained at {info.trained_at}", sections)


def next_steps(info: TrainingInfo, epochs: Epochs) -> tuple[str, ...]:
    """Return advice that follows from the record, the most urgent first; one sentence if there is none."""
    steps = [*_gate_advice(info), *_level_advice(info), *_history_advice(info), *_fitting_advice(info, epochs)]
    if info.level is not LevelName.DEMO:
        steps += [*_skill_advice(info), *_coverage_advice(info)]
    return tuple(steps) or (NOTHING,)


def _summary(info: TrainingInfo) -> Section:
    rows = [
        ["level", info.level.value],
        ["history", f"{info.data_from} to {info.data_to}"],
        ["epochs", f"{info.epochs}"],
        ["hours of history", f"{info.data_hours:g} h"],
        ["servers", f"{info.num_servers}"],
        ["parameters", f"{info.model_parameters:,}"],
        ["training loss, last epoch", f"{info.final_train_loss:.4f}"],
        ["validation loss, best epoch", f"{info.final_val_loss:.4f}"],
        ["time of one forecast of all series", f"{info.inference_latency_ms:,.0f} ms"],
        ["seed", f"{info.seed}"],
        ["training time", _duration(info.duration_seconds)],
    ]
    if info.gpu_memory_peak_mb:
        rows.append(["peak GPU memory", f"{info.gpu_memory_peak_mb:,.0f} MB"])
    rows += [["convergence", info.convergence], ["device", info.device]]
    if (held_out := info.held_out) is not None:
        first, last, origins = (each or "?" for each in (held_out.from_, held_out.to, held_out.origins))
        rows.append(["measured on", f"the {held_out.span} span, {first} to {last}, {origins} origins"])
    return Section("Summary", [Table(("", ""), rows, text_columns=2)])


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _claims(info: TrainingInfo) -> Section:
    made = claims(info)
    may: list[Part] = ["Nothing may be claimed of the accuracy of this model."]
    if made.may:
        may = [_claim_table(made.may[:_MOST_CLAIMS])]
        if len(made.may) > _MOST_CLAIMS:
            more = made.may[_MOST_CLAIMS:]
            may.append(Folded(f"{len(more)} more, by metric", _claim_table(more)))
    return Section("What may be claimed", [*may, "What must not be claimed:", Points(made.must_not)])


def _claim_table(listed: Sequence[Claim]) -> Table:
    rows = [[claim.sentence, claim.source] for claim in listed]
    return Table(("claim", "source of its number"), rows, text_columns=2)


def _gate(info: TrainingInfo) -> Section:
    if info.verdict is None:
        return Section("Promotion gate", [_not_measured("verdict")])
    decision = "Promoted to serve." if info.verdict.promoted else "Rejected: stored but not serving."
    reasons = Points(shown_reasons(info.verdict, allowed_figures(info)))
    note = "These figures decided which model serves; they are not for quoting."
    return Section("Promotion gate", [decision, reasons, note])


def _not_measured(key: str) -> str:
    return f"This was not measured: {INFO_FILE} has no {key}."


def _losses(info: TrainingInfo, epochs: Epochs) -> list[Part]:
    """Return the curves of both losses, with a mark at the epoch whose weights were kept."""
    if len(epochs) < 2:
        return [f"A curve needs two epochs; on record: {len(epochs)}."]
    x = _numbers(epochs)
    train = line("training", x, [record.train_loss for record in epochs], ORANGE)
    validation = line("validation", x, [record.val_loss for record in epochs], BLUE)
    traces = [train, validation]
    for record in (record for record in epochs if record.epoch == info.best_epoch):
        name = f"best epoch, {record.epoch + 1}"
        mark = line(name, [record.epoch + 1], [record.val_loss], BLUE, mode="markers")
        mark["marker"] = {"color": "@ink", "size": 14, "symbol": "star", "line": {"color": "@paper", "width": 1}}
        traces.append(mark)
    y = axis("weighted pinball loss (no unit)")
    note = "The weights of the best epoch are kept. Where validation rises while training falls, the model overfits."
    return [Chart("Loss by epoch", traces, layout(_epoch_axis(epochs), y), note)]


def _epoch_figures(epochs: Epochs) -> list[Part]:
    """Return learning rate, time and GPU memory of each epoch as charts, and all figures as a table."""
    rows = [
        [f"{record.epoch + 1}", *(_cell(getattr(record, key), form) for key, (_, form) in _COLUMNS.items())]
        for record in epochs
    ]
    table = Table(("epoch", *(title for title, _ in _COLUMNS.values())), rows)
    if len(epochs) < 2:
        return [table]
    rates = [record.learning_rate for record in epochs]
    charts = [
        _per_epoch("Learning rate at the end of each epoch", epochs, rates, "learning rate (no unit)"),
        _per_epoch("Time of each epoch", epochs, [record.time_seconds for record in epochs], "time (s)"),
    ]
    memory = [record.gpu_memory_mb for record in epochs]
    if any(memory):
        charts.append(_per_epoch("Peak GPU memory so far", epochs, memory, "memory (MB)"))
        return [Charts(charts), table]
    return [Charts(charts), "No GPU was used, so there is no GPU memory to show.", table]


def _per_epoch(title: str, epochs: Epochs, y: Sequence[float], unit: str) -> Chart:
    trace = line(title, _numbers(epochs), y, BLUE, showlegend=False)
    return Chart(title, [trace], layout(_epoch_axis(epochs), axis(unit, rangemode="tozero"), 240))


def _epoch_axis(epochs: Epochs) -> dict[str, Any]:
    return axis("epoch", tick0=1, dtick=1 + len(epochs) // _MOST_TICKS, tickangle=0)


def _numbers(epochs: Epochs) -> list[float]:
    """Return the epochs' numbers, counted from 1."""
    return [record.epoch + 1.0 for record in epochs]


def _cell(number: float, form: str) -> str:
    return form.format(number) if math.isfinite(number) else ""


def _quality(info: TrainingInfo) -> list[Section]:
    """Return skill, calibration, predicted breaches, and profiles; withheld at level demo."""
    if info.level is LevelName.DEMO:
        return [Section("Skill, calibration and accuracy", [WITHHELD])]
    parts = {
        "Skill by metric and horizon": _skill(info),
        "Calibration": _calibration(info),
        "Breaches within 8 hours": _breaches(info),
        "By profile": _profiles(info),
    }
    warning = "Measured on the span that also chose the best epoch, so the figures are too good: do not quote them."
    preface: list[Part] = [] if info.tested else [warning]
    return [Section(title, [*preface, *section]) for title, section in parts.items()]


def _skill(info: TrainingInfo) -> list[Part]:
    if info.skill_by_horizon:
        return [ratio_map(_SKILL_TITLE, info.skill_by_horizon, tuple(BUCKETS), RATIO_NOTE)]
    rows = {name: {"all 8 hours": ratio} for name, ratio in info.skill_vs_seasonal_naive.items()}
    parts: list[Part] = [_not_measured("skill_by_horizon")]
    if rows:
        parts.append(ratio_map(_SKILL_TITLE, rows, ("all 8 hours",), RATIO_NOTE))
    return parts


def _calibration(info: TrainingInfo) -> list[Part]:
    parts: list[Part] = [_not_measured("reliability")]
    if info.reliability:
        shares = {"this model": info.reliability}
        parts = [reliability_chart("Reliability of the quantiles", shares, RELIABILITY_NOTE)]
    rows = dict(info.coverage_by_metric or {})
    if any(share is not None for share in info.coverage.values()):
        rows = {"all metrics": info.coverage, **rows}
    if rows:
        parts.append(coverage_chart("Coverage of the intervals by metric", rows, tuple(INTERVALS)))
    if not info.coverage_by_metric:
        parts.append(_not_measured("coverage_by_metric"))
    return [*parts, _calibration_effect(info)]


def _calibration_effect(info: TrainingInfo) -> str:
    effect = info.calibration_effect
    if effect is None or effect.loss_before is None or effect.loss_after is None:
        return _not_measured("calibration_effect")
    low, high = effect.coverage_before.get("80"), effect.coverage_after.get("80")
    coverage = ""
    if low is not None and high is not None:
        coverage = f", and the coverage of the 80 % interval from {percent(low)} to {percent(high)}"
    verb = "Calibration changed" if effect.applied else "Calibration was not applied; it would have changed"
    reason = f" ({effect.reason})" if effect.reason else ""
    return f"{verb} the loss from {effect.loss_before:.4f} to {effect.loss_after:.4f}{coverage}{reason}."


def _breaches(info: TrainingInfo) -> list[Part]:
    if not info.incident_figures:
        return [_not_measured("incident_figures")]
    columns = (
        "metric",
        "windows",
        "with a breach",
        "balanced accuracy",
        "precision",
        "recall",
        "alert from",
        "Brier score",
        "decision threshold chosen on",
    )
    rows = [_breach_row(metric, found) for metric, found in info.incident_figures.items()]
    text = "Whether a metric breaches its threshold within 8 hours. An alert needs the probability in “alert from”."
    return [text, Table(columns, rows), *_breach_reliability(info)]


def _breach_row(metric: str, found: IncidentFigures) -> list[str]:
    shares = (found.balanced_accuracy, found.precision, found.recall, found.cut)
    score = "" if found.brier is None else f"{found.brier:.4f}"
    chosen_on = found.cut_chosen_on
    if found.cut_reaches_target is False:
        chosen_on += "; it does not reach the target precision, so its alerts have severity info"
    return [metric, f"{found.windows}", f"{found.breaches}", *map(percent, shares), score, chosen_on]


def _breach_reliability(info: TrainingInfo) -> list[Part]:
    found = info.breach_reliability
    if found is None or not found.bins or found.brier is None or found.brier_of_the_base_rate is None:
        return [_not_measured("breach_reliability")]
    scores = (
        f"Brier score {found.brier:.4f}; a constant probability at the base rate scores "
        f"{found.brier_of_the_base_rate:.4f}. Lower is better."
    )
    shares = {str(each.claimed): each.happened for each in found.bins}
    chart = reliability_chart("Reliability of the breach probability", {"this model": shares}, _BREACH_NOTE)
    columns = ("probability", "windows", "mean probability", "share with a breach")
    return [scores, chart, Table(columns, [_bin_row(each) for each in found.bins])]


def _bin_row(each: ReliabilityBin) -> list[str]:
    edges = f"{percent(each.from_)} to {percent(each.to)}"
    return [edges, f"{each.windows}", percent(each.claimed), percent(each.happened)]


def _profiles(info: TrainingInfo) -> list[Part]:
    if not info.by_profile:
        return [_not_measured("by_profile")]
    rows = []
    for name, found in info.by_profile.items():
        texts = ["" if found.series is None else f"{found.series}", "" if found.skill is None else f"{found.skill:.3f}"]
        rows.append([name, *texts, *(percent(found.coverage.get(interval)) for interval in INTERVALS)])
    shares = {name: found.coverage for name, found in info.by_profile.items()}
    columns = ("profile", "series", "loss relative to seasonal naive", *(f"{name} % interval" for name in INTERVALS))
    return [coverage_chart("Coverage of the intervals by profile", shares, tuple(INTERVALS)), Table(columns, rows)]


def _samples(samples: pd.DataFrame, units: Mapping[str, str]) -> Section:
    fans = fans_of(samples, _MOST_SAMPLES, units)
    if not fans:
        return Section("Sample forecasts", ["No sample has actual values."])
    return Section("Sample forecasts", [fan_legend(fans), Charts([fan_chart(fan) for fan in fans])])


def _gate_advice(info: TrainingInfo) -> Iterator[str]:
    if info.verdict is not None and not info.verdict.promoted:
        yield "This model does not serve: correct what the gate rejected it for, or train again on newer history."


def _level_advice(info: TrainingInfo) -> Iterator[str]:
    if info.level is LevelName.DEMO:
        yield "Train at level validation for a first baseline, and at level production for figures that may be quoted."
    elif info.level is LevelName.VALIDATION:
        yield "Train at level production: only its held-out test gives figures that may be quoted."
    elif not info.tested:
        yield "Train again with enough history for a held-out test: without one no figure may be quoted."


def _history_advice(info: TrainingInfo) -> Iterator[str]:
    needed = info.training_level.data_hours
    if info.data_hours < needed:
        yield f"Collect or back-fill more history: the level needs {needed} h, and there were {info.data_hours:g} h."


def _fitting_advice(info: TrainingInfo, epochs: Epochs) -> Iterator[str]:
    overfitting = info.overfitting
    if overfitting is not None and overfitting.warned:
        ratio = "" if overfitting.ratio is None else f", {overfitting.ratio:.2f} times the training loss"
        remedies = ", ".join(overfitting.remedies) or "more data, a smaller model"
        yield f"The model overfits: its validation loss is too high{ratio}. Remedies: {remedies}."
    if info.level is LevelName.DEMO or info.converged:
        return
    if epochs and epochs[-1].epoch == info.best_epoch:
        yield "Train for more epochs: the validation loss was still falling at the last one."
    else:
        yield "Train for more epochs: training had not converged when it ended."


def _skill_advice(info: TrainingInfo) -> Iterator[str]:
    worse = {name: ratio for name, ratio in info.skill.items() if ratio >= 1}
    if worse:
        listed = ", ".join(f"{name} ({ratio:.2f})" for name, ratio in sorted(worse.items(), key=lambda item: -item[1]))
        yield f"Look at the samples of the metrics whose forecast is no better than repeating yesterday: {listed}."


def _coverage_advice(info: TrainingInfo) -> Iterator[str]:
    share = info.coverage.get("80")
    if share is None or abs(share - _NOMINAL) <= _COVERAGE_TOLERANCE:
        return
    kind = "too narrow, so probabilities are too extreme" if share < _NOMINAL else "wider than necessary"
    yield f"Calibrate on newer history: the 80 % interval held {percent(share)} of the actual values; it is {kind}."
