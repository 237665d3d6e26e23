"""The ledger of predictions: what was foretold, and what came of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from statistics import median
from typing import Protocol

import numpy as np

from daemon.alerting.state import Alert, AlertKey, AlertName, Notification, Phase, Queued
from daemon.breach.definition import CLEAR_STEPS, ONSET_STEPS, MonitoredThreshold, Risk, Severity, onsets, past
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, Panel, SeriesKey


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


@dataclass(frozen=True, kw_only=True)
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


Kind = tuple[str, str, Severity]
"""Server, metric, severity."""

_HORIZON_SECONDS = HORIZON_STEPS * STEP_SECONDS
_LATE_SECONDS = CLEAR_STEPS * STEP_SECONDS
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


@dataclass(frozen=True, kw_only=True)
class PredictionFigures:
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


def prediction_figures(ledger: Iterable[Prediction]) -> PredictionFigures:
    """Return how the predictions of ``ledger`` fared."""
    lines = tuple(ledger)
    counted = {outcome: sum(line.outcome is outcome for line in lines) for outcome in (*Outcome, None)}
    return PredictionFigures(
        hits=counted[Outcome.HIT],
        late=counted[Outcome.LATE],
        false=counted[Outcome.FALSE],
        missed=counted[Outcome.MISSED],
        unknown=counted[Outcome.UNKNOWN],
        open=counted[None],
        lead_seconds=tuple(line.lead_seconds for line in lines if line.lead_seconds is not None),
    )


def figures_by_kind(ledger: Iterable[Prediction]) -> dict[tuple[str, Severity], PredictionFigures]:
    """Return the same by metric and severity."""
    lines: dict[tuple[str, Severity], list[Prediction]] = {}
    for line in ledger:
        lines.setdefault((line.metric, line.severity), []).append(line)
    return {kind: prediction_figures(some) for kind, some in lines.items()}


class AlertRepository(Protocol):
    """What is known of alerts, kept over restarts and shared with other processes: alerts, ledger, and queues."""

    def alerts(self) -> dict[AlertKey, Alert]:
        """Return every alert that was written and not removed."""
        ...

    def predictions(self, since: int) -> tuple[Prediction, ...]:
        """Return the predictions that are not judged yet and those made at or after ``since``, oldest first."""
        ...

    def queued(self, target: str, limit: int) -> tuple[Queued, ...]:
        """Return the oldest notifications, at most ``limit``, that wait for ``target``."""
        ...

    def write(
        self,
        changed: Mapping[AlertKey, Alert | None],
        lines: Sequence[Prediction],
        queue: Mapping[str, Sequence[Notification]],
    ) -> None:
        """Write a tick's changes in one transaction.

        Args:
            changed: what each changed alert is now; None removes it.
            lines: new or changed lines of the ledger.
            queue: notifications to be queued, by target.

        Raises:
            StoreUnavailable: nothing was written.
        """
        ...

    def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Delete the notifications ``numbers`` of the queue of ``target``."""
        ...

    def shorten(self, target: str, most: int) -> int:
        """Delete the oldest notifications that wait for ``target`` but ``most``; return how many went."""
        ...

    def prune(self, before: int) -> int:
        """Delete the judged predictions made before ``before`` (epoch seconds); return how many went."""
        ...


# as far back as lateness reaches, and an hour for late samples
_RECENT_STEPS = CLEAR_STEPS + STEPS_PER_HOUR


class Judge:
    """Looks for onsets since the last tick, and three hours more, as samples may arrive late and so may alerts.

    After a restart it looks back for as long as a prediction reaches, and to the oldest that is open; never to before
    the ledger began.
    """

    def __init__(self) -> None:
        self._looked_until: int | None = None
        self._began = 0

    def judged(
        self,
        at: int,
        panel: Panel,
        monitored: Sequence[MonitoredThreshold],
        ledger: tuple[Prediction, ...],
        entered: Sequence[Prediction],
    ) -> tuple[Prediction, ...]:
        """Return the ledger with ``entered`` and what is known at ``at`` of every line."""
        start = self._looked_until
        if start is None:
            self._began = min((line.made for line in ledger), default=at)
            open_since = min((line.made for line in ledger if line.outcome is None), default=at)
            start = min(at - _HORIZON_SECONDS, open_since)
        self._looked_until = at
        start = max(self._began, min(start, at) - _RECENT_STEPS * STEP_SECONDS)
        found = recent_onsets(panel, monitored, start, at)
        profiles = {(watch.key.server, watch.key.metric, watch.severity): watch.profile for watch in monitored}
        row_of = {key: row for row, key in enumerate(panel.keys)}

        def known_share(line: Prediction) -> float:
            row = row_of.get(SeriesKey(line.server, line.metric))
            if row is None:
                return 0.0
            after = panel.between(line.made + STEP_SECONDS, line.made + _HORIZON_SECONDS).values[row]
            return float(np.isfinite(after).mean())

        return judged([*ledger, *entered], found, profiles, known_share, at)


def recent_onsets(panel: Panel, monitored: Sequence[MonitoredThreshold], start: int, at: int) -> dict[Kind, list[int]]:
    """Return when breaches of the thresholds began in ``start <= t <= at`` (epoch seconds), as far as it is known."""
    first = start - ONSET_STEPS * STEP_SECONDS
    values = panel.between(first, at).values
    row_of = {key: row for row, key in enumerate(panel.keys)}
    found: dict[Kind, list[int]] = {}
    for direction, group in groupby(
        sorted(monitored, key=lambda each: each.direction), key=lambda each: each.direction
    ):
        some = list(group)
        limits = np.array([[watch.threshold] for watch in some], dtype=np.float32)
        begins = onsets(past(values[[row_of[watch.key] for watch in some]], limits, direction))
        for row, column in np.argwhere(begins[:, ONSET_STEPS:]).tolist():
            watch = some[row]
            kind = (watch.key.server, watch.key.metric, watch.severity)
            found.setdefault(kind, []).append(start + column * STEP_SECONDS)
    return found


def entered(
    fired: Sequence[Risk], alerts: Mapping[AlertKey, Alert], ledger: Sequence[Prediction], at: int, model: str
) -> list[Prediction]:
    """Return the new lines: of the risks whose alert fired now, and of alerts that fire on after a false prediction.

    The latter renew it from where it ended: an alert that fires for days foretells something every 8 h, and is wrong
    as often.
    """
    lines = [
        Prediction(
            server=risk.watch.key.server,
            metric=risk.watch.key.metric,
            severity=risk.watch.severity,
            profile=risk.watch.profile,
            made=at,
            probability=risk.probability or 0.0,
            model=model,
        )
        for risk in fired
    ]
    newest: dict[Kind, Prediction] = {}
    for line in ledger:
        if line.outcome is not Outcome.MISSED:
            newest[kind_of(line)] = line
    for alert_key, alert in alerts.items():
        if alert_key.name is not AlertName.PREDICTED_BREACH or alert.state.phase is not Phase.FIRING:
            continue
        last = newest.get((alert_key.server, alert_key.metric, Severity(alert_key.severity)))
        if last is not None and last.outcome in (Outcome.FALSE, Outcome.UNKNOWN) and alert.state.since <= last.made:
            probability = float(alert.annotations.get("probability", last.probability))
            server, metric, severity = kind_of(last)
            made = last.made + _HORIZON_SECONDS
            lines.append(
                Prediction(
                    server=server,
                    metric=metric,
                    severity=severity,
                    profile=last.profile,
                    made=made,
                    probability=probability,
                    model=model,
                )
            )
    return lines
