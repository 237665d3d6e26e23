"""Risks in Prometheus' text format."""

from collections.abc import Callable

from daemon.domain.risk import Risk
from daemon.domain.series import SeriesKey
from daemon.pipeline.alerting import Warned


def risk_lines(warned: Warned, labels_of: Callable[[SeriesKey], str]) -> list[str]:
    """Return the lines of ``warned``; ``labels_of`` gives server and metric as labels."""
    lines = [
        "# HELP forewarn_breach_probability Probability that a breach of the threshold begins within 8 hours.",
        "# TYPE forewarn_breach_probability gauge",
    ]
    known = [risk for risk in warned.risks if risk.probability is not None]
    lines += [f"forewarn_breach_probability{{{_labels(risk, labels_of)}}} {risk.probability:.4g}" for risk in known]
    lines += [
        "# HELP forewarn_breached Whether the newest samples are past the threshold, as many as make a breach.",
        "# TYPE forewarn_breached gauge",
    ]
    lines += [f"forewarn_breached{{{_labels(risk, labels_of)}}} {risk.breached:d}" for risk in known]
    lines += [
        "# HELP forewarn_time_to_breach_seconds Time until the breach that is foreseen; absent where none is.",
        "# TYPE forewarn_time_to_breach_seconds gauge",
    ]
    lines += [
        f"forewarn_time_to_breach_seconds{{{_labels(risk, labels_of)}}} {risk.breach_seconds}"
        for risk in known
        if risk.breach_seconds is not None and _foreseen(risk, warned)
    ]
    lines += [
        "# HELP forewarn_alert_cut Breach probability from which on an alert is raised.",
        "# TYPE forewarn_alert_cut gauge",
    ]
    lines += [
        f'forewarn_alert_cut{{metric="{metric}",severity="{severity.value}"}} {cut.probability:.4g}'
        for (metric, severity), cut in sorted(warned.cuts.items())
    ]
    return lines


def _foreseen(risk: Risk, warned: Warned) -> bool:
    cut = warned.cuts[risk.watch.key.metric, risk.watch.severity].probability
    return risk.median_seconds is not None or (risk.probability or 0) >= cut


def _labels(risk: Risk, labels_of: Callable[[SeriesKey], str]) -> str:
    return f'{labels_of(risk.watch.key)},severity="{risk.watch.severity.value}"'
