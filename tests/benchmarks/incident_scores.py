"""Scores of breach prediction by window and by incident, for simulated fleets, where every incident is known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from daemon.breach.definition import ONSET_STEPS, MonitoredThreshold, onsets, past
from daemon.breach.windows import Examples
from daemon.config.alerting import AlertingConfig
from daemon.core.series import STEP_SECONDS, Panel, SeriesKey
from daemon.simulation.incident import Incident

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one incident at the threshold that it is scored at.

    Attributes:
        incident: the incident.
        threshold: the metric threshold.
        breach: onset of the first breach during the incident, in epoch seconds; None without one.
        alerted_at: time of the first alert during the incident and before the breach, in epoch seconds; None without
            one.
    """

    incident: Incident
    threshold: float
    breach: int | None
    alerted_at: int | None

    @property
    def breached(self) -> bool:
        """Whether there was a breach."""
        return self.breach is not None

    @property
    def predicted(self) -> bool:
        """Whether there was an alert before the breach, or before the end of an incident without a breach."""
        return self.alerted_at is not None

    @property
    def lead_seconds(self) -> int | None:
        """The time from the alert to the breach; None without one of the two."""
        return None if self.breach is None or self.alerted_at is None else self.breach - self.alerted_at


def causes(windows: Examples, incidents: Iterable[Incident]) -> list[Incident | None]:
    """Return the incident that was active on the server at the onset of each window's breach.

    None without a breach, and for a breach without an incident.
    """
    by_server: dict[str, list[Incident]] = {}
    for incident in incidents:
        by_server.setdefault(incident.server, []).append(incident)
    at = windows.origins + windows.onset * STEP_SECONDS
    return [
        next((one for one in by_server.get(threshold.key.server, ()) if step and one.start <= breach <= one.end), None)
        for threshold, step, breach in zip(windows.monitored, windows.onset.tolist(), at.tolist(), strict=True)
    ]


def predictable(windows: Examples, caused: Sequence[Incident | None]) -> Bools:
    """Return which windows come before a breach of an incident that has a precursor and has started."""
    return np.array(
        [
            cause is not None and cause.precursor and cause.start <= origin
            for cause, origin in zip(caused, windows.origins.tolist(), strict=True)
        ],
        dtype=bool,
    )


def during_incidents(panel: Panel, incidents: Iterable[Incident], times: Iterable[int]) -> Iterator[tuple[int, Panel]]:
    """Yield each of ``times`` (epoch seconds) with active incidents, and the series of their metrics."""
    spans = [(one.start, one.end, SeriesKey(one.server, one.metric)) for one in incidents]
    for at in times:
        some = {key for start, end, key in spans if start <= at <= end}
        rows = [row for row, key in enumerate(panel.keys) if key in some]
        if rows:
            yield at, panel.select(rows)


def alerts_firing(windows: Examples, predicted: Bools, config: AlertingConfig) -> Bools:
    """Return at which windows enough of the last ticks predicted a breach for an alert to fire.

    Args:
        windows: one per threshold and tick; those of one threshold in order of time.
        predicted: ``(windows,)`` whether the probability reaches the decision threshold.
        config: has ``raise_ticks`` and ``raise_window``.
    """
    fires = np.zeros(len(predicted), dtype=bool)
    recent: dict[MonitoredThreshold, list[int]] = {}
    for row in np.flatnonzero(predicted).tolist():
        at, times = int(windows.origins[row]), recent.setdefault(windows.monitored[row], [])
        times[:] = [*(each for each in times if at - each < config.raise_window * STEP_SECONDS), at]
        fires[row] = len(times) >= config.raise_ticks
    return fires


def outcomes(
    windows: Examples, incidents: Iterable[Incident], critical: Mapping[str, float], alerted: Bools
) -> list[Outcome]:
    """Return the outcome of each incident.

    An incident is scored on the metric of its kind, at the highest monitored threshold up to the level at which it
    causes a failure. An incident without a window at that threshold is left out.

    Args:
        windows: windows without an active breach, of all thresholds.
        incidents: incidents of the same servers.
        critical: the level at which an incident causes a failure, by kind.
        alerted: ``(windows,)`` whether an alert fires at the window.
    """
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, one in enumerate(windows.monitored):
        rows_of.setdefault((one.key.server, one.key.metric), []).append(row)
    thresholds = np.array([one.threshold for one in windows.monitored], dtype=np.float64)
    found = []
    for incident in incidents:
        rows = np.array(rows_of.get((incident.server, incident.metric), []), dtype=np.intp)
        rows = rows[(windows.origins[rows] >= incident.start) & (windows.origins[rows] <= incident.end)]
        rows = rows[thresholds[rows] <= critical[incident.kind]]
        rows = rows[thresholds[rows] == thresholds[rows].max(initial=-np.inf)]
        if not len(rows):
            continue
        at = windows.origins[rows] + windows.onset[rows] * STEP_SECONDS
        hit = (windows.onset[rows] > 0) & (at <= incident.end)
        breach = int(at[hit].min()) if hit.any() else None
        alerts = windows.origins[rows][alerted[rows] & (windows.origins[rows] < (breach or incident.end))]
        first = int(alerts.min()) if len(alerts) else None
        found.append(Outcome(incident, float(thresholds[rows[0]]), breach, first))
    return found


def without_repairs(results: Iterable[Outcome], panel: Panel, incidents: Iterable[Incident]) -> list[Outcome]:
    """Return the outcomes that the same alerts have without repairs.

    Args:
        results: outcomes of incidents whose metric rises.
        panel: the same servers without repairs.
        incidents: the same incidents without repairs.
    """
    row_of = {key: row for row, key in enumerate(panel.keys)}
    longest = {(one.server, one.kind, one.start): one.end for one in incidents}
    found = []
    for one in results:
        start, end = one.incident.start, longest.get((one.incident.server, one.incident.kind, one.incident.start), 0)
        if one.breach is None and end > one.incident.end:
            row = row_of[SeriesKey(one.incident.server, one.incident.metric)]
            known = panel.between(start - ONSET_STEPS * STEP_SECONDS, min(end, panel.end)).values[row : row + 1]
            begins = np.flatnonzero(onsets(past(known, one.threshold))[0, ONSET_STEPS:])
            found.append(replace(one, breach=start + int(begins[0]) * STEP_SECONDS if len(begins) else None))
        else:
            found.append(one)
    return found
