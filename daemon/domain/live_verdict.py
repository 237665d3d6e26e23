"""Whether what serves is worth it, by what its forecasts came to."""

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.domain.gate import SOUND_COVERAGE
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS
from daemon.domain.live_scores import LiveScore, Tally, total

KEEP_EVERY_SECONDS = 3_600
# late samples are waited for
DUE_SECONDS = HORIZON_STEPS * STEP_SECONDS + 1_800
_LEAST_SHARE = 0.75


@dataclass(frozen=True)
class LiveVerdict:
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


def live_verdict(scores: Iterable[LiveScore], forecaster: str, at: int, seconds: int) -> LiveVerdict | None:
    """Return what ``forecaster`` came to in the last ``seconds`` for which it can be known at ``at``.

    None where it has not served for most of them.
    """
    since = at - DUE_SECONDS - seconds
    own = [score for score in scores if score.forecaster == forecaster and score.origin > since]
    if len({score.origin for score in own}) < _LEAST_SHARE * seconds / KEEP_EVERY_SECONDS:
        return None
    return LiveVerdict(forecaster, seconds, total(own))
