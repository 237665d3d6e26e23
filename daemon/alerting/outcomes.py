"""The prediction log: every prediction with its outcome, and the figures of the whole log.

A prediction is a record in the log from the tick at which its alert fires. ``OutcomeTracker`` finds the breaches that
began since, and ``with_outcomes`` assigns them to the records. ``AlertRepository`` is the port of the store.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from statistics import median
from typing import Protocol

import numpy as np

from daemon.alerting.state import Alert, AlertKey, AlertName, Notification, QueuedNotification
from daemon.breach.definition import CLEAR_STEPS, ONSET_STEPS, MonitoredThreshold, Risk, Severity, onsets, past
from daemon.core.series import HORIZON_SECONDS, STEP_SECONDS, STEPS_PER_HOUR, Panel, SeriesKey

ThresholdKey = tuple[str, str, Severity]
"""Server, metric, severity."""

_LATE_SECONDS = CLEAR_STEPS * STEP_SECONDS
_ARRIVAL_SECONDS = STEPS_PER_HOUR * STEP_SECONDS
_KNOWN_SHARE = 0.5
# the span in which a prediction is late, and an hour in which late samples may arrive
_RECENT_STEPS = CLEAR_STEPS + STEPS_PER_HOUR


class Outcome(StrEnum):
    """The outcome of a prediction.

    ``hit``: the breach began within 8 h after it. ``late``: the breach had already started. ``false``: no breach began
    within 8 h. ``missed``: a breach began that was not predicted. ``unknown``: too few samples arrived.
    """

    HIT = "hit"
    LATE = "late"
    FALSE = "false"
    MISSED = "missed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A record of the prediction log; ``server``, ``metric``, ``severity`` and ``made`` are its key.

    Attributes:
        server: the server of the predicted breach.
        metric: the metric that breaches.
        severity: of the threshold, as configured.
        profile: of the server.
        made: epoch seconds at which the alert fired; of a missed breach, its onset.
        probability: as predicted; 0 of a missed breach.
        model: id of the model; empty for the base network or the baseline.
        outcome: None while it is not known.
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
        """Seconds from the prediction to its breach; None if it is no hit."""
        return self.onset - self.made if self.outcome is Outcome.HIT and self.onset is not None else None

    @property
    def threshold_key(self) -> ThresholdKey:
        """Server, metric and severity."""
        return self.server, self.metric, self.severity


def with_outcomes(
    log: Sequence[Prediction],
    onsets: Mapping[ThresholdKey, Sequence[int]],
    profiles: Mapping[ThresholdKey, str],
    known_share: Callable[[Prediction], float],
    at: int,
) -> tuple[Prediction, ...]:
    """Return the log with every outcome that is known at ``at``, and a record for each breach that was not predicted.

    A prediction is late if a breach had started within the 2 h before it, else a hit if one starts within the 8 h after
    it, else false. False is known an hour after the 8 h, because samples may arrive late. It is unknown instead if less
    than half of those samples exist. A second breach within the 8 h of a hit or a late prediction counts as predicted
    and has no record.

    A known outcome does not change, and the same onset may be passed again. The record of a missed breach is removed if
    a later record accounts for that breach. If an alert keeps firing after a false or unknown prediction, the caller
    must add a new prediction; a breach that starts then would otherwise be missed.

    Args:
        log: all records.
        onsets: in epoch seconds; all since the last tick, and those of the 2 h before it, which decide on lateness.
        profiles: of the servers that have an onset.
        known_share: share of the samples that exist in the 8 h after a prediction.
        at: epoch seconds of the tick.

    Returns:
        The records, oldest first.
    """
    records_of: dict[ThresholdKey, list[Prediction]] = {}
    for record in log:
        resolved = _with_outcome(record, onsets.get(record.threshold_key, ()), known_share, at)
        records_of.setdefault(record.threshold_key, []).append(resolved)
    for key, times in onsets.items():
        records = records_of.setdefault(key, [])
        for onset in sorted(times):
            if not any(_accounts_for(record, onset) for record in records):
                records.append(_missed(key, profiles[key], onset))
    kept = (record for records in records_of.values() for record in _without_predicted(records))
    return tuple(sorted(kept, key=lambda record: (record.made, record.threshold_key)))


def _with_outcome(
    record: Prediction, onsets: Sequence[int], known_share: Callable[[Prediction], float], at: int
) -> Prediction:
    if record.outcome is not None:
        return record
    # late comes first because it is known first: the outcome must not depend on how often the log is updated
    before = [onset for onset in onsets if record.made - _LATE_SECONDS <= onset <= record.made]
    if before:
        return replace(record, outcome=Outcome.LATE, onset=max(before))
    after = [onset for onset in onsets if record.made < onset <= record.made + HORIZON_SECONDS]
    if after:
        return replace(record, outcome=Outcome.HIT, onset=min(after))
    if at < record.made + HORIZON_SECONDS + _ARRIVAL_SECONDS:
        return record
    known = known_share(record) >= _KNOWN_SHARE
    return replace(record, outcome=Outcome.FALSE if known else Outcome.UNKNOWN)


def _missed(key: ThresholdKey, profile: str, onset: int) -> Prediction:
    server, metric, severity = key
    return Prediction(
        server=server,
        metric=metric,
        severity=severity,
        profile=profile,
        made=onset,
        probability=0.0,
        outcome=Outcome.MISSED,
        onset=onset,
    )


def _accounts_for(record: Prediction, onset: int) -> bool:
    if record.onset is None:
        return False
    predicted = record.outcome is not Outcome.MISSED and record.made < onset <= record.made + HORIZON_SECONDS
    return predicted or _same_breach(record.onset, onset)


def _same_breach(one: int, other: int) -> bool:
    """Return whether two onsets are of one breach: two breaches are 2 h apart, but a late sample may move an onset."""
    return abs(one - other) < _LATE_SECONDS


def _without_predicted(records: Sequence[Prediction]) -> Iterator[Prediction]:
    """Yield the records, without missed breaches that a later record accounts for."""
    predicted = [
        each.onset for each in records if each.outcome in {Outcome.HIT, Outcome.LATE} and each.onset is not None
    ]
    for record in records:
        if record.outcome is not Outcome.MISSED or not any(_same_breach(record.made, onset) for onset in predicted):
            yield record


@dataclass(frozen=True, kw_only=True)
class PredictionFigures:
    """The figures of a prediction log.

    Attributes:
        hits: breaches that began within 8 h after the alert.
        late: alerts that fired after the breach had started.
        false: alerts that no breach followed within 8 h.
        missed: breaches without an alert.
        unknown: alerts after which too few samples arrived.
        open: alerts whose outcome is not known yet.
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
    def scored(self) -> int:
        """Number of alerts that count for the precision."""
        return self.hits + self.late + self.false

    @property
    def precision(self) -> float | None:
        """Share of the scored alerts that were hits; None without a scored alert."""
        return self.hits / self.scored if self.scored else None

    @property
    def recall(self) -> float | None:
        """Share of the breaches that were hit; None without a breach."""
        breaches = self.hits + self.late + self.missed
        return self.hits / breaches if breaches else None

    @property
    def median_lead_seconds(self) -> float | None:
        """Median time from an alert to its breach; None without a hit."""
        return float(median(self.lead_seconds)) if self.lead_seconds else None


def prediction_figures(log: Iterable[Prediction]) -> PredictionFigures:
    """Return the figures of ``log``."""
    records = tuple(log)
    counted = {outcome: sum(record.outcome is outcome for record in records) for outcome in (*Outcome, None)}
    return PredictionFigures(
        hits=counted[Outcome.HIT],
        late=counted[Outcome.LATE],
        false=counted[Outcome.FALSE],
        missed=counted[Outcome.MISSED],
        unknown=counted[Outcome.UNKNOWN],
        open=counted[None],
        lead_seconds=tuple(record.lead_seconds for record in records if record.lead_seconds is not None),
    )


def figures_by_kind(log: Iterable[Prediction]) -> dict[tuple[str, Severity], PredictionFigures]:
    """Return the figures of ``log`` by metric and severity."""
    records: dict[tuple[str, Severity], list[Prediction]] = {}
    for record in log:
        records.setdefault((record.metric, record.severity), []).append(record)
    return {kind: prediction_figures(some) for kind, some in records.items()}


class OutcomeTracker:
    """Finds the onsets since the last tick, and in the three hours before it: samples and alerts may be late.

    After a restart it looks back over the horizon of a prediction and to the oldest open one, but never to before the
    log started.
    """

    def __init__(self) -> None:
        self._tracked_until: int | None = None
        self._log_start = 0

    def update(
        self,
        at: int,
        panel: Panel,
        monitored: Sequence[MonitoredThreshold],
        log: tuple[Prediction, ...],
        new: Sequence[Prediction],
    ) -> tuple[Prediction, ...]:
        """Return ``log`` and ``new`` with every outcome that is known at ``at``."""
        start = self._tracked_until
        if start is None:
            self._log_start = min((record.made for record in log), default=at)
            open_since = min((record.made for record in log if record.outcome is None), default=at)
            start = min(at - HORIZON_SECONDS, open_since)
        self._tracked_until = at
        start = max(self._log_start, min(start, at) - _RECENT_STEPS * STEP_SECONDS)
        found = recent_onsets(panel, monitored, start, at)
        profiles = {(each.key.server, each.key.metric, each.severity): each.profile for each in monitored}
        row_of = {key: row for row, key in enumerate(panel.keys)}

        def known_share(record: Prediction) -> float:
            row = row_of.get(SeriesKey(record.server, record.metric))
            if row is None:
                return 0.0
            after = panel.between(record.made + STEP_SECONDS, record.made + HORIZON_SECONDS).values[row]
            return float(np.isfinite(after).mean())

        return with_outcomes([*log, *new], found, profiles, known_share, at)


def recent_onsets(
    panel: Panel, monitored: Sequence[MonitoredThreshold], start: int, at: int
) -> dict[ThresholdKey, list[int]]:
    """Return the onsets of breaches of ``monitored`` in ``start <= t <= at`` (epoch seconds) that the samples show."""
    first = start - ONSET_STEPS * STEP_SECONDS
    values = panel.between(first, at).values
    row_of = {key: row for row, key in enumerate(panel.keys)}
    found: dict[ThresholdKey, list[int]] = {}
    by_direction = sorted(monitored, key=lambda each: each.direction)
    for direction, group in groupby(by_direction, key=lambda each: each.direction):
        some = list(group)
        limits = np.array([[each.threshold] for each in some], dtype=np.float32)
        begins = onsets(past(values[[row_of[each.key] for each in some]], limits, direction))
        for row, column in np.argwhere(begins[:, ONSET_STEPS:]).tolist():
            threshold = some[row]
            key = (threshold.key.server, threshold.key.metric, threshold.severity)
            found.setdefault(key, []).append(start + column * STEP_SECONDS)
    return found


def new_predictions(
    fired: Sequence[Risk], alerts: Mapping[AlertKey, Alert], log: Sequence[Prediction], at: int, model: str
) -> list[Prediction]:
    """Return the new records of a tick.

    There is one for each risk whose alert fired, and one for each alert that keeps firing after a false or unknown
    prediction. The latter starts where that prediction ended: an alert that fires for days predicts a breach every 8 h,
    and is false as often.
    """
    records = [
        Prediction(
            server=risk.monitored.key.server,
            metric=risk.monitored.key.metric,
            severity=risk.monitored.severity,
            profile=risk.monitored.profile,
            made=at,
            probability=risk.probability or 0.0,
            model=model,
        )
        for risk in fired
    ]
    newest = {record.threshold_key: record for record in log if record.outcome is not Outcome.MISSED}
    for key, alert in alerts.items():
        if key.name is not AlertName.PREDICTED_BREACH or not alert.is_firing:
            continue
        last = newest.get((key.server, key.metric, key.severity))
        if last is None or last.outcome not in (Outcome.FALSE, Outcome.UNKNOWN) or alert.status.since > last.made:
            continue
        probability = last.probability if alert.probability is None else alert.probability
        renewed = replace(last, made=last.made + HORIZON_SECONDS, probability=probability, model=model)
        records.append(replace(renewed, outcome=None, onset=None))
    return records


class AlertRepository(Protocol):
    """The stored alerts, prediction log and queues; they survive restarts, and other processes can read them."""

    def alerts(self) -> dict[AlertKey, Alert]:
        """Return every alert that was written and not removed."""
        ...

    def predictions(self, since: int) -> tuple[Prediction, ...]:
        """Return the predictions without an outcome and those made at or after ``since``, oldest first."""
        ...

    def queued(self, target: str, limit: int) -> tuple[QueuedNotification, ...]:
        """Return the oldest notifications queued for ``target``, at most ``limit``."""
        ...

    def queue_length(self, target: str) -> int:
        """Return how many notifications are queued for ``target``."""
        ...

    def write(
        self,
        changed: Mapping[AlertKey, Alert | None],
        records: Sequence[Prediction],
        queue: Mapping[str, Sequence[Notification]],
    ) -> None:
        """Write the changes of a tick in one transaction.

        Args:
            changed: each changed alert; None removes it.
            records: new or changed records of the prediction log.
            queue: notifications to queue, by target.

        Raises:
            StoreUnavailable: nothing was written.
        """
        ...

    def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Delete the notifications ``numbers`` from the queue of ``target``."""
        ...

    def shorten(self, target: str, most: int) -> int:
        """Delete the oldest notifications of ``target`` until ``most`` are left; return how many were deleted."""
        ...

    def prune(self, before: int) -> int:
        """Delete the predictions made before ``before`` (epoch seconds) with an outcome; return how many."""
        ...
