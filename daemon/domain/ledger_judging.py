"""Judging predictions by what then happened, and the figures of a ledger."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from daemon.domain.breach import QUIET_STEPS
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR
from daemon.domain.ledger import Outcome, Prediction
from daemon.domain.risk import Severity

Kind = tuple[str, str, Severity]
"""Server, metric, severity."""

_HORIZON_SECONDS = HORIZON_STEPS * STEP_SECONDS
_LATE_SECONDS = QUIET_STEPS * STEP_SECONDS
_ARRIVAL_SECONDS = STEPS_PER_HOUR * STEP_SECONDS
_KNOWN_SHARE = 0.5


def kind_of(prediction: Prediction) -> Kind:
    """Return whose prediction it is."""
    return prediction.server, prediction.metric, prediction.severity


def judged(
    ledger: Sequence[Prediction],
    onsets: Mapping[Kind, Sequence[int]],
    profiles: Mapping[Kind, str],
    known_share: Callable[[Prediction], float],
    at: int,
) -> tuple[Prediction, ...]:
    """Return the ledger with every line judged that can be, and a line for each breach that was not foretold.

    A prediction is late if a breach had begun within the 2 h up to it, else a hit if one begins within the 8 h after
    it, else false: that is known an hour after the 8 h, as samples may arrive late. It is unknown instead if less than
    half of those samples exist. A later breach within the 8 h of a hit or a late one was foretold too: it has no line.

    What is judged stays as it is, and a breach may be given again without harm. A missed breach loses its line if a
    prediction is judged by it after all. Of an alert that fires on after a false or unknown prediction the caller
    enters a new one, or else a breach that comes then would count as missed.

    Args:
        ledger: all lines.
        onsets: in epoch seconds; all since the last tick, and those of the 2 h before it, which decide on lateness.
        profiles: of the servers that have an onset.
        known_share: share of the samples that exist in the 8 h after a prediction.
        at: epoch seconds of the tick.

    Returns:
        The lines, oldest first.
    """
    lines_of: dict[Kind, list[Prediction]] = {}
    for line in ledger:
        kind = kind_of(line)
        lines_of.setdefault(kind, []).append(_judge(line, onsets.get(kind, ()), known_share, at))
    for kind, times in onsets.items():
        lines = lines_of.setdefault(kind, [])
        for onset in sorted(times):
            if not any(_accounts_for(line, onset) for line in lines):
                lines.append(_missed(kind, profiles[kind], onset))
    kept = (line for lines in lines_of.values() for line in _without_foretold(lines))
    return tuple(sorted(kept, key=lambda line: (line.made, kind_of(line))))


def _judge(line: Prediction, onsets: Sequence[int], known_share: Callable[[Prediction], float], at: int) -> Prediction:
    if line.outcome is not None:
        return line
    # late comes first because it is known first: the outcome must not depend on how often a ledger is judged
    begun = [onset for onset in onsets if line.made - _LATE_SECONDS <= onset <= line.made]
    if begun:
        return replace(line, outcome=Outcome.LATE, onset=max(begun))
    ahead = [onset for onset in onsets if line.made < onset <= line.made + _HORIZON_SECONDS]
    if ahead:
        return replace(line, outcome=Outcome.HIT, onset=min(ahead))
    if at < line.made + _HORIZON_SECONDS + _ARRIVAL_SECONDS:
        return line
    known = known_share(line) >= _KNOWN_SHARE
    return replace(line, outcome=Outcome.FALSE if known else Outcome.UNKNOWN)


def _missed(kind: Kind, profile: str, onset: int) -> Prediction:
    server, metric, severity = kind
    return Prediction(server, metric, severity, profile, onset, 0.0, outcome=Outcome.MISSED, onset=onset)


def _accounts_for(line: Prediction, onset: int) -> bool:
    if line.onset is None:
        return False
    foretold = line.outcome is not Outcome.MISSED and line.made < onset <= line.made + _HORIZON_SECONDS
    return foretold or _same_breach(line.onset, onset)


def _same_breach(one: int, other: int) -> bool:
    """Return whether two onsets are one: breaches begin after 2 h of quiet, but a late sample may move an onset."""
    return abs(one - other) < _LATE_SECONDS


def _without_foretold(lines: Sequence[Prediction]) -> Iterator[Prediction]:
    """Yield the lines but those of missed breaches that a prediction entered later was judged by."""
    judged_by = [line.onset for line in lines if line.outcome in {Outcome.HIT, Outcome.LATE} and line.onset is not None]
    for line in lines:
        if line.outcome is not Outcome.MISSED or not any(_same_breach(line.made, onset) for onset in judged_by):
            yield line


@dataclass(frozen=True)
class LedgerFigures:
    """How the predictions of a ledger fared.

    Attributes:
        hits: breaches that began within 8 h of the alert.
        late: alerts that came when the breach had begun.
        false: alerts that no breach followed within 8 h.
        missed: breaches without an alert.
        unknown: alerts after which too little data came to tell.
        open: alerts that cannot be judged yet.
        lead_seconds: of each hit.
    """

    hits: int
    late: int
    false: int
    missed: int
    unknown: int
    open: int
    lead_seconds: tuple[int, ...]

    @property
    def precision(self) -> float | None:
        """Share of the judged alerts that were hits; None where none was judged."""
        judged_alerts = self.hits + self.late + self.false
        return self.hits / judged_alerts if judged_alerts else None

    @property
    def recall(self) -> float | None:
        """Share of the breaches that were hit; None where there was none."""
        breaches = self.hits + self.late + self.missed
        return self.hits / breaches if breaches else None

    @property
    def median_lead_seconds(self) -> float | None:
        """Median time from an alert to its breach; None without a hit."""
        return float(median(self.lead_seconds)) if self.lead_seconds else None


def ledger_figures(ledger: Iterable[Prediction]) -> LedgerFigures:
    """Return how the predictions of ``ledger`` fared."""
    lines = tuple(ledger)
    counted = {outcome: sum(line.outcome is outcome for line in lines) for outcome in (*Outcome, None)}
    return LedgerFigures(
        counted[Outcome.HIT],
        counted[Outcome.LATE],
        counted[Outcome.FALSE],
        counted[Outcome.MISSED],
        counted[Outcome.UNKNOWN],
        counted[None],
        tuple(line.lead_seconds for line in lines if line.lead_seconds is not None),
    )


def figures_by_kind(ledger: Iterable[Prediction]) -> dict[tuple[str, Severity], LedgerFigures]:
    """Return the same by metric and severity."""
    lines: dict[tuple[str, Severity], list[Prediction]] = {}
    for line in ledger:
        lines.setdefault((line.metric, line.severity), []).append(line)
    return {kind: ledger_figures(some) for kind, some in lines.items()}
