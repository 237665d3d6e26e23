"""Judging predictions by what then happened, and the figures of a ledger."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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

    A prediction is a hit if a breach began within the 8 h after it, late if one had begun within the 2 h up to it, and
    false if none did: that is known an hour after the 8 h, as samples may arrive late. Judging again changes nothing.

    Args:
        ledger: all lines, oldest first.
        onsets: recent onsets of breaches, in epoch seconds; the same ones may be given again.
        profiles: of the servers that have an onset.
        known_share: share of the samples that exist in the 8 h after a prediction.
        at: epoch seconds of the tick.
    """
    lines = [_judge(line, onsets.get(kind_of(line), ()), known_share, at) for line in ledger]
    foretold = {(kind_of(line), line.onset) for line in lines if line.onset is not None}
    for kind in sorted(onsets):
        for onset in sorted(set(onsets[kind])):
            if (kind, onset) not in foretold and not _awaits(lines, kind, onset):
                server, metric, severity = kind
                line = Prediction(server, metric, severity, profiles[kind], onset, 0.0, "", Outcome.MISSED, onset)
                lines.append(line)
    return tuple(sorted(lines, key=lambda line: (line.made, kind_of(line))))


def _judge(line: Prediction, onsets: Sequence[int], known_share: Callable[[Prediction], float], at: int) -> Prediction:
    if line.outcome is not None:
        return line
    ahead = [onset for onset in onsets if line.made < onset <= line.made + _HORIZON_SECONDS]
    if ahead:
        return replace(line, outcome=Outcome.HIT, onset=min(ahead))
    begun = [onset for onset in onsets if line.made - _LATE_SECONDS <= onset <= line.made]
    if begun:
        return replace(line, outcome=Outcome.LATE, onset=max(begun))
    if at < line.made + _HORIZON_SECONDS + _ARRIVAL_SECONDS:
        return line
    known = known_share(line) >= _KNOWN_SHARE
    return replace(line, outcome=Outcome.FALSE if known else Outcome.UNKNOWN)


def _awaits(lines: Iterable[Prediction], kind: Kind, onset: int) -> bool:
    """Return whether a prediction of the same kind foretold the hours in which the breach began."""
    return any(
        kind_of(line) == kind
        and line.outcome in (None, Outcome.HIT, Outcome.LATE)
        and line.made - _LATE_SECONDS <= onset <= line.made + _HORIZON_SECONDS
        for line in lines
    )


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
