"""Triggers: they start a training, besides the schedule and people."""

import numpy as np

from daemon.config.training import TrainingConfig
from daemon.core.series import (
    DAY_SECONDS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_WEEK,
    WEEK_SECONDS,
    DataState,
    Float32,
    Panel,
    floor_to_grid,
)
from daemon.models.runs import TrainingRequest, Trigger, TriggerCheck
from daemon.pipeline.cycle import Snapshot

# on real servers at most a quarter of the series is that far from the week before, and a third of those a day later
_FAR = 0.5
_LEAST_SAMPLES = STEPS_PER_DAY // 4
# thousands of series take seconds
_DRIFT_EVERY_SECONDS = 6 * 3600


def drifted_share(panel: Panel, trained_until: int, at: int) -> float | None:
    """Return the share of series whose last day has another distribution than the last week of the training.

    The two-sample Kolmogorov-Smirnov distance (Smirnov, 1948) is then above 0.5. Where that week is older than
    ``panel``, it is replaced by the oldest week of the panel.

    Args:
        panel: the history.
        trained_until: epoch seconds of the newest sample that the model was trained on.
        at: epoch seconds of the newest sample.

    Returns:
        0 to 1; None where no series has samples of both, or the day overlaps that week.
    """
    end = max(trained_until, panel.start + WEEK_SECONDS - STEP_SECONDS)
    if at - end < DAY_SECONDS:
        return None
    week = panel.between(end - WEEK_SECONDS + STEP_SECONDS, end).values
    day = panel.between(at - DAY_SECONDS + STEP_SECONDS, at).values
    distances = [_distance(*pair) for pair in zip(week, day, strict=True)]
    known = [distance for distance in distances if distance is not None]
    return sum(distance > _FAR for distance in known) / len(known) if known else None


def _distance(week: Float32, day: Float32) -> float | None:
    """Return the Kolmogorov-Smirnov distance; None where one of them has too few samples."""
    from scipy.stats import ks_2samp  # noqa: PLC0415 - its import takes a second, and a start needs no drift

    week, day = week[np.isfinite(week)], day[np.isfinite(day)]
    if min(len(week), len(day)) < _LEAST_SAMPLES:
        return None
    # of the two methods this one spends less time on the p-value, which is not used
    return float(ks_2samp(week, day, method="asymp").statistic)


class Triggers:
    """Checks the configured triggers at each tick."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._drift: float | None = None
        self._drift_of = ""
        self._drift_at = 0

    def check(self, snapshot: Snapshot, panel: Panel) -> TriggerCheck:
        """Return the request of the first trigger that fires, and how far the servers have drifted."""
        self._measure_drift(snapshot, panel)
        reasons = {
            Trigger.FIRST: lambda: _first(snapshot, panel),
            Trigger.NEW_SERVERS: lambda: _new_servers(snapshot, self._config.new_servers_share),
            Trigger.QUALITY: lambda: _quality(snapshot),
            Trigger.DRIFT: self._drifted,
        }
        for trigger, reason in reasons.items():
            if trigger.value in self._config.triggers and (text := reason()):
                return TriggerCheck(TrainingRequest(trigger, text), self._drift)
        return TriggerCheck(None, self._drift)

    def _measure_drift(self, snapshot: Snapshot, panel: Panel) -> None:
        record, since = snapshot.record, snapshot.at - self._drift_at
        if record is None:
            self._drift = None
        elif snapshot.model != self._drift_of or not 0 <= since < _DRIFT_EVERY_SECONDS:
            self._drift = drifted_share(panel, floor_to_grid(record.info.trained_until), snapshot.at)
            self._drift_of, self._drift_at = snapshot.model, snapshot.at

    def _drifted(self) -> str | None:
        if self._drift is None or self._drift <= self._config.drift_share:
            return None
        return f"{self._drift:.0%} of the series have another distribution than in the last week of the training"


def _first(snapshot: Snapshot, panel: Panel) -> str | None:
    if snapshot.model or snapshot.model_error:
        return None
    week_ago = snapshot.at - STEPS_PER_WEEK * STEP_SECONDS
    if not np.isfinite(panel.between(panel.start, week_ago).values).any():
        return None
    return "there is no model yet, and a week of history"


def _new_servers(snapshot: Snapshot, most_share: float) -> str | None:
    record = snapshot.record
    if record is None or not record.info.servers:
        return None
    trained_on = frozenset(record.info.servers)
    # a cold server has too little history to learn from
    settled = [server for server in snapshot.servers if server.state is DataState.KNOWN]
    new = [server for server in settled if server.name not in trained_on]
    if len(new) > most_share * len(settled):
        return f"the model was not trained on {len(new)} of {len(settled)} servers"
    seen = {server.profile for server in snapshot.servers if server.name in trained_on}
    profiles = sorted({server.profile for server in new} - seen)
    return f"the model was trained on no server of the profile {profiles[0]}" if profiles else None


def _quality(snapshot: Snapshot) -> str | None:
    if snapshot.demotion is not None:
        return f"the serving model was demoted at {snapshot.demotion.at}: {snapshot.demotion.why}"
    assessment = snapshot.verification.assessment
    return None if assessment is None else assessment.retraining_reason
