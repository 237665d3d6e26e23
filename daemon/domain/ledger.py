"""The ledger of predictions: what was foretold, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum

from daemon.domain.risk import Severity


class Outcome(StrEnum):
    """What became of a prediction.

    ``hit``: the breach began within 8 h of it; ``late``: it came when the breach had begun; ``false``: no breach began
    within 8 h; ``missed``: a breach began that was not foretold; ``unknown``: too little data came to tell.
    """

    HIT = "hit"
    LATE = "late"
    FALSE = "false"
    MISSED = "missed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Prediction:
    """A line of the ledger; ``server``, ``metric``, ``severity`` and ``made`` tell it from every other.

    Attributes:
        server: whose breach it is.
        metric: of what.
        severity: of which threshold, as configured.
        profile: of the server.
        made: epoch seconds at which the alert fired; of a missed breach, its onset.
        probability: that was claimed; 0 of a missed breach.
        model: id of the model; empty for the base network or the baseline.
        outcome: None until it can be judged.
        onset: epoch seconds of the first step past the threshold; None if there was none.
    """

    server: str
    metric: str
    severity: Severity
    profile: str
    made: int
    probability: float
    model: str = ""
    outcome: Outcome | None = None
    onset: int | None = None

    @property
    def lead_seconds(self) -> int | None:
        """Seconds from the prediction to the breach that it foretold; None if it is no hit."""
        return self.onset - self.made if self.outcome is Outcome.HIT and self.onset is not None else None
