"""The breach model: the probability that a threshold is breached within 8 h, and the decision thresholds of alerts.

A prior network scores all features. A calibrator, fitted on the fleet's own history, turns its score and the recurrence
features into a probability. ``calibration.json`` holds both.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from scipy.special import expit

from daemon.breach.decision import WITHOUT_KNOWLEDGE, PrecisionCurve, choose_decision_threshold
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
from daemon.breach.windows import Windows, history_of, newest_sample, windows_of
from daemon.core.errors import BadModel
from daemon.core.file_access import reason_of
from daemon.core.forecast import MEDIAN, QUANTILES, Forecast
from daemon.core.metric import Direction
from daemon.core.series import STEP_SECONDS, STEPS_PER_HOUR, Bool, Float64, Panel

CALIBRATION_FILE = "calibration.json"
BASE_FOLDER = Path(__file__).parents[1] / "network" / "base_network"

_LARGEST_DEVIATION = 4.0
_SMALLEST_DEVIATION = 1e-6
_PRIOR_PRECISION = 30.0
_LARGEST_LOGIT = 10.0
_SCALE = 4.0
_SINCE = RECURRENCE_FEATURES.index("hours since the last breach")
_WITHOUT_RECURRENCE = np.log1p(HISTORY_STEPS / STEPS_PER_HOUR) - 1e-3

_WINDOWS_AT_ONCE = 256
_EARLIER_STEPS = 6 * STEPS_PER_HOUR
_LOW, _HIGH = QUANTILES.index(0.1), QUANTILES.index(0.9)

_log = structlog.get_logger()


@dataclass(frozen=True)
class Logistic:
    """A logistic regression on standardised features.

    Attributes:
        mean: ``(features,)``.
        deviation: ``(features,)``, above 0.
        weights: ``(features + 1,)``; the last one is the intercept.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]

    def probability(self, features: Float64) -> Float64:
        """Return ``(windows,)`` for ``features`` ``(windows, features)``."""
        return np.asarray(expit(self.logit(features)))

    def logit(self, features: Float64) -> Float64:
        """Return the logit of the probability, ``(windows,)``."""
        logit: Float64 = self._inputs(features) @ np.asarray(self.weights)
        return logit

    def fitted(self, features: Float64, happened: Bool) -> "Logistic":
        """Return the regression of the highest posterior under a Gaussian prior with these weights as its mean.

        The negative log posterior is convex; a trust-region Newton method minimises it (Nocedal and Wright, Numerical
        Optimization, 2006, chapter 4).

        Args:
            features: ``(windows, features)``.
            happened: ``(windows,)``.
        """
        from scipy.optimize import minimize  # noqa: PLC0415 - half a second to import, and serving never fits

        inputs, prior = self._inputs(features), np.asarray(self.weights)

        def loss(weights: Float64) -> float:
            scores, away = inputs @ weights, weights - prior
            return float((np.logaddexp(0, scores) - happened * scores).sum() + _PRIOR_PRECISION / 2 * (away @ away))

        def gradient(weights: Float64) -> Float64:
            slope: Float64 = inputs.T @ (expit(inputs @ weights) - happened) + _PRIOR_PRECISION * (weights - prior)
            return slope

        def hessian(weights: Float64) -> Float64:
            chances = expit(inputs @ weights)
            curvature: Float64 = (inputs * (chances * (1 - chances))[:, None]).T @ inputs
            return curvature + _PRIOR_PRECISION * np.eye(len(weights))

        found = minimize(loss, prior, method="trust-exact", jac=gradient, hess=hessian)
        return Logistic(self.mean, self.deviation, tuple(found.x.tolist()))

    def _inputs(self, features: Float64) -> Float64:
        scaled = standardised(features, np.asarray(self.mean), np.asarray(self.deviation))
        return np.concatenate([scaled, np.ones((len(features), 1))], axis=1)


def unfitted(features: Float64, happened: Bool) -> Logistic:
    """Return a regression that is scaled to ``features`` and predicts the rate of ``happened`` for any of them."""
    deviation = np.maximum(features.std(axis=0), _SMALLEST_DEVIATION)
    rate = (happened.sum() + 0.5) / (len(happened) + 1)
    weights = (*[0.0] * features.shape[1], float(np.log(rate / (1 - rate))))
    return Logistic(tuple(features.mean(axis=0).tolist()), tuple(deviation.tolist()), weights)


def standardised(features: Float64, mean: Float64, deviation: Float64) -> Float64:
    """Return ``(windows, features)`` in deviations from the mean, clipped to ±4."""
    return np.asarray(np.clip((features - mean) / deviation, -_LARGEST_DEVIATION, _LARGEST_DEVIATION))


Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PriorNetwork:
    """A multilayer perceptron on standardised features, with SiLU between its layers.

    Attributes:
        mean: ``(FEATURES,)``.
        deviation: ``(FEATURES,)``, above 0.
        weights: by layer, ``(inputs + 1, outputs)``; the last row is the bias.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[Matrix, ...]

    def score(self, features: Float64) -> Float64:
        """Return the logit of the probability, ``(windows,)`` and within ±10, for ``(windows, FEATURES)``."""
        values = standardised(features, np.asarray(self.mean), np.asarray(self.deviation))
        *hidden, last = self._layers
        for layer in hidden:
            sums = values @ layer[:-1] + layer[-1]
            values = sums * expit(sums)
        return np.asarray(np.clip((values @ last[:-1] + last[-1])[:, 0], -_LARGEST_LOGIT, _LARGEST_LOGIT))

    @cached_property
    def _layers(self) -> list[Float64]:
        return [np.asarray(layer, dtype=np.float64) for layer in self.weights]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "PriorNetwork":
        """Return the network that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        mean, deviation = (tuple(map(float, document[name])) for name in ("mean", "deviation"))
        weights = tuple(_matrix(layer) for layer in document["weights"])
        network = cls(mean, deviation, weights)
        sizes = [len(FEATURES), *(len(layer[0]) for layer in weights)]
        shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]
        fitting = [layer.shape for layer in network._layers] == shapes and sizes[-1] == 1 and len(sizes) > 1
        finite = np.isfinite([*mean, *deviation, *(each for layer in network._layers for each in layer.flat)]).all()
        if not fitting or not finite or {len(mean), len(deviation)} != {len(FEATURES)} or min(deviation) <= 0:
            raise ValueError("the weights of the breach network are not of the features, or not finite")
        return network


def _matrix(rows: Sequence[Sequence[Any]]) -> Matrix:
    return tuple(tuple(map(float, row)) for row in rows)


# the calibrator's logit and the prior network's excess over it each have weight 1 before a fleet is seen
INITIAL_RESIDUAL_WEIGHT = Logistic((0.0, 0.0), (_SCALE, _SCALE), (_SCALE, _SCALE, 0.0))


@dataclass(frozen=True)
class Calibrator:
    """The prior network, the same for all fleets, and two logistic regressions that weigh its score for one fleet.

    Attributes:
        prior_network: scores all features.
        logistic: on RECURRENCE_FEATURES and the prior network's score.
        residual_weight: on the logit of ``logistic``, and on the excess of the prior network's score over that logit;
            the excess counts only for a threshold without a breach in the history.
    """

    prior_network: PriorNetwork
    logistic: Logistic
    residual_weight: Logistic = INITIAL_RESIDUAL_WEIGHT

    def probability(self, features: Float64) -> Float64:
        """Return ``(windows,)`` for ``features`` ``(windows, FEATURES)``."""
        weighed = _with_score(self.prior_network, features)
        return self.residual_weight.probability(_with_residual(self.logistic, weighed))

    def fitted(self, features: Float64, happened: Bool) -> "Calibrator":
        """Return the calibrator fitted on these windows, with this one as its prior; the prior network is the same."""
        weighed = _with_score(self.prior_network, features)
        logistic = self.logistic.fitted(weighed, happened)
        residual_weight = self.residual_weight.fitted(_with_residual(logistic, weighed), happened)
        return Calibrator(self.prior_network, logistic, residual_weight)

    @classmethod
    def initial(cls, prior_network: PriorNetwork, features: Float64, happened: Bool) -> "Calibrator":
        """Return the calibrator of these windows that gives the prior network's excess its full weight."""
        weighed = _with_score(prior_network, features)
        return cls(prior_network, unfitted(weighed, happened).fitted(weighed, happened))

    def document(self) -> dict[str, Any]:
        """Return the JSON form that ``from_document`` reads."""
        return {
            "expert": asdict(self.prior_network),
            "logistic": asdict(self.logistic),
            "trust": asdict(self.residual_weight),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Calibrator":
        """Return the calibrator that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        logistic = _logistic(document["logistic"], len(RECURRENCE_FEATURES) + 1)
        return cls(PriorNetwork.from_document(document["expert"]), logistic, _logistic(document["trust"], 2))


def _with_score(prior_network: PriorNetwork, features: Float64) -> Float64:
    """Return the inputs of the first regression, ``(windows, RECURRENCE_FEATURES + 1)``."""
    return np.concatenate([features[:, : len(RECURRENCE_FEATURES)], prior_network.score(features)[:, None]], axis=1)


def _with_residual(logistic: Logistic, weighed: Float64) -> Float64:
    """Return the inputs of the second regression, ``(windows, 2)``."""
    logit = logistic.logit(weighed)
    without_recurrence = weighed[:, _SINCE] >= _WITHOUT_RECURRENCE
    return np.stack([logit, without_recurrence * np.maximum(weighed[:, -1] - logit, 0)], axis=1)


def _logistic(given: Mapping[str, Any], features: int) -> Logistic:
    mean, deviation, weights = (tuple(map(float, given[name])) for name in ("mean", "deviation", "weights"))
    if {len(mean), len(deviation), len(weights) - 1} != {features} or not np.isfinite(
        [*mean, *deviation, *weights]
    ).all():
        raise ValueError("the weights of the breach probability are not of the features, or not finite")
    return Logistic(mean, deviation, weights)


Kind = tuple[str, Severity]
"""A metric and a severity."""


@dataclass(frozen=True, kw_only=True)
class BreachModel:
    """The calibrator, and the decision thresholds that were chosen with it.

    Attributes:
        calibrator: from features to a probability.
        thresholds: decision thresholds by metric and severity.
        target_precision: 0 to 1; the thresholds were chosen for it.
        general: the decision threshold of every other metric and severity.
        curves: precision curves that ``thresholds`` are chosen from; a model of an earlier version has none.
        general_curves: the same for ``general``; None if they are unknown.
    """

    calibrator: Calibrator
    thresholds: Mapping[Kind, DecisionThreshold]
    target_precision: float
    general: DecisionThreshold = WITHOUT_KNOWLEDGE
    curves: Mapping[Kind, tuple[PrecisionCurve, ...]] = field(default_factory=dict)
    general_curves: tuple[PrecisionCurve, ...] | None = None

    def decision_threshold(self, metric: str, severity: Severity) -> DecisionThreshold:
        """Return the decision threshold of alerts for one metric and severity."""
        return self.thresholds.get((metric, severity), self.general)

    def at_target(self, target: float) -> "BreachModel":
        """Return the model with its decision thresholds chosen for the ``target`` precision, 0 to 1.

        A threshold without a curve stays as it is, and the log says so.
        """
        if target == self.target_precision:
            return self
        fixed = len(self.thresholds.keys() - self.curves.keys()) + (self.general_curves is None)
        if fixed:
            _log.warning(
                "target_precision_not_applied",
                target_precision=target,
                trained_target_precision=self.target_precision,
                decision_thresholds=fixed,
                reason="the model has no precision curves for them",
                consequence="they stay at the trained target precision until the next training",
            )
        if fixed == len(self.thresholds) + 1:
            return self
        chosen = {kind: choose_decision_threshold(curves, target) for kind, curves in self.curves.items()}
        general = self.general
        if self.general_curves is not None:
            general = choose_decision_threshold(self.general_curves, target)
        return replace(self, thresholds={**self.thresholds, **chosen}, general=general, target_precision=target)

    def risks(self, forecast: Forecast, panel: Panel, monitored: Sequence[MonitoredThreshold]) -> tuple[Risk, ...]:
        """Return the risk of each threshold at the origin of ``forecast``, in the order of ``monitored``.

        Nothing after the origin is used. The probability is None if the series has no forecast, or no sample in the
        newest BREACH_STEPS.
        """
        row_of = {key: row for row, key in enumerate(panel.keys)}
        forecast_keys = set(forecast.keys)
        served = [each for each in monitored if each.key in forecast_keys]
        history = history_of(panel, forecast.origin)
        found: dict[MonitoredThreshold, Risk] = {}
        for first in range(0, len(served), _WINDOWS_AT_ONCE):
            some = served[first : first + _WINDOWS_AT_ONCE]
            windows = windows_of(some, forecast, history[[row_of[each.key] for each in some]])
            features, days = windows.described()
            chances = self.calibrator.probability(features)
            found |= zip(some, _risks(some, windows, days, chances), strict=True)
        return tuple(found.get(each, Risk(monitored=each, probability=None, breached=False)) for each in monitored)

    def document(self) -> dict[str, Any]:
        """Return the JSON form that ``from_document`` reads."""
        thresholds = [
            {"metric": metric, "severity": severity.value, **_document(threshold, self.curves.get((metric, severity)))}
            for (metric, severity), threshold in sorted(self.thresholds.items())
        ]
        return {
            "head": self.calibrator.document(),
            "target_precision": self.target_precision,
            "general_cut": _document(self.general, self.general_curves),
            "cuts": thresholds,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BreachModel":
        """Return the model that ``document`` describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        thresholds, curves = {}, {}
        for each in document["cuts"]:
            kind = str(each["metric"]), Severity(each["severity"])
            thresholds[kind] = _read_decision_threshold(each)
            if (found := _read_curves(each)) is not None:
                curves[kind] = found
        return cls(
            calibrator=Calibrator.from_document(document["head"]),
            thresholds=thresholds,
            general=_read_decision_threshold(document["general_cut"]),
            target_precision=float(document["target_precision"]),
            curves=curves,
            general_curves=_read_curves(document["general_cut"]),
        )


def _document(threshold: DecisionThreshold, curves: Sequence[PrecisionCurve] | None) -> dict[str, Any]:
    kept = {} if curves is None else {"curve": [curve.document() for curve in curves]}
    return {**asdict(threshold), **kept}


def _read_decision_threshold(document: Mapping[str, Any]) -> DecisionThreshold:
    precision, recall = (None if document[name] is None else float(document[name]) for name in ("precision", "recall"))
    return DecisionThreshold(
        probability=float(document["probability"]),
        precision=precision,
        recall=recall,
        reached=bool(document["reached"]),
        chosen_on=str(document["chosen_on"]),
        windows=int(document["windows"]),
    )


def _read_curves(document: Mapping[str, Any]) -> tuple[PrecisionCurve, ...] | None:
    if "curve" not in document:
        return None
    return tuple(PrecisionCurve.from_document(each) for each in document["curve"])


def _risks(
    monitored: Sequence[MonitoredThreshold], windows: Windows, days: SameHourHistory, chances: Float64
) -> list[Risk]:
    newest = windows.history[:, -BREACH_STEPS:]
    value = newest_sample(newest)
    earlier = newest_sample(windows.history[:, -BREACH_STEPS - _EARLIER_STEPS : -_EARLIER_STEPS])
    breached = np.all(past(newest, windows.thresholds[:, None]), axis=1)
    median, early = (first_crossing(windows.paths[..., level], windows.thresholds) for level in (MEDIAN, _HIGH))
    peak_step = windows.paths[..., MEDIAN].argmax(axis=1)
    seen, known = (days.onset & days.clear).sum(axis=1), days.clear.sum(axis=1)
    made = []
    for row, each in enumerate(monitored):
        if not np.isfinite(value[row]):
            made.append(Risk(monitored=each, probability=None, breached=False))
            continue
        sign = 1 if each.direction is Direction.ABOVE else -1
        at_peak = sorted(sign * float(windows.paths[row, peak_step[row], level]) for level in (_LOW, MEDIAN, _HIGH))
        made.append(
            Risk(
                monitored=each,
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


def _seconds(step: np.intp) -> int | None:
    return int(step) * STEP_SECONDS or None


def write_calibration(folder: Path, stretching: Mapping[str, Any], breach: BreachModel) -> None:
    """Write ``calibration.json`` into ``folder``.

    Args:
        folder: of the model.
        stretching: ``stretch``, a factor per quantile, and the record of its choice.
        breach: the breach model.
    """
    document = {"quantiles": QUANTILES, **stretching, "breach": breach.document()}
    (folder / CALIBRATION_FILE).write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_stretch(folder: Path) -> tuple[float, ...]:
    """Return the interval factors in ``folder``, one per quantile.

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


def read_breach_model(folder: Path, target_precision: float | None = None) -> BreachModel:
    """Return the breach model in ``folder``, its decision thresholds chosen for ``target_precision``.

    With None they are those that were chosen at training.

    Raises:
        BadModel: the file is missing or damaged.
    """
    try:
        model = BreachModel.from_document(_read(folder)["breach"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(folder, error) from error
    return model if target_precision is None else model.at_target(target_precision)


def _read(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))
    return document


def _bad(folder: Path, error: Exception) -> BadModel:
    return BadModel(
        f"{folder / CALIBRATION_FILE}: cannot be used: {reason_of(error, 'train a new model or roll back')}"
    )


def base_breach_model(target_precision: float | None = None) -> BreachModel:
    """Return the breach model of the base network, for any metric.

    Raises:
        BadModel: its file is missing or damaged.
    """
    return read_breach_model(BASE_FOLDER, target_precision)
