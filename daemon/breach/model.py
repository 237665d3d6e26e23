"""How likely thresholds are to be passed, by a forecast and the past; and from when on that is an alert."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from daemon.breach.decision import WITHOUT_KNOWLEDGE
from daemon.breach.definition import (
    BREACH_STEPS,
    DecisionThreshold,
    MonitoredThreshold,
    Risk,
    Severity,
    first_crossing,
    past,
)
from daemon.breach.features import FEATURES, HISTORY_STEPS, RECURRENCE_FEATURES, SameHourHistory
from daemon.breach.windows import Windows, history_of, windows_of
from daemon.core.errors import BadModel
from daemon.core.file_access import reason_of
from daemon.core.forecast import MEDIAN, QUANTILES, Forecast
from daemon.core.metric import Direction
from daemon.core.series import STEP_SECONDS, STEPS_PER_HOUR, Bool, Float32, Float64, Panel

_WIDEST = 4.0
_NEWTON_STEPS = 30
_HALVINGS = 20
_SMALLEST_GAIN = 1e-9
_PRIOR_STRENGTH = 30.0


@dataclass(frozen=True)
class Logistic:
    """Weights of standardised features.

    Attributes:
        mean: ``(features,)`` of each feature.
        deviation: ``(features,)`` of each feature.
        weights: ``(features + 1,)``, the last one that of the constant.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]

    def probability(self, features: Float64) -> Float64:
        """Return ``(windows,)`` for ``features`` ``(windows, features)``."""
        return sigmoid(self.logit(features))

    def logit(self, features: Float64) -> Float64:
        """Return the logarithm of the odds, likewise."""
        logit: Float64 = self._inputs(features) @ np.asarray(self.weights)
        return logit

    def fitted(self, features: Float64, happened: Bool) -> "Logistic":
        """Return the weights that fit best of those near these: a Gaussian prior about them.

        By Newton's method; a step that would make the fit worse, as the first ones from afar may, is halved until it
        does not.

        Args:
            features: ``(windows, features)``.
            happened: ``(windows,)``.
        """
        inputs, prior = self._inputs(features), np.asarray(self.weights)
        weights = prior.copy()
        loss = _loss(inputs, happened, weights, prior)
        for _ in range(_NEWTON_STEPS):
            chances = sigmoid(inputs @ weights)
            gradient = inputs.T @ (chances - happened) + _PRIOR_STRENGTH * (weights - prior)
            curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs
            step = np.linalg.solve(curvature + _PRIOR_STRENGTH * np.eye(len(weights)), gradient)
            for _ in range(_HALVINGS):
                next_loss = _loss(inputs, happened, weights - step, prior)
                if next_loss <= loss:
                    break
                step = step / 2
            else:
                break
            gained, loss, weights = loss - next_loss, next_loss, weights - step
            if gained <= _SMALLEST_GAIN * loss:
                break
        return Logistic(self.mean, self.deviation, tuple(weights.tolist()))

    def _inputs(self, features: Float64) -> Float64:
        scaled = standardised(features, np.asarray(self.mean), np.asarray(self.deviation))
        return np.concatenate([scaled, np.ones((len(features), 1))], axis=1)


def unfitted(features: Float64, happened: Bool) -> Logistic:
    """Return weights that know the scale of the features, and otherwise no more than how often it happened."""
    deviation = np.maximum(features.std(axis=0), 1e-6)
    rate = (happened.sum() + 0.5) / (len(happened) + 1)
    weights = (*[0.0] * features.shape[1], float(np.log(rate / (1 - rate))))
    return Logistic(tuple(features.mean(axis=0).tolist()), tuple(deviation.tolist()), weights)


def _loss(inputs: Float64, happened: Bool, weights: Float64, prior: Float64) -> float:
    scores = inputs @ weights
    away = weights - prior
    return float((np.logaddexp(0, scores) - happened * scores).sum() + _PRIOR_STRENGTH / 2 * (away @ away))


def standardised(features: Float64, mean: Float64, deviation: Float64) -> Float64:
    """Return ``(windows, features)`` in deviations from the mean, at most four."""
    return np.asarray(np.clip((features - mean) / deviation, -_WIDEST, _WIDEST))


def sigmoid(values: Float64) -> Float64:
    """Return the probabilities of these logarithms of odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))


_MOST_LOGIT = 10.0

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PriorNetwork:
    """A perceptron of standardised features, with SiLU between its layers.

    Attributes:
        mean: of each feature.
        deviation: of each feature.
        weights: by layer, ``(inputs + 1, outputs)``; the last row is the constant.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[Matrix, ...]

    def score(self, features: Float64) -> Float64:
        """Return the logit of the probability, ``(windows,)``, for ``features`` ``(windows, features)``."""
        values = standardised(features, np.asarray(self.mean), np.asarray(self.deviation))
        *hidden, last = self._layers
        for layer in hidden:
            sums = values @ layer[:-1] + layer[-1]
            values = sums * sigmoid(sums)
        return np.asarray(np.clip((values @ last[:-1] + last[-1])[:, 0], -_MOST_LOGIT, _MOST_LOGIT))

    @cached_property
    def _layers(self) -> list[Float64]:
        return [np.asarray(layer, dtype=np.float64) for layer in self.weights]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "PriorNetwork":
        """Return the expert that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        mean, deviation = (tuple(map(float, document[name])) for name in ("mean", "deviation"))
        weights = tuple(_matrix(layer) for layer in document["weights"])
        expert = cls(mean, deviation, weights)
        sizes = [len(FEATURES), *(len(layer[0]) for layer in weights)]
        shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]
        fitting = [layer.shape for layer in expert._layers] == shapes and sizes[-1] == 1 and len(sizes) > 1
        finite = np.isfinite([*mean, *deviation, *(each for layer in expert._layers for each in layer.flat)]).all()
        if not fitting or not finite or {len(mean), len(deviation)} != {len(FEATURES)} or min(deviation) <= 0:
            raise ValueError("the weights of the breach network are not of the features, or not finite")
        return expert


def _matrix(rows: Sequence[Sequence[Any]]) -> Matrix:
    return tuple(tuple(map(float, row)) for row in rows)


_SINCE = RECURRENCE_FEATURES.index("hours since the last breach")
_WITHOUT_RECURRENCE = np.log1p(HISTORY_STEPS / STEPS_PER_HOUR) - 1e-3
_SCALE = 4.0
# what the logistic regression says, and as much of the expert's excess over it
TRUSTED = Logistic((0.0, 0.0), (_SCALE, _SCALE), (_SCALE, _SCALE, 0.0))


@dataclass(frozen=True)
class Calibrator:
    """An expert that is the same for all fleets, and two logistic regressions that weigh it for one of them.

    Attributes:
        expert: scores all features.
        logistic: of the PRECEDENTS and the expert's score.
        trust: of the logit of that, and of what the expert says beyond it of a threshold without any precedent.
    """

    expert: PriorNetwork
    logistic: Logistic
    trust: Logistic = TRUSTED

    def probability(self, features: Float64) -> Float64:
        """Return ``(windows,)`` for ``features`` ``(windows, FEATURES)``."""
        weighed = _with_score(self.expert, features)
        return self.trust.probability(_beyond(self.logistic, weighed))

    def fitted(self, features: Float64, happened: Bool) -> "Calibrator":
        """Return the head that fits these windows, drawn towards this one; the expert stays as it is."""
        weighed = _with_score(self.expert, features)
        logistic = self.logistic.fitted(weighed, happened)
        return Calibrator(self.expert, logistic, self.trust.fitted(_beyond(logistic, weighed), happened))

    def document(self) -> dict[str, Any]:
        """Return what ``from_document`` reads."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Calibrator":
        """Return the head that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        logistic = _logistic(document["logistic"], len(RECURRENCE_FEATURES) + 1)
        return cls(PriorNetwork.from_document(document["expert"]), logistic, _logistic(document["trust"], 2))

    @classmethod
    def afresh(cls, expert: PriorNetwork, features: Float64, happened: Bool) -> "Calibrator":
        """Return the head that fits these windows, and trusts ``expert`` until a fleet shows otherwise."""
        weighed = _with_score(expert, features)
        return cls(expert, unfitted(weighed, happened).fitted(weighed, happened))


def _with_score(expert: PriorNetwork, features: Float64) -> Float64:
    """Return what the first regression weighs, ``(windows, PRECEDENTS and one)``."""
    return np.concatenate([features[:, : len(RECURRENCE_FEATURES)], expert.score(features)[:, None]], axis=1)


def _beyond(logistic: Logistic, weighed: Float64) -> Float64:
    """Return what the second regression weighs, ``(windows, 2)``."""
    logit = logistic.logit(weighed)
    unprecedented = weighed[:, _SINCE] >= _WITHOUT_RECURRENCE
    return np.stack([logit, unprecedented * np.maximum(weighed[:, -1] - logit, 0)], axis=1)


def _logistic(given: Mapping[str, Any], features: int) -> Logistic:
    mean, deviation, weights = (tuple(map(float, given[name])) for name in ("mean", "deviation", "weights"))
    if {len(mean), len(deviation), len(weights) - 1} != {features} or not np.isfinite(
        [*mean, *deviation, *weights]
    ).all():
        raise ValueError("the weights of the breach probability are not of the features, or not finite")
    return Logistic(mean, deviation, weights)


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

    head: Calibrator
    cuts: Mapping[tuple[str, Severity], DecisionThreshold]
    general: DecisionThreshold = WITHOUT_KNOWLEDGE
    target_precision: float = 0.8

    def cut(self, metric: str, severity: Severity) -> DecisionThreshold:
        """Return from which probability on an alert is raised."""
        return self.cuts.get((metric, severity), self.general)

    def risks(self, forecast: Forecast, panel: Panel, monitored: Sequence[MonitoredThreshold]) -> tuple[Risk, ...]:
        """Return what is known of each threshold at the origin of ``forecast``, in the order of ``monitored``.

        Nothing after the origin is used. A threshold whose series has no forecast, or no sample among the newest that
        make a breach, has no probability.
        """
        row_of = {key: row for row, key in enumerate(panel.keys)}
        forecast_keys = set(forecast.keys)
        served = [watch for watch in monitored if watch.key in forecast_keys]
        history = history_of(panel, forecast.origin)
        found: dict[MonitoredThreshold, Risk] = {}
        for first in range(0, len(served), _AT_ONCE):
            some = served[first : first + _AT_ONCE]
            windows = windows_of(some, forecast, history[[row_of[watch.key] for watch in some]])
            features, days = windows.described()
            chances = self.head.probability(features)
            found |= zip(some, _risks(some, windows, days, chances), strict=True)
        return tuple(found.get(watch, Risk(monitored=watch, probability=None, breached=False)) for watch in monitored)

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
        cuts = {
            (str(each["metric"]), Severity(each["severity"])): _read_decision_threshold(each)
            for each in document["cuts"]
        }
        head = Calibrator.from_document(document["head"])
        return cls(head, cuts, _read_decision_threshold(document["general_cut"]), float(document["target_precision"]))


def _read_decision_threshold(document: Mapping[str, Any]) -> DecisionThreshold:
    optional = {name: document[name] if document[name] is None else float(document[name]) for name in _RATIOS}
    return DecisionThreshold(
        probability=float(document["probability"]),
        precision=optional["precision"],
        recall=optional["recall"],
        reached=bool(document["reached"]),
        chosen_on=str(document["chosen_on"]),
        windows=int(document["windows"]),
    )


_RATIOS = ("precision", "recall")


def _risks(
    monitored: Sequence[MonitoredThreshold], windows: Windows, days: SameHourHistory, chances: Float64
) -> list[Risk]:
    newest = windows.history[:, -BREACH_STEPS:]
    value = _last_seen(newest)
    earlier = _last_seen(windows.history[:, -BREACH_STEPS - _EARLIER_STEPS : -_EARLIER_STEPS])
    breached = np.all(past(newest, windows.thresholds[:, None]), axis=1)
    median, early = (first_crossing(windows.paths[..., each], windows.thresholds) for each in (MEDIAN, _HIGH))
    peak_step = windows.paths[..., MEDIAN].argmax(axis=1)
    seen, known = (days.began & days.quiet).sum(axis=1), days.quiet.sum(axis=1)
    made = []
    for row, watch in enumerate(monitored):
        if not np.isfinite(value[row]):
            made.append(Risk(monitored=watch, probability=None, breached=False))
            continue
        sign = 1 if watch.direction is Direction.ABOVE else -1
        at_peak = sorted(sign * float(windows.paths[row, peak_step[row], each]) for each in (_LOW, MEDIAN, _HIGH))
        made.append(
            Risk(
                monitored=watch,
                probability=float(chances[row]),
                breached=bool(breached[row]),
                value=sign * float(value[row]),
                earlier=sign * float(earlier[row]) if np.isfinite(earlier[row]) else None,
                median_seconds=_seconds(median[row]),
                early_seconds=_seconds(early[row]),
                peak=(at_peak[0], at_peak[1], at_peak[2]),
                peak_seconds=_seconds(peak_step[row] + 1),
                seen_days=int(seen[row]),
                same_hour_history=int(known[row]),
            )
        )
    return made


def _last_seen(values: Float32) -> Float32:
    last = values.shape[1] - 1 - np.isfinite(values)[:, ::-1].argmax(axis=1)
    return np.take_along_axis(values, last[:, None], axis=1)[:, 0]


def _seconds(step: np.intp) -> int | None:
    return int(step) * STEP_SECONDS or None


CALIBRATION_FILE = "calibration.json"


def write_calibration(folder: Path, stretching: Mapping[str, Any], breach: BreachModel) -> None:
    """Write ``calibration.json`` into ``folder``.

    Args:
        folder: of the model.
        stretching: ``stretch``, a factor per quantile, and what is on record of how it was chosen.
        breach: how likely breaches are, and the cuts.
    """
    document = {"quantiles": QUANTILES, **stretching, "breach": breach.document()}
    (folder / CALIBRATION_FILE).write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_stretch(folder: Path) -> tuple[float, ...]:
    """Return the factors in ``folder``.

    Raises:
        BadModel: the file is missing or damaged.
    """
    try:
        stretch = tuple(float(factor) for factor in _read(folder)["stretch"])
        if len(stretch) != len(QUANTILES) or not all(0 < factor < 10 for factor in stretch):
            raise ValueError(f"stretch is {stretch}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(folder, error) from error
    return stretch


def read_breach_model(folder: Path) -> BreachModel:
    """Return how likely breaches are by what is written in ``folder``.

    Raises:
        BadModel: the file is missing or damaged.
    """
    try:
        return BreachModel.from_document(_read(folder)["breach"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(folder, error) from error


def _read(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))
    return document


def _bad(folder: Path, error: Exception) -> BadModel:
    return BadModel(
        f"{folder / CALIBRATION_FILE}: cannot be used: {reason_of(error, 'train a new model or roll back')}"
    )


BASE_FOLDER = Path(__file__).parents[1] / "network" / "base_network"


def base_breach_model() -> BreachModel:
    """Return the model of breaches that was learned with the base network, for any metric.

    Raises:
        BadModel: its file is missing or damaged.
    """
    return read_breach_model(BASE_FOLDER)
