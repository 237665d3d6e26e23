"""The texts of alerts: annotations for people, rendered from typed facts and never read back.

Each summary is one sentence: server, metric, threshold, time, probability. The description has one sentence for each
further fact and ends with what to check. ``docs/early-warning.md`` explains the sentences to on-call engineers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from daemon.alerting.outcomes import PredictionFigures
from daemon.alerting.state import AlertKey
from daemon.breach.definition import Risk
from daemon.core.metric import Direction, Metric
from daemon.core.series import as_datetime, as_text

_MOST_NAMED = 20
_PROBABLY = 0.5
_WHOLE_NUMBERS_FROM = 10


@dataclass(frozen=True, kw_only=True)
class Context:
    """Facts in the text of a predicted breach besides the risk.

    Attributes:
        at: epoch seconds of the tick.
        fired_at: epoch seconds at which the alert fired; None while it is pending.
        metric: display name, unit and hint.
        track_record: the outcomes of such alerts on this fleet; None if there are none.
        target_precision: share of the alerts that should come true.
        model: the forecaster, in words.
        link: URL of the forecast; empty if there is none.
        group: summary of the group alert; empty if there is none.
    """

    at: int
    fired_at: int | None
    metric: Metric
    track_record: PredictionFigures | None
    target_precision: float
    model: str
    link: str = ""
    group: str = ""


def breach_annotations(risk: Risk, context: Context) -> dict[str, str]:
    """Return the annotations of an alert on ``risk``, whose probability must be known."""
    texts = {
        "summary": _summary(risk, context),
        "description": _description(risk, context),
        "probability": f"{risk.probability or 0:.2f}",
        "threshold": quantity(risk.monitored.threshold, context.metric),
        "precision": _track_record(context),
        "model": context.model,
        "link": context.link,
        "fleet": context.group,
    }
    if risk.value is not None:
        texts["value"] = quantity(risk.value, context.metric)
    if risk.peak is not None:
        low, median, high = (quantity(each, context.metric) for each in risk.peak)
        texts |= {"predicted": median, "interval": f"{low} to {high}"}
    if risk.breach_seconds is not None:
        texts["expected_at"] = as_text(context.at + risk.breach_seconds)
    return {name: text for name, text in texts.items() if text}


def held_annotations(last: Mapping[str, str], since: int, most_hours: int) -> dict[str, str]:
    """Return the annotations ``last`` of an alert whose data is missing since ``since`` (epoch seconds)."""
    held = f"No data since {as_text(since)}. The alert keeps its state until data arrives, for at most {most_hours} h."
    return {**last, "data": held}


def group_annotations(key: AlertKey, servers: Sequence[str], metric: Metric) -> dict[str, str]:
    """Return the annotations of a group alert on ``servers``, sorted by name."""
    more = len(servers) - _MOST_NAMED
    named = ", ".join(servers[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return {
        "summary": group_summary(key, servers, metric),
        "description": f"Servers: {named}. Check shared causes first: deploy, dependency, network.",
        "servers": named,
    }


def group_summary(key: AlertKey, servers: Sequence[str], metric: Metric) -> str:
    """Return the summary of a group alert; it is also part of the alerts of its servers."""
    subject = f"{len(servers)} servers of profile {key.profile}: {metric.title}"
    return f"{subject} will probably {_reach(metric.direction)} the {key.severity} threshold within 8 h."


def stale_annotations(server: str, newest: int, link: str) -> dict[str, str]:
    """Return the annotations of the alert on a stale server, whose last sample is of ``newest`` (epoch seconds)."""
    texts = {
        "summary": f"{server}: no data since {as_text(newest)}.",
        "description": "Its other alerts keep their state until data arrives. "
        "Check whether the server is up, and whether its metrics are collected.",
        "link": link,
    }
    return {name: text for name, text in texts.items() if text}


def clear_annotations(risk: Risk, metric: Metric, link: str) -> dict[str, str]:
    """Return the annotations of an alert that resolved because its breach is neither predicted nor active."""
    texts = {
        "summary": f"{risk.monitored.key.server}: {metric.title} is no longer predicted to "
        f"{_reach(metric.direction)} {_threshold(risk, metric)}.",
        "description": _present(risk, metric),
        "link": link,
    }
    return {name: text for name, text in texts.items() if text}


def ended_annotations(summary: str, link: str) -> dict[str, str]:
    """Return the annotations of an alert that resolved for another reason, which ``summary`` gives."""
    return {"summary": summary, "link": link} if link else {"summary": summary}


def quantity(value: float, metric: Metric) -> str:
    """Return a value with four digits and its unit."""
    return f"{value:.4g}{_unit(metric)}"


def duration(seconds: float) -> str:
    """Return a duration in hours and minutes."""
    hours, minutes = divmod(round(seconds / 60), 60)
    parts = [f"{hours} h"] if hours else []
    return " ".join([*parts, f"{minutes} min"] if minutes or not hours else parts)


def forecast_link(external_url: str, query: Mapping[str, str]) -> str:
    """Return the URL of a forecast; empty if the service has no external URL."""
    if not external_url:
        return ""
    return f"{external_url.rstrip('/')}/api/v1/forecasts?{urlencode(query)}"


def _summary(risk: Risk, context: Context) -> str:
    metric, monitored = context.metric, risk.monitored
    subject = f"{monitored.key.server}: {metric.title}"
    if risk.breached:
        reached = "has reached" if monitored.direction is Direction.ABOVE else "has fallen to"
        ago = 0 if context.fired_at is None else context.at - context.fired_at
        predicted = f" (predicted {duration(ago)} ago)" if ago > 0 else ""
        limit = f"the {monitored.severity} threshold of {quantity(monitored.threshold, metric)}"
        return f"{subject} {reached} {limit}{predicted}."
    probability = risk.probability or 0
    will = "will probably" if probability >= _PROBABLY else "may"
    reach = f"{will} {_reach(monitored.direction)} {_threshold(risk, metric)}"
    return f"{subject} {reach} {_when(risk, context.at)} (probability {100 * probability:.0f} %)."


def _when(risk: Risk, at: int) -> str:
    if risk.median_seconds is not None:
        return f"in about {duration(risk.median_seconds)}, at {_clock(at + risk.median_seconds)}"
    if risk.early_seconds is not None:
        return f"within 8 h, at {_clock(at + risk.early_seconds)} at the earliest"
    return "within 8 h"


def _description(risk: Risk, context: Context) -> str:
    metric = context.metric
    sentences = [_present(risk, metric)]
    if risk.peak is not None and risk.peak_seconds is not None:
        low, median, high = (_rounded(each) for each in risk.peak)
        extreme = "peaks at" if risk.monitored.direction is Direction.ABOVE else "falls to"
        unit, time = _unit(metric), _clock(context.at + risk.peak_seconds)
        sentences.append(f"Median forecast {extreme} {median}{unit} ({time}); 80 % interval {low}–{high}{unit}.")
    if risk.same_hour_history:
        days = f"{risk.seen_days} of the last {risk.same_hour_history} days"
        sentences.append(f"It crossed this threshold in the same hours on {days}.")
    sentences.append(context.group)
    if metric.hint:
        sentences.append(f"Check {metric.hint}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _present(risk: Risk, metric: Metric) -> str:
    if risk.value is None:
        return ""
    unit = _unit(metric)
    earlier = "" if risk.earlier is None else f"; six hours ago {_rounded(risk.earlier)}{unit}"
    return f"Now {_rounded(risk.value)}{unit}{earlier}."


def _track_record(context: Context) -> str:
    record, target = context.track_record, f"target {100 * context.target_precision:.0f} %"
    if record is None or record.precision is None:
        return f"No track record on this fleet yet ({target})."
    share = f"{100 * record.precision:.0f} % of the last {record.scored} such alerts on this fleet"
    return f"{share} came true in time ({target})."


def _threshold(risk: Risk, metric: Metric) -> str:
    return f"{quantity(risk.monitored.threshold, metric)} ({risk.monitored.severity})"


def _reach(direction: Direction) -> str:
    return "reach" if direction is Direction.ABOVE else "fall to"


def _clock(epoch_seconds: int) -> str:
    return f"{as_datetime(epoch_seconds):%H:%M} UTC"


def _rounded(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= _WHOLE_NUMBERS_FROM else f"{value:.2g}"


def _unit(metric: Metric) -> str:
    return "" if metric.unit in ("", "1") else f" {metric.unit}"
