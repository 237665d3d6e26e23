"""Verification of served forecasts: keep one an hour, score it when its horizon has passed, assess the forecaster.

A pending forecast is scored at HORIZONS beside seasonal naive and the climatology from the same origin. The scores are
sums per origin, forecaster, metric and horizon, so that any group of them adds up. If the serving forecaster is worse
than the climatology over its last hours, the baseline serves instead.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from daemon.config.training import VerificationConfig
from daemon.core.forecast import HORIZONS, QUANTILES, Forecast, Forecaster
from daemon.core.scoring import INTERVALS, SOUND_COVERAGE, Sums, seasonal_error
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, Float32, Float64, Panel, SeriesKey, as_text

Key = TypeVar("Key", bound=Hashable)

KEEP_EVERY_SECONDS = 3_600
DUE_SECONDS = HORIZON_STEPS * STEP_SECONDS + 1_800
"""Age at which a pending forecast is scored: its horizon and half an hour for late samples."""

# samples of a source that is down may still arrive
_PATIENCE_SECONDS = 2 * 86_400
_LEAST_SHARE = 0.75
# a series that hardly ever moved must not outweigh the others on the day that it does
_LEAST_SCALE = 0.1

_log = structlog.get_logger()


@dataclass(frozen=True)
class PendingVerification:
    """A served forecast, reduced to HORIZONS, whose horizon has not passed yet.

    Attributes:
        origin: epoch seconds of the last grid time whose data was used.
        keys: the series, one per row.
        paths: ``(series, horizons, quantiles)`` float32, in the metrics' units.
        forecasters: forecaster of each row: the id of a model, ``base`` or ``baseline``.
    """

    origin: int
    keys: tuple[SeriesKey, ...]
    paths: Float32
    forecasters: tuple[str, ...]

    @classmethod
    def of(cls, forecast: Forecast) -> "PendingVerification":
        """Return the part of a forecast that is verified later."""
        return cls(forecast.origin, forecast.keys, at_horizons(forecast), forecast.forecasters)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums of scores over any group of values, with those of the two references on the same values.

    Attributes:
        count: number of values.
        pinball: pinball loss, averaged over QUANTILES, in units of the series' seasonal naive error.
        naive: the same of the seasonal naive forecast.
        baseline: the same of the climatology.
        inside: number of values inside each of INTERVALS.
    """

    count: int = 0
    pinball: float = 0.0
    naive: float = 0.0
    baseline: float = 0.0
    inside: tuple[int, ...] = (0,) * len(INTERVALS)

    def __add__(self, other: "Tally") -> "Tally":
        """Return the tally of both groups."""
        return Tally(
            count=self.count + other.count,
            pinball=self.pinball + other.pinball,
            naive=self.naive + other.naive,
            baseline=self.baseline + other.baseline,
            inside=tuple(one + another for one, another in zip(self.inside, other.inside, strict=True)),
        )

    @property
    def skill(self) -> float | None:
        """Pinball loss relative to seasonal naive, below 1 is better; None if there is nothing to compare."""
        return self.pinball / self.naive if self.naive > 0 else None

    @property
    def against_baseline(self) -> float | None:
        """Pinball loss relative to the climatology, below 1 is better; None if there is nothing to compare."""
        return self.pinball / self.baseline if self.baseline > 0 else None

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the values inside each of INTERVALS; empty without values."""
        if not self.count:
            return {}
        return {name: inside / self.count for name, inside in zip(INTERVALS, self.inside, strict=True)}


@dataclass(frozen=True, kw_only=True)
class LiveScore:
    """The score of the forecasts of one origin, forecaster, metric and horizon.

    Attributes:
        origin: epoch seconds.
        forecaster: the id of a model, ``base`` or ``baseline``.
        metric: name of the metric.
        horizon: one of HORIZONS.
        tally: over the servers.
    """

    origin: int
    forecaster: str
    metric: str
    horizon: str
    tally: Tally


def grouped(scores: Iterable[LiveScore], key: Callable[[LiveScore], Key]) -> dict[Key, Tally]:
    """Return the tally of the ``scores`` of each ``key``."""
    tallies: dict[Key, Tally] = {}
    for score in scores:
        tallies[key(score)] = tallies.get(key(score), Tally()) + score.tally
    return tallies


def total(scores: Iterable[LiveScore]) -> Tally:
    """Return the tally of all ``scores``."""
    return sum((score.tally for score in scores), Tally())


def at_horizons(forecast: Forecast) -> Float32:
    """Return the paths at HORIZONS, ``(series, horizons, quantiles)``."""
    if not forecast.keys:
        return np.empty((0, len(HORIZONS), len(QUANTILES)), np.float32)
    return np.ascontiguousarray(forecast.paths[:, [steps - 1 for steps in HORIZONS.values()]])


def live_scores(pending: PendingVerification, panel: Panel, naive: Forecast, baseline: Forecast) -> list[LiveScore]:
    """Return the scores of a pending forecast by forecaster, metric and horizon.

    A series that never changed before the origin is left out: every forecaster is right about it.

    Args:
        pending: the forecast.
        panel: the history, from before its origin until after its last horizon.
        naive: the seasonal naive forecast from the same origin.
        baseline: the climatology's forecast from the same origin.
    """
    row_of = {key: row for row, key in enumerate(panel.keys)}
    naive_row, baseline_row = ({key: row for row, key in enumerate(each.keys)} for each in (naive, baseline))
    shared = [row for row, key in enumerate(pending.keys) if key in row_of and key in naive_row and key in baseline_row]
    keys = [pending.keys[row] for row in shared]
    metrics = np.array([key.metric for key in keys], dtype=object)
    known = panel.select([row_of[key] for key in keys])
    scale = _scales(seasonal_error(known.between(panel.start, pending.origin).values), metrics)
    times = [(pending.origin + steps * STEP_SECONDS - panel.start) // STEP_SECONDS for steps in HORIZONS.values()]
    actual = np.where((scale > 0)[:, None], known.values[:, times], np.float32(np.nan))

    def sums(paths: Float32) -> Sums:
        return Sums.of(actual, paths, range(len(HORIZONS)))

    own = sums(pending.paths[shared])
    references = (
        sums(at_horizons(naive)[[naive_row[key] for key in keys]]),
        sums(at_horizons(baseline)[[baseline_row[key] for key in keys]]),
    )
    losses = [each.pinball / np.where(scale > 0, scale, 1)[:, None] for each in (own, *references)]
    forecasters = np.array([pending.forecasters[row] for row in shared], dtype=object)
    return list(_by_group(pending.origin, forecasters, metrics, own=own, losses=losses))


def _scales(errors: Float64, metrics: npt.NDArray[np.object_]) -> Float64:
    """Return each series' seasonal naive error, not far below the median of its metric; 0 where it never changed."""
    floors = np.zeros(len(errors))
    for metric in set(metrics):
        rows = (metrics == metric) & (errors > 0)
        floors[rows] = _LEAST_SCALE * np.median(errors[rows]) if rows.any() else 0
    return np.where(errors > 0, np.maximum(errors, floors), 0)


def _by_group(
    origin: int,
    forecasters: npt.NDArray[np.object_],
    metrics: npt.NDArray[np.object_],
    *,
    own: Sums,
    losses: Sequence[Float64],
) -> Iterator[LiveScore]:
    for forecaster, metric in product(sorted(set(forecasters)), sorted(set(metrics))):
        rows = (forecasters == forecaster) & (metrics == metric)
        for column, horizon in enumerate(HORIZONS):
            count = int(own.count[rows, column].sum())
            if count:
                pinball, naive, baseline = (float(each[rows, column].sum()) for each in losses)
                inside = tuple(own.inside[rows, column].sum(axis=0).astype(int).tolist())
                tally = Tally(count=count, pinball=pinball, naive=naive, baseline=baseline, inside=inside)
                yield LiveScore(origin=origin, forecaster=forecaster, metric=metric, horizon=horizon, tally=tally)


@dataclass(frozen=True)
class LiveAssessment:
    """The scores of one forecaster over a span, and what follows from them.

    Attributes:
        forecaster: the id of a model, or ``base``.
        seconds: length of the span.
        tally: over all metrics and horizons.
    """

    forecaster: str
    seconds: int
    tally: Tally

    @property
    def worse_than_baseline(self) -> str | None:
        """The reason why the baseline must serve instead; None if it need not."""
        ratio = self.tally.against_baseline
        if ratio is None or ratio <= 1:
            return None
        return f"{self._span}, its pinball loss was {ratio:.3f} of the climatology's"

    @property
    def out_of_bounds(self) -> str | None:
        """The reason for a new training; None if there is none."""
        skill, (low, high) = self.tally.skill, SOUND_COVERAGE
        share = self.tally.coverage.get("80")
        if skill is not None and skill >= 1:
            return f"{self._span}, its pinball loss was {skill:.3f} of seasonal naive's"
        if share is not None and not low <= share <= high:
            return f"{self._span}, its 80 % interval covered {share:.1%}, not between {low:.0%} and {high:.0%}"
        return None

    @property
    def _span(self) -> str:
        return f"over {self.seconds / 3600:g} hours of served forecasts"


def live_assessment(scores: Iterable[LiveScore], forecaster: str, at: int, seconds: int) -> LiveAssessment | None:
    """Return the assessment of ``forecaster`` over the newest ``seconds`` of origins that can be scored at ``at``.

    None if it has not served for most of them.
    """
    since = at - DUE_SECONDS - seconds
    own = [score for score in scores if score.forecaster == forecaster and score.origin > since]
    if len({score.origin for score in own}) < _LEAST_SHARE * seconds / KEEP_EVERY_SECONDS:
        return None
    return LiveAssessment(forecaster, seconds, total(own))


class VerificationRepository(Protocol):
    """Keeps pending forecasts and live scores over restarts."""

    def pending(self) -> tuple[PendingVerification, ...]:
        """Return the pending forecasts, oldest first."""
        ...

    def scores(self, since: int) -> tuple[LiveScore, ...]:
        """Return the scores of origins at or after ``since`` (epoch seconds), oldest first."""
        ...

    def write(self, pending: Sequence[PendingVerification], done: Sequence[int], scores: Sequence[LiveScore]) -> None:
        """Add pending forecasts, delete those of the origins ``done``, and add ``scores``, in one transaction.

        Raises:
            StoreUnavailable: nothing was written.
        """
        ...

    def prune(self, before: int) -> int:
        """Delete the scores of origins before ``before`` (epoch seconds); return their number."""
        ...


@dataclass(frozen=True)
class VerificationResult:
    """The state of verification after a tick.

    Attributes:
        scores: of the window, oldest first.
        pending: number of pending forecasts.
        assessment: of the serving forecaster; None if it has not served for long enough.
        rules: the rules that applied; None before the first tick.
    """

    scores: tuple[LiveScore, ...] = ()
    pending: int = 0
    assessment: LiveAssessment | None = None
    rules: VerificationConfig | None = None

    @property
    def fallback(self) -> str | None:
        """The reason why the baseline must serve instead; None if it need not, or ``verification.fallback`` is off."""
        if self.assessment is None or self.rules is None or not self.rules.fallback:
            return None
        return self.assessment.worse_than_baseline


class Verification:
    """Keeps one served forecast an hour and scores it when its horizon has passed."""

    def __init__(
        self, repository: VerificationRepository, naive: Forecaster, baseline: Forecaster, rules: VerificationConfig
    ) -> None:
        """Start without state; the first tick reads it from the repository."""
        self._repository, self._naive, self._baseline, self._rules = repository, naive, baseline, rules
        self._pending: tuple[PendingVerification, ...] | None = None
        self._scores: tuple[LiveScore, ...] = ()

    def run(self, at: int, forecast: Forecast, panel: Panel, serving: str) -> VerificationResult:
        """Score the forecasts that are due at grid time ``at``, keep ``forecast`` once an hour, and write both.

        Args:
            at: epoch seconds.
            forecast: the forecast that serves from now on.
            panel: the history of at least its series.
            serving: the id of the model that serves, or ``base``.
        """
        oldest = at - DUE_SECONDS - self._rules.window_hours * 3600
        if self._pending is None:
            self._pending, self._scores = self._repository.pending(), self._repository.scores(oldest)
        due = [pending for pending in self._pending if _is_due(pending, panel, at)]
        new = [PendingVerification.of(forecast)] if self._time_to_keep(at) and forecast.keys else []
        found = [score for pending in due for score in self._scored(pending, panel)]
        if due or new:
            done = [pending.origin for pending in due]
            self._repository.write(new, done, found)
            self._pending = (*(pending for pending in self._pending if pending.origin not in done), *new)
            self._scores = self._pruned((*self._scores, *found), oldest)
        assessment = live_assessment(self._scores, serving, at, self._rules.judged_hours * 3600)
        return VerificationResult(self._scores, len(self._pending), assessment, self._rules)

    def _time_to_keep(self, at: int) -> bool:
        # only origins up to now: a clock that was set back must not stop verification
        return not any(at - KEEP_EVERY_SECONDS < pending.origin <= at for pending in self._pending or ())

    def _scored(self, pending: PendingVerification, panel: Panel) -> list[LiveScore]:
        if pending.origin < panel.start:
            _log.warning("forecast_unverified", origin=as_text(pending.origin), reason="its history was deleted")
            return []
        naive, baseline = (each.forecast(panel, pending.origin) for each in (self._naive, self._baseline))
        scores = live_scores(pending, panel, naive, baseline)
        _log.info("forecast_verified", origin=as_text(pending.origin), values=total(scores).count)
        return scores

    def _pruned(self, scores: tuple[LiveScore, ...], oldest: int) -> tuple[LiveScore, ...]:
        if scores and scores[0].origin < oldest:
            self._repository.prune(oldest)
        return tuple(score for score in scores if score.origin >= oldest)


def _is_due(pending: PendingVerification, panel: Panel, at: int) -> bool:
    if at < pending.origin + DUE_SECONDS:
        return False
    last = pending.origin + HORIZON_STEPS * STEP_SECONDS
    arrived = bool(np.isfinite(panel.between(last, at).values).any())
    return arrived or at >= pending.origin + DUE_SECONDS + _PATIENCE_SECONDS
