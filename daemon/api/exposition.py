"""Forecasts and risks in the text format of Prometheus: rendered once per tick, copied by every scrape.

Above the series budget, the forecasts narrow to a lean profile.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from daemon.alerting.engine import AlertingResult
from daemon.breach.definition import Risk
from daemon.core.forecast import HORIZONS, QUANTILES, Forecast
from daemon.core.metric import Direction
from daemon.core.series import SeriesKey

_log = structlog.get_logger()

_QUANTILES = (0.1, 0.5, 0.9)
_LEAN_HORIZONS = ("1h", "8h")
_LEAN_QUANTILES = (0.5, 0.9)
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


@dataclass(frozen=True)
class Exposition:
    """The forecast part of /metrics, plain and as the start of a gzip file."""

    text: bytes
    _deflated: bytes
    _checksum: int

    @classmethod
    def of(cls, text: bytes) -> "Exposition":
        """Compress ``text`` once, up to a byte boundary, so that more can follow."""
        compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        deflated = compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)
        return cls(text, deflated, zlib.crc32(text))

    def followed_by(self, rest: bytes) -> bytes:
        """Return the text and ``rest``, plain."""
        return self.text + rest

    def compressed_followed_by(self, rest: bytes) -> bytes:
        """Return the text and ``rest`` as one gzip member (RFC 1952); only ``rest`` is compressed now."""
        # one member, because Python's HTTP clients stop after the first
        compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        ending = compressor.compress(rest) + compressor.flush()
        length = (len(self.text) + len(rest)) & 0xFFFFFFFF
        trailer = struct.pack("<II", zlib.crc32(rest, self._checksum), length)
        return _GZIP_HEADER + self._deflated + ending + trailer


EMPTY = Exposition.of(b"")


def expose(
    forecast: Forecast, alerting: AlertingResult, directions: dict[str, Direction], series_budget: int
) -> Exposition:
    """Return the text of ``forecast`` and its risks.

    Args:
        forecast: quantiles of every series.
        alerting: the risks, which are never narrowed.
        directions: the bad side of each metric; the peak is the highest value, or the lowest where below is bad.
        series_budget: above this number of series, the lean profile is shown.
    """
    risks = 3 * len(alerting.risks) + len(alerting.decision_thresholds)
    full = len(forecast.keys) * (len(HORIZONS) + 1) * len(_QUANTILES) + risks
    lean = full > series_budget
    horizons = _LEAN_HORIZONS if lean else tuple(HORIZONS)
    quantiles = _LEAN_QUANTILES if lean else _QUANTILES
    shown = len(forecast.keys) * (len(horizons) + 1) * len(quantiles) + risks
    if lean:
        _log.warning("exposition_narrowed", series=full, series_budget=series_budget, dropped=full - shown)
    lines = [*_risk_lines(alerting), *_forecast_lines(forecast, directions, horizons, quantiles, full - shown)]
    return Exposition.of("\n".join(lines).encode())


def _risk_lines(alerting: AlertingResult) -> list[str]:
    lines = [
        "# HELP forewarn_breach_probability Probability that a breach of the threshold begins within 8 hours.",
        "# TYPE forewarn_breach_probability gauge",
    ]
    known = [risk for risk in alerting.risks if risk.probability is not None]
    lines += [f"forewarn_breach_probability{{{_risk_labels(risk)}}} {risk.probability:.4g}" for risk in known]
    lines += [
        "# HELP forewarn_breached Whether the newest samples are past the threshold, as many as make a breach.",
        "# TYPE forewarn_breached gauge",
    ]
    lines += [f"forewarn_breached{{{_risk_labels(risk)}}} {risk.breached:d}" for risk in known]
    lines += [
        "# HELP forewarn_time_to_breach_seconds Time until the predicted breach; absent where none is predicted.",
        "# TYPE forewarn_time_to_breach_seconds gauge",
    ]
    lines += [
        f"forewarn_time_to_breach_seconds{{{_risk_labels(risk)}}} {risk.breach_seconds}"
        for risk in known
        if risk.breach_seconds is not None and _is_predicted(risk, alerting)
    ]
    lines += [
        "# HELP forewarn_alert_cut Breach probability from which on an alert is raised.",
        "# TYPE forewarn_alert_cut gauge",
    ]
    lines += [
        f'forewarn_alert_cut{{metric="{metric}",severity="{severity.value}"}} {threshold.probability:.4g}'
        for (metric, severity), threshold in sorted(alerting.decision_thresholds.items())
    ]
    return lines


def _is_predicted(risk: Risk, alerting: AlertingResult) -> bool:
    threshold = alerting.decision_thresholds[risk.monitored.key.metric, risk.monitored.severity]
    return risk.median_seconds is not None or (risk.probability or 0) >= threshold.probability


def _risk_labels(risk: Risk) -> str:
    return f'{_labels(risk.monitored.key)},severity="{risk.monitored.severity.value}"'


def _forecast_lines(
    forecast: Forecast,
    directions: dict[str, Direction],
    horizons: Sequence[str],
    quantiles: Sequence[float],
    dropped: int,
) -> list[str]:
    # untyped: promtool rejects the label quantile on a gauge, and a summary must be of observations
    columns = [QUANTILES.index(quantile) for quantile in quantiles]
    labels = [_labels(key) for key in forecast.keys]
    lines = [
        "# HELP forewarn_forecast Forecast of a metric at a horizon, in the metric's unit.",
        "# TYPE forewarn_forecast untyped",
    ]
    if labels:
        steps = [HORIZONS[horizon] - 1 for horizon in horizons]
        at_horizons = forecast.paths[:, steps][:, :, columns].reshape(len(labels), -1)
        endings = [f',horizon="{horizon}",quantile="{quantile:g}"}} ' for horizon in horizons for quantile in quantiles]
        lines += _lines("forewarn_forecast{", labels, endings, at_horizons.tolist())
    lines += [
        "# HELP forewarn_forecast_peak Worst value of a quantile's path within 8 hours, in the metric's unit.",
        "# TYPE forewarn_forecast_peak untyped",
    ]
    if labels:
        below = np.array([directions.get(key.metric) is Direction.BELOW for key in forecast.keys])[:, None]
        paths = forecast.paths[:, :, columns]
        peaks = np.where(below, paths.min(axis=1), paths.max(axis=1))
        endings = [f',quantile="{quantile:g}"}} ' for quantile in quantiles]
        lines += _lines("forewarn_forecast_peak{", labels, endings, peaks.tolist())
    lines += [
        "# HELP forewarn_exposition_series_dropped Forecast series left out to keep to the series budget.",
        "# TYPE forewarn_exposition_series_dropped gauge",
        f"forewarn_exposition_series_dropped {dropped}",
        "",
    ]
    return lines


def _lines(name: str, labels: list[str], endings: list[str], values: list[list[float]]) -> list[str]:
    return [
        f"{name}{label}{ending}{value:.6g}"
        for label, row in zip(labels, values, strict=True)
        for ending, value in zip(endings, row, strict=True)
    ]


def _labels(key: SeriesKey) -> str:
    return f'server="{_escaped(key.server)}",metric="{_escaped(key.metric)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
