"""What an alert says: one sentence for the tired, and the facts behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from daemon.alerting.outcomes import PredictionFigures
from daemon.breach.definition import DecisionThreshold, Risk, Severity
from daemon.core.metric import Direction, Metric
from daemon.core.series import as_datetime

_UNKNOWN = Metric(name="")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What an alert's text needs beside the risk.

    Attributes:
        at: epoch seconds of the tick.
        metric: unit and hint.
        cut: of the metric and severity.
        record: how such alerts fared lately; None if none was judged.
        model: what made the forecast, in words.
        link: where to see more; empty if nowhere.
        fleet: what the fleet's alert says of it; empty if there is none.
    """

    at: int
    metric: Metric
    cut: DecisionThreshold
    record: PredictionFigures | None
    model: str
    link: str = ""
    fleet: str = ""


def annotations(risk: Risk, context: Context) -> dict[str, str]:
    """Return the annotations of an alert on ``risk``, whose probability is known."""
    told = {
        "summary": summary(risk, context),
        "description": description(risk, context),
        "probability": f"{risk.probability or 0:.2f}",
        "threshold": quantity(risk.watch.threshold, context.metric),
        "precision": precision(context),
        "model": context.model,
        "link": context.link,
        "fleet": context.fleet,
    }
    if risk.value is not None:
        told["value"] = quantity(risk.value, context.metric)
    if risk.peak is not None:
        low, median, high = (quantity(each, context.metric) for each in risk.peak)
        told |= {"predicted": median, "interval": f"{low} to {high}"}
    if risk.breach_seconds is not None:
        told["expected_at"] = f"{as_datetime(context.at + risk.breach_seconds):%Y-%m-%dT%H:%M:%SZ}"
    return {name: text for name, text in told.items() if text}


def summary(risk: Risk, context: Context) -> str:
    """Return what, when and how sure, in one sentence."""
    watch = risk.watch
    reaches = "reaches" if watch.direction is Direction.ABOVE else "falls to"
    limit = f"its {watch.severity.value} threshold of {quantity(watch.threshold, context.metric)}"
    if risk.breached:
        reached = "has reached" if watch.direction is Direction.ABOVE else "has fallen to"
        return f"{watch.key.server}: {watch.key.metric} {reached} {limit}, as foretold."
    sure = f"{100 * (risk.probability or 0):.0f} % sure"
    return f"{watch.key.server}: {watch.key.metric} {reaches} {limit} {when(risk, context.at)}, {sure}."


def when(risk: Risk, at: int) -> str:
    """Return when the breach is expected, in words."""
    seconds = risk.breach_seconds
    if seconds is None:
        return "within 8 h"
    soon = "" if risk.median_seconds is not None else "at the earliest "
    return f"{soon}in {duration(seconds)}, at {as_datetime(at + seconds):%H:%M} UTC"


def description(risk: Risk, context: Context) -> str:
    """Return where it stands, what led to the alert, and what to look at."""
    sentences = []
    if risk.value is not None:
        before = "" if risk.earlier is None else f"; six hours ago it was at {quantity(risk.earlier, context.metric)}"
        sentences.append(f"It is at {quantity(risk.value, context.metric)} now{before}.")
    if risk.peak is not None and risk.peak_seconds is not None:
        low, median, high = (quantity(each, context.metric) for each in risk.peak)
        worst = f"{as_datetime(context.at + risk.peak_seconds):%H:%M} UTC"
        sentences.append(f"The forecast's worst is {median} at {worst}, with 80 % between {low} and {high}.")
    if risk.same_hour_history:
        days = f"{risk.seen_days} of the {risk.same_hour_history} known days before that began as quietly"
        sentences.append(f"In these hours such a breach came on {days}.")
    if context.fleet:
        sentences.append(context.fleet)
    if context.metric.hint:
        sentences.append(f"Look at {context.metric.hint}.")
    return " ".join(sentences)


def precision(context: Context) -> str:
    """Return how far such alerts are to be trusted, with what it was measured on."""
    record, cut = context.record, context.cut
    if record is not None and record.precision is not None:
        judged = record.hits + record.late + record.false
        return f"{100 * record.precision:.0f} % of the {judged} such alerts judged lately came true in time"
    if cut.precision is not None:
        return f"no such alert was judged yet; {100 * cut.precision:.0f} % came true on {cut.chosen_on}"
    return "not known yet: no such alert was judged, and none could be tried on the past"


def sent_severity(severity: Severity, cut: DecisionThreshold, keep: bool) -> Severity:
    """Return the severity to send: ``info`` where the cut does not reach the target precision, unless it is kept."""
    return severity if keep or cut.reached else Severity.INFO


def quantity(value: float, metric: Metric = _UNKNOWN) -> str:
    """Return a value with its unit."""
    unit = "" if metric.unit in ("", "1") else f" {metric.unit}"
    return f"{value:.4g}{unit}"


def duration(seconds: float) -> str:
    """Return a duration in hours and minutes."""
    hours, minutes = divmod(round(seconds / 60), 60)
    parts = [f"{hours} h"] if hours else []
    return " ".join([*parts, f"{minutes} min"] if minutes or not hours else parts)


def link(external_url: str, query: Mapping[str, str]) -> str:
    """Return where to see the forecast; empty without an address of the service."""
    if not external_url:
        return ""
    return f"{external_url.rstrip('/')}/api/v1/forecasts?{urlencode(query)}"
