"""What asks for a training beside the schedule and people."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_WEEK, Float32, Panel, floor_to_grid
from daemon.models.runs import TrainingRequest, Trigger, TriggerCheck
from daemon.pipeline.cycle import Snapshot

_DAY_SECONDS = STEPS_PER_DAY * STEP_SECONDS
_WEEK_SECONDS = STEPS_PER_WEEK * STEP_SECONDS
# on real servers a quarter of the series at most is so far from the week before, and a third of those a day later
_FAR = 0.5
_LEAST_SAMPLES = STEPS_PER_DAY // 4


def drifted_share(panel: Panel, trained_until: int, at: int) -> float | None:
    """Return the share of series whose last day is distributed unlike the last week that the model was trained on.

    Unlike is a two-sample Kolmogorov-Smirnov distance (Smirnov, 1948) above 0.5. Where that week is older than
    ``panel``, the oldest week of it stands in.

    Args:
        panel: the history.
        trained_until: epoch seconds of the newest sample that the model was trained on.
        at: epoch seconds of the newest sample there is.

    Returns:
        0 to 1; None where no series has samples of both, or the day is not past that week.
    """
    end = max(trained_until, panel.start + _WEEK_SECONDS - STEP_SECONDS)
    if at - end < _DAY_SECONDS:
        return None
    week = panel.between(end - _WEEK_SECONDS + STEP_SECONDS, end).values
    day = panel.between(at - _DAY_SECONDS + STEP_SECONDS, at).values
    distances = [_distance(*pair) for pair in zip(week, day, strict=True)]
    known = [distance for distance in distances if distance is not None]
    return sum(distance > _FAR for distance in known) / len(known) if known else None


def _distance(week: Float32, day: Float32) -> float | None:
    """Return the largest difference of two empirical distribution functions."""
    week, day = np.sort(week[np.isfinite(week)]), np.sort(day[np.isfinite(day)])
    if min(len(week), len(day)) < _LEAST_SAMPLES:
        return None
    places = np.unique(np.concatenate([week, day]))
    shares = [np.searchsorted(each, places, side="right") / len(each) for each in (week, day)]
    return float(np.abs(shares[0] - shares[1]).max())


# the distributions of thousands of series take a second
_DRIFT_EVERY_SECONDS = 6 * 3600


@dataclass(frozen=True)
class TriggerRules:
    """What the configuration says of triggers.

    Attributes:
        wanted: those that are looked for.
        new_servers_share: of the fleet; more servers that the model was not trained on are a reason.
        drift_share: of the series; more that behave otherwise are a reason.
    """

    wanted: Collection[Trigger]
    new_servers_share: float
    drift_share: float


class Triggers:
    """Looks at each tick for a reason to train."""

    def __init__(self, rules: TriggerRules) -> None:
        self._rules = rules
        self._drift: float | None = None
        self._drift_of = ""
        self._drift_at = 0

    def look(self, snapshot: Snapshot, panel: Panel) -> TriggerCheck:
        """Return the first reason to train that there is at a tick, and how far the servers have drifted."""
        self._measure_drift(snapshot, panel)
        reasons = {
            Trigger.FIRST: lambda: _first(snapshot, panel),
            Trigger.NEW_SERVERS: lambda: _new_servers(snapshot, self._rules.new_servers_share),
            Trigger.QUALITY: lambda: _quality(snapshot),
            Trigger.DRIFT: self._drifted,
        }
        for trigger, reason in reasons.items():
            if trigger in self._rules.wanted and (text := reason()):
                return TriggerCheck(TrainingRequest(trigger, text), self._drift)
        return TriggerCheck(None, self._drift)

    def _measure_drift(self, snapshot: Snapshot, panel: Panel) -> None:
        record, since = snapshot.record, snapshot.at - self._drift_at
        if record is None or record.trained_until is None:
            self._drift = None
        elif snapshot.model != self._drift_of or not 0 <= since < _DRIFT_EVERY_SECONDS:
            self._drift = drifted_share(panel, floor_to_grid(record.trained_until), snapshot.at)
            self._drift_of, self._drift_at = snapshot.model, snapshot.at

    def _drifted(self) -> str:
        if self._drift is None or self._drift <= self._rules.drift_share:
            return ""
        return f"{self._drift:.0%} of the series behave otherwise than in the week that the model was last trained on"


def _first(snapshot: Snapshot, panel: Panel) -> str:
    if snapshot.model or snapshot.model_error:
        return ""
    week_ago = snapshot.at - STEPS_PER_WEEK * STEP_SECONDS
    if not np.isfinite(panel.between(panel.start, week_ago).values).any():
        return ""
    return "there is no model yet, and a week of history"


def _new_servers(snapshot: Snapshot, most: float) -> str:
    record = snapshot.record
    if record is None or not record.servers:
        return ""
    trained_on = frozenset(record.servers)
    # of one that is colder there is too little to learn from
    settled = [server for server in snapshot.servers if server.state == "known"]
    new = [server for server in settled if server.name not in trained_on]
    if len(new) > most * len(settled):
        return f"{len(new)} of {len(settled)} servers are not among those that the model was trained on"
    seen = {server.profile for server in snapshot.servers if server.name in trained_on}
    profiles = sorted({server.profile for server in new} - seen)
    return f"the model was trained on no server of the profile {profiles[0]}" if profiles else ""


def _quality(snapshot: Snapshot) -> str:
    if snapshot.withdrawn:
        return f"what served was {snapshot.withdrawn}"
    verdict = snapshot.verification.assessment
    return "" if verdict is None else verdict.out_of_bounds
