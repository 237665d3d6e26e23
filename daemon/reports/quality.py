"""The sections of a training report on how good its forecasts are; what was not measured says so."""

from collections.abc import Mapping
from typing import Any

from daemon.domain.claims import FILE, level_of, measured, tested
from daemon.domain.levels import LevelName
from daemon.domain.scores import BUCKETS, INTERVALS
from daemon.reports.charts import coverage_chart, ratio_map, reliability_chart
from daemon.reports.page import Part, Section, Table

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
