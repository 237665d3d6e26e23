"""What was forecast against what then happened: kept, scored when it is time, dropped."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from daemon.config.training import VerificationConfig
from daemon.core.forecast import HORIZONS, QUANTILES, Forecast, Forecaster, pinball_loss
from daemon.core.scoring import INTERVALS, SOUND_COVERAGE, seasonal_error
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, Float32, Float64, Panel, SeriesKey, as_text

Key = TypeVar("Key", bound=Hashable)

# a series that hardly ever moved must not outweigh the others on the day that it does
_LEAST_SCALE = 0.1


@dataclass(frozen=True)
class PendingVerification:
    """A forecast that waits for its time to come, at HORIZONS only.

    Attributes:
        origin: epoch seconds of the last grid time whose data was used.
        keys: the series, one per row.
        paths: ``(series, horizons, quantiles)`` float32, in the metrics' units.
        forecasters: who made each row: the id of a model, ``base`` or ``baseline``.
    """

    origin: int
    keys: tuple[SeriesKey, ...]
    paths: Float32
    forecasters: tuple[str, ...]

    @classmethod
    def of(cls, forecast: Forecast) -> "PendingVerification":
        """Return what is kept of a forecast."""
        return cls(forecast.origin, forecast.keys, at_horizons(forecast), forecast.forecasters)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums over the values that forecasts were compared with.

    Attributes:
        count: of the values.
        pinball: pinball loss over QUANTILES, in units of the series' seasonal naive error.
        naive: seasonal naive's, on the same values.
        baseline: the climatology's, on the same values.
        inside: how many values lay inside each of INTERVALS.
    """

    count: int = 0
    pinball: float = 0.0
    naive: float = 0.0
    baseline: float = 0.0
    inside: tuple[int, ...] = (0,) * len(INTERVALS)

    def __add__(self, other: "Tally") -> "Tally":
        """Return the tally of both."""
        return Tally(
            count=self.count + other.count,
            pinball=self.pinball + other.pinball,
            naive=self.naive + other.naive,
            baseline=self.baseline + other.baseline,
            inside=tuple(one + another for one, another in zip(self.inside, other.inside, strict=True)),
        )

    @property
    def skill(self) -> float | None:
        """Pinball loss relative to seasonal naive's, below 1 is better; None where nothing can be compared."""
        return self.pinball / self.naive if self.naive > 0 else None

    @property
    def against_baseline(self) -> float | None:
        """Pinball loss relative to the climatology's; None where nothing can be compared."""
        return self.pinball / self.baseline if self.baseline > 0 else None

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the values inside each of INTERVALS; empty where there are none."""
        if not self.count:
            return {}
        return {name: inside / self.count for name, inside in zip(INTERVALS, self.inside, strict=True)}


@dataclass(frozen=True, kw_only=True)
class LiveScore:
    """What the forecasts of one origin, forecaster, metric and horizon came to.

    Attributes:
        origin: epoch seconds.
        forecaster: the id of a model, ``base`` or ``baseline``.
        metric: its name.
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


def scored(kept: PendingVerification, panel: Panel, naive: Forecast, baseline: Forecast) -> list[LiveScore]:
    """Return what ``kept`` came to, by forecaster, metric and horizon.

    A series that never changed is left out: whatever forecasts it is right, and says nothing of the others.

    Args:
        kept: the forecast.
        panel: the history, from before its origin until after its last horizon.
        naive: seasonal naive's forecast from the same origin.
        baseline: the climatology's.
    """
    row_of = {key: row for row, key in enumerate(panel.keys)}
    by_naive, by_baseline = ({key: row for row, key in enumerate(each.keys)} for each in (naive, baseline))
    shared = [row for row, key in enumerate(kept.keys) if key in row_of and key in by_naive and key in by_baseline]
    keys = [kept.keys[row] for row in shared]
    ours = panel.select([row_of[key] for key in keys])
    times = [(kept.origin + steps * STEP_SECONDS - panel.start) // STEP_SECONDS for steps in HORIZONS.values()]
    actual = ours.values[:, times]
    metrics = np.array([key.metric for key in keys], dtype=object)
    scale = _scales(seasonal_error(ours.between(panel.start, kept.origin).values), metrics)
    known = np.isfinite(actual) & (scale > 0)[:, None]
    paths = kept.paths[shared]

    def loss(of: Float32) -> Float64:
        raw = pinball_loss(actual, of).mean(axis=-1)
        return np.where(known, raw / np.where(scale > 0, scale, 1)[:, None], 0)

    losses = (
        loss(paths),
        loss(at_horizons(naive)[[by_naive[key] for key in keys]]),
        loss(at_horizons(baseline)[[by_baseline[key] for key in keys]]),
    )
    inside = [known & _between(actual, paths, *levels) for levels in INTERVALS.values()]
    forecasters = np.array([kept.forecasters[row] for row in shared], dtype=object)
    return list(_by_group(kept.origin, forecasters, metrics, known=known, losses=losses, inside=inside))


def _scales(errors: Float64, metrics: npt.NDArray[np.object_]) -> Float64:
    """Return each series' seasonal naive error, not far below the median of its metric; 0 where it never changed."""
    floors = np.zeros(len(errors))
    for metric in set(metrics):
        rows = (metrics == metric) & (errors > 0)
        floors[rows] = _LEAST_SCALE * np.median(errors[rows]) if rows.any() else 0
    return np.where(errors > 0, np.maximum(errors, floors), 0)


def _between(actual: Float32, paths: Float32, lower: float, upper: float) -> npt.NDArray[np.bool_]:
    low, high = paths[..., QUANTILES.index(lower)], paths[..., QUANTILES.index(upper)]
    within: npt.NDArray[np.bool_] = (actual >= low) & (actual <= high)
    return within


def _by_group(
    origin: int,
    forecasters: npt.NDArray[np.object_],
    metrics: npt.NDArray[np.object_],
    *,
    known: npt.NDArray[np.bool_],
    losses: tuple[Float64, ...],
    inside: list[npt.NDArray[np.bool_]],
) -> Iterator[LiveScore]:
    for forecaster, metric in product(sorted(set(forecasters)), sorted(set(metrics))):
        rows = (forecasters == forecaster) & (metrics == metric)
        for column, horizon in enumerate(HORIZONS):
            count = int(known[rows, column].sum())
            if count:
                pinball, naive, baseline = (float(each[rows, column].sum()) for each in losses)
                within = tuple(int(each[rows, column].sum()) for each in inside)
                tally = Tally(count=count, pinball=pinball, naive=naive, baseline=baseline, inside=within)
                yield LiveScore(origin=origin, forecaster=forecaster, metric=metric, horizon=horizon, tally=tally)


KEEP_EVERY_SECONDS = 3_600
# late samples are waited for
DUE_SECONDS = HORIZON_STEPS * STEP_SECONDS + 1_800
_LEAST_SHARE = 0.75


@dataclass(frozen=True)
class LiveAssessment:
    """What the forecasts of one forecaster came to over a while.

    Attributes:
        forecaster: the id of a model, or ``base``.
        seconds: how long that was.
        tally: over all metrics and horizons.
    """

    forecaster: str
    seconds: int
    tally: Tally

    @property
    def worse_than_baseline(self) -> str:
        """Why the baseline is to serve in its place, in words; empty if it is not."""
        ratio = self.tally.against_baseline
        if ratio is None or ratio <= 1:
            return ""
        return f"{self._span}, its pinball loss was {ratio:.3f} of the climatology's"

    @property
    def out_of_bounds(self) -> str:
        """Why it should be trained anew, in words; empty if it need not."""
        skill, (low, high) = self.tally.skill, SOUND_COVERAGE
        share = self.tally.coverage.get("80")
        if skill is not None and skill >= 1:
            return f"{self._span}, its pinball loss was {skill:.3f} of seasonal naive's"
        if share is not None and not low <= share <= high:
            return f"{self._span}, its 80 % interval covered {share:.1%}, not between {low:.0%} and {high:.0%}"
        return ""

    @property
    def _span(self) -> str:
        return f"over {self.seconds / 3600:g} hours of served forecasts"


def live_assessment(scores: Iterable[LiveScore], forecaster: str, at: int, seconds: int) -> LiveAssessment | None:
    """Return what ``forecaster`` came to in the last ``seconds`` for which it can be known at ``at``.

    None where it has not served for most of them.
    """
    since = at - DUE_SECONDS - seconds
    own = [score for score in scores if score.forecaster == forecaster and score.origin > since]
    if len({score.origin for score in own}) < _LEAST_SHARE * seconds / KEEP_EVERY_SECONDS:
        return None
    return LiveAssessment(forecaster, seconds, total(own))


class VerificationRepository(Protocol):
    """Forecasts that wait for their time, and what those before came to, kept over restarts."""

    def kept(self) -> tuple[PendingVerification, ...]:
        """Return the forecasts that wait, oldest first."""
        ...

    def scores(self, since: int) -> tuple[LiveScore, ...]:
        """Return the scores of origins at or after ``since`` (epoch seconds), oldest first."""
        ...

    def write(self, kept: Sequence[PendingVerification], done: Sequence[int], scores: Sequence[LiveScore]) -> None:
        """Keep more forecasts, let go of those of the origins ``done``, and add ``scores``, in one transaction.

        Raises:
            StoreUnavailable: nothing was written.
        """
        ...

    def prune(self, before: int) -> int:
        """Delete the scores of origins before ``before`` (epoch seconds); return how many went."""
        ...


# while a source is down its samples may still come
_PATIENCE_SECONDS = 2 * 86_400

_log = structlog.get_logger()


@dataclass(frozen=True)
class VerificationResult:
    """What is known of the forecasts that were served.

    Attributes:
        scores: of the window, oldest first.
        waiting: forecasts whose time has not come.
        verdict: of what serves; None where it has not served for long enough.
        rules: what they were made by; None before the first tick.
    """

    scores: tuple[LiveScore, ...] = ()
    waiting: int = 0
    verdict: LiveAssessment | None = None
    rules: VerificationConfig | None = None

    @property
    def fallback(self) -> str:
        """Why the baseline is to serve in place of what does, in words; empty if it is not."""
        if self.verdict is None or self.rules is None or not self.rules.fallback:
            return ""
        return self.verdict.worse_than_baseline


class Verification:
    """Keeps a forecast an hour, and scores it beside seasonal naive and the climatology from the same origin."""

    def __init__(
        self, repository: VerificationRepository, naive: Forecaster, baseline: Forecaster, rules: VerificationConfig
    ) -> None:
        """Start with what the book knows at the first tick."""
        self._repository, self._naive, self._baseline, self._rules = repository, naive, baseline, rules
        self._kept: tuple[PendingVerification, ...] | None = None
        self._scores: tuple[LiveScore, ...] = ()

    def run(self, at: int, forecast: Forecast, panel: Panel, serving: str) -> VerificationResult:
        """Score what is due at grid time ``at``, keep ``forecast`` if it is time to, and write both.

        Args:
            at: epoch seconds.
            forecast: what is served from now on.
            panel: the history of at least its series.
            serving: the id of the model that serves, or ``base``.
        """
        oldest = at - DUE_SECONDS - self._rules.window_hours * 3600
        if self._kept is None:
            self._kept, self._scores = self._repository.kept(), self._repository.scores(oldest)
        due = [kept for kept in self._kept if _is_due(kept, panel, at)]
        new = [PendingVerification.of(forecast)] if self._time_to_keep(at) and forecast.keys else []
        found = [score for kept in due for score in self._scored(kept, panel)]
        if due or new:
            done = [kept.origin for kept in due]
            self._repository.write(new, done, found)
            self._kept = (*(kept for kept in self._kept if kept.origin not in done), *new)
            self._scores = self._pruned((*self._scores, *found), oldest)
        verdict = live_assessment(self._scores, serving, at, self._rules.judged_hours * 3600)
        return VerificationResult(self._scores, len(self._kept), verdict, self._rules)

    def _time_to_keep(self, at: int) -> bool:
        known = [kept.origin for kept in self._kept or ()]
        # a clock that was set back is no reason to wait
        return not any(at - KEEP_EVERY_SECONDS < origin <= at for origin in known)

    def _scored(self, kept: PendingVerification, panel: Panel) -> list[LiveScore]:
        if kept.origin < panel.start:
            _log.warning("forecast_unverified", origin=as_text(kept.origin), reason="its history is gone")
            return []
        naive, baseline = (each.forecast(panel, kept.origin) for each in (self._naive, self._baseline))
        scores = scored(kept, panel, naive, baseline)
        _log.info("forecast_verified", origin=as_text(kept.origin), values=total(scores).count)
        return scores

    def _pruned(self, scores: tuple[LiveScore, ...], oldest: int) -> tuple[LiveScore, ...]:
        if scores and scores[0].origin < oldest:
            self._repository.prune(oldest)
        return tuple(score for score in scores if score.origin >= oldest)


def _is_due(kept: PendingVerification, panel: Panel, at: int) -> bool:
    if at < kept.origin + DUE_SECONDS:
        return False
    last = kept.origin + HORIZON_STEPS * STEP_SECONDS
    arrived = bool(np.isfinite(panel.between(last, at).values).any())
    return arrived or at >= kept.origin + DUE_SECONDS + _PATIENCE_SECONDS
