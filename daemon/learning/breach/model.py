"""How likely thresholds are to be passed, by a forecast and the past; and from when on that is an alert."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from daemon.domain.breach import BREACH_STEPS, first_crossing, past
from daemon.domain.forecast import Forecast
from daemon.domain.grid import STEP_SECONDS, STEPS_PER_HOUR
from daemon.domain.metric import Direction
from daemon.domain.quantiles import MEDIAN, QUANTILES
from daemon.domain.risk import Cut, Risk, Severity, Watch
from daemon.domain.series import Float32, Float64, Panel
from daemon.learning.breach.cuts import WITHOUT_KNOWLEDGE
from daemon.learning.breach.examples import Windows, history_of, windows_of
from daemon.learning.breach.head import Head
from daemon.learning.breach.past_days import PastDays

_AT_ONCE = 256
_EARLIER_STEPS = 6 * STEPS_PER_HOUR
_LOW, _HIGH = QUANTILES.index(0.1), QUANTILES.index(0.9)


@dataclass(frozen=True)
class BreachModel:
    """Weights, and the cuts that were chosen with them.

    Attributes:
        head: from features to a probability.
        cuts: by metric and severity.
        general: the cut of every other metric.
        target_precision: that the cuts were chosen for.
    """

    head: Head
    cuts: Mapping[tuple[str, Severity], Cut]
    general: Cut = WITHOUT_KNOWLEDGE
    target_precision: float = 0.8

    def cut(self, metric: str, severity: Severity) -> Cut:
        """Return from which probability on an alert is raised."""
        return self.cuts.get((metric, severity), self.general)

    def risks(self, forecast: Forecast, panel: Panel, watched: Sequence[Watch]) -> tuple[Risk, ...]:
        """Return what is known of each threshold at the origin of ``forecast``, in the order of ``watched``.

        Nothing after the origin is used. A threshold whose series has no forecast, or no sample among the newest that
        make a breach, has no probability.
        """
        row_of = {key: row for row, key in enumerate(panel.keys)}
        forecast_keys = set(forecast.keys)
        served = [watch for watch in watched if watch.key in forecast_keys]
        history = history_of(panel, forecast.origin)
        found: dict[Watch, Risk] = {}
        for first in range(0, len(served), _AT_ONCE):
            some = served[first : first + _AT_ONCE]
            windows = windows_of(some, forecast, history[[row_of[watch.key] for watch in some]])
            features, days = windows.described()
            chances = self.head.probability(features)
            found |= zip(some, _risks(some, windows, days, chances), strict=True)
        return tuple(found.get(watch, Risk(watch, None, False)) for watch in watched)

    def document(self) -> dict[str, Any]:
        """Return what ``from_document`` reads."""
        cuts = [
            {"metric": metric, "severity": severity.value, **asdict(cut)}
            for (metric, severity), cut in sorted(self.cuts.items())
        ]
        return {
            "head": self.head.document(),
            "target_precision": self.target_precision,
            "general_cut": asdict(self.general),
            "cuts": cuts,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BreachModel":
        """Return the model that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        cuts = {(str(each["metric"]), Severity(each["severity"])): _read_cut(each) for each in document["cuts"]}
        head = Head.from_document(document["head"])
        return cls(head, cuts, _read_cut(document["general_cut"]), float(document["target_precision"]))


def _read_cut(document: Mapping[str, Any]) -> Cut:
    optional = {name: document[name] if document[name] is None else float(document[name]) for name in _RATIOS}
    return Cut(
        float(document["probability"]),
        optional["precision"],
        optional["recall"],
        bool(document["reached"]),
        str(document["chosen_on"]),
        int(document["windows"]),
    )


_RATIOS = ("precision", "recall")


def _risks(watched: Sequence[Watch], windows: Windows, days: PastDays, chances: Float64) -> list[Risk]:
    newest = windows.history[:, -BREACH_STEPS:]
    value = _last_seen(newest)
    earlier = _last_seen(windows.history[:, -BREACH_STEPS - _EARLIER_STEPS : -_EARLIER_STEPS])
    breached = np.all(past(newest, windows.thresholds[:, None]), axis=1)
    median, early = (first_crossing(windows.paths[..., each], windows.thresholds) for each in (MEDIAN, _HIGH))
    peak_step = windows.paths[..., MEDIAN].argmax(axis=1)
    seen, known = (days.began & days.quiet).sum(axis=1), days.quiet.sum(axis=1)
    made = []
    for row, watch in enumerate(watched):
        if not np.isfinite(value[row]):
            made.append(Risk(watch, None, False))
            continue
        sign = 1 if watch.direction is Direction.ABOVE else -1
        at_peak = sorted(sign * float(windows.paths[row, peak_step[row], each]) for each in (_LOW, MEDIAN, _HIGH))
        made.append(
            Risk(
                watch,
                float(chances[row]),
                bool(breached[row]),
                sign * float(value[row]),
                sign * float(earlier[row]) if np.isfinite(earlier[row]) else None,
                _seconds(median[row]),
                _seconds(early[row]),
                (at_peak[0], at_peak[1], at_peak[2]),
                _seconds(peak_step[row] + 1),
                int(seen[row]),
                int(known[row]),
            )
        )
    return made


def _last_seen(values: Float32) -> Float32:
    last = values.shape[1] - 1 - np.isfinite(values)[:, ::-1].argmax(axis=1)
    return np.take_along_axis(values, last[:, None], axis=1)[:, 0]


def _seconds(step: np.intp) -> int | None:
    return int(step) * STEP_SECONDS or None
