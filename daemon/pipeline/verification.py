"""What was forecast against what then happened: kept, scored when it is time, dropped."""

from dataclasses import dataclass

import numpy as np
import structlog

from daemon.domain.forecast import Forecast
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, as_text
from daemon.domain.live_scores import KeptForecast, LiveScore, scored, total
from daemon.domain.live_verdict import DUE_SECONDS, KEEP_EVERY_SECONDS, LiveVerdict, live_verdict
from daemon.domain.ports import Forecaster, VerificationBook
from daemon.domain.series import Panel

# while a source is down its samples may still come
_PATIENCE_SECONDS = 2 * 86_400

_log = structlog.get_logger()


@dataclass(frozen=True)
class VerificationRules:
    """What the configuration says of verification.

    Attributes:
        window_seconds: the live figures are of the origins of so long.
        judged_seconds: what serves is judged by those of so long.
        fallback: whether the baseline serves where it is found to be better.
    """

    window_seconds: int
    judged_seconds: int
    fallback: bool


@dataclass(frozen=True)
class Verified:
    """What is known of the forecasts that were served.

    Attributes:
        scores: of the window, oldest first.
        waiting: forecasts whose time has not come.
        verdict: of what serves; None where it has not served for long enough.
        rules: what they were made by; None before the first tick.
    """

    scores: tuple[LiveScore, ...] = ()
    waiting: int = 0
    verdict: LiveVerdict | None = None
    rules: VerificationRules | None = None

    @property
    def fallback(self) -> str:
        """Why the baseline is to serve in place of what does, in words; empty if it is not."""
        if self.verdict is None or self.rules is None or not self.rules.fallback:
            return ""
        return self.verdict.worse_than_baseline


class Verification:
    """Keeps a forecast an hour, and scores it beside seasonal naive and the climatology from the same origin."""

    def __init__(
        self, book: VerificationBook, naive: Forecaster, baseline: Forecaster, rules: VerificationRules
    ) -> None:
        """Start with what the book knows at the first tick."""
        self._book, self._naive, self._baseline, self._rules = book, naive, baseline, rules
        self._kept: tuple[KeptForecast, ...] | None = None
        self._scores: tuple[LiveScore, ...] = ()

    def run(self, at: int, forecast: Forecast, panel: Panel, serving: str) -> Verified:
        """Score what is due at grid time ``at``, keep ``forecast`` if it is time to, and write both.

        Args:
            at: epoch seconds.
            forecast: what is served from now on.
            panel: the history of at least its series.
            serving: the id of the model that serves, or ``base``.
        """
        oldest = at - DUE_SECONDS - self._rules.window_seconds
        if self._kept is None:
            self._kept, self._scores = self._book.kept(), self._book.scores(oldest)
        due = [kept for kept in self._kept if _is_due(kept, panel, at)]
        new = [KeptForecast.of(forecast)] if self._time_to_keep(at) and forecast.keys else []
        found = [score for kept in due for score in self._scored(kept, panel)]
        if due or new:
            done = [kept.origin for kept in due]
            self._book.write(new, done, found)
            self._kept = (*(kept for kept in self._kept if kept.origin not in done), *new)
            self._scores = self._pruned((*self._scores, *found), oldest)
        verdict = live_verdict(self._scores, serving, at, self._rules.judged_seconds)
        return Verified(self._scores, len(self._kept), verdict, self._rules)

    def _time_to_keep(self, at: int) -> bool:
        known = [kept.origin for kept in self._kept or ()]
        # a clock that was set back is no reason to wait
        return not any(at - KEEP_EVERY_SECONDS < origin <= at for origin in known)

    def _scored(self, kept: KeptForecast, panel: Panel) -> list[LiveScore]:
        if kept.origin < panel.start:
            _log.warning("forecast_unverified", origin=as_text(kept.origin), reason="its history is gone")
            return []
        naive, baseline = (each.forecast(panel, kept.origin) for each in (self._naive, self._baseline))
        scores = scored(kept, panel, naive, baseline)
        _log.info("forecast_verified", origin=as_text(kept.origin), values=total(scores).count)
        return scores

    def _pruned(self, scores: tuple[LiveScore, ...], oldest: int) -> tuple[LiveScore, ...]:
        if scores and scores[0].origin < oldest:
            self._book.prune(oldest)
        return tuple(score for score in scores if score.origin >= oldest)


def _is_due(kept: KeptForecast, panel: Panel, at: int) -> bool:
    if at < kept.origin + DUE_SECONDS:
        return False
    last = kept.origin + HORIZON_STEPS * STEP_SECONDS
    arrived = bool(np.isfinite(panel.between(last, at).values).any())
    return arrived or at >= kept.origin + DUE_SECONDS + _PATIENCE_SECONDS
