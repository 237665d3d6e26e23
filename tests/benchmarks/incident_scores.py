"""How well breaches are foretold, by window and by incident, where the truth of every incident is known."""

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
    """What became of one incident at the threshold that it is judged on, and whether it was foretold.

    Attributes:
        incident: the incident.
        threshold: that it is judged at.
        breach: when a breach of it began while the incident was under way, in epoch seconds; None if none did.
        told_at: when the first alert came while it was under way and nothing was breached; None without one.
    """

    incident: Incident
    threshold: float
    breach: int | None
    told_at: int | None

    @property
    def breached(self) -> bool:
        """Whether it came to a breach."""
        return self.breach is not None

    @property
    def told(self) -> bool:
        """Whether there was an alert in time."""
        return self.told_at is not None

    @property
    def lead_seconds(self) -> int | None:
        """How long before the breach it was told of; None without one of the two."""
        return None if self.breach is None or self.told_at is None else self.breach - self.told_at


def causes(windows: Examples, incidents: Iterable[Incident]) -> list[Incident | None]:
    """Return of each window the incident on its server in whose time the breach began; None for no breach or none."""
    by_server: dict[str, list[Incident]] = {}
    for incident in incidents:
        by_server.setdefault(incident.server, []).append(incident)
    at = windows.origins + windows.onset * STEP_SECONDS
    return [
        next((one for one in by_server.get(watch.key.server, ()) if step and one.start <= breach <= one.end), None)
        for watch, step, breach in zip(windows.monitored, windows.onset.tolist(), at.tolist(), strict=True)
    ]


def foreseeable(windows: Examples, caused: Sequence[Incident | None]) -> Bools:
    """Return which windows come before a breach of an incident that has a precursor and is under way."""
    return np.array(
        [
            cause is not None and cause.precursor and cause.start <= origin
            for cause, origin in zip(caused, windows.origins.tolist(), strict=True)
        ],
        dtype=bool,
    )


def under_way(panel: Panel, incidents: Iterable[Incident], times: Iterable[int]) -> Iterator[tuple[int, Panel]]:
    """Yield those of ``times`` (epoch seconds) at which incidents are under way, with the series they are judged on."""
    spans = [(one.start, one.end, SeriesKey(one.server, one.metric)) for one in incidents]
    for at in times:
        some = {key for start, end, key in spans if start <= at <= end}
        rows = [row for row, key in enumerate(panel.keys) if key in some]
        if rows:
            yield at, panel.select(rows)


def raised(windows: Examples, predicted: Bools, config: AlertingConfig) -> Bools:
    """Return at which windows enough of the last ticks have foretold a breach for an alert to be raised.

    Args:
        windows: of thresholds at ticks, those of a threshold in the order of time.
        predicted: ``(windows,)`` whether the probability is that of an alert.
        config: how many predicted ticks, of how many, make it fire.
    """
    fires = np.zeros(len(predicted), dtype=bool)
    recent: dict[MonitoredThreshold, list[int]] = {}
    for row in np.flatnonzero(predicted).tolist():
        at, votes = int(windows.origins[row]), recent.setdefault(windows.monitored[row], [])
        votes[:] = [*(each for each in votes if at - each < config.raise_window * STEP_SECONDS), at]
        fires[row] = len(votes) >= config.raise_ticks
    return fires


def outcomes(
    windows: Examples, incidents: Iterable[Incident], critical: Mapping[str, float], alerted: Bools
) -> list[Outcome]:
    """Return what became of each incident, and whether an alert told of it in time.

    An incident is judged on the metric of its kind, at the highest threshold that is watched up to the level at which
    the incident breaks something. One that was under way at no quiet window of that threshold is left out.

    Args:
        windows: quiet windows of all thresholds.
        incidents: of the same servers.
        critical: by kind, that level.
        alerted: ``(windows,)`` whether there is an alert at the window.
    """
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, watch in enumerate(windows.monitored):
        rows_of.setdefault((watch.key.server, watch.key.metric), []).append(row)
    thresholds = np.array([watch.threshold for watch in windows.monitored], dtype=np.float64)
    found = []
    for one in incidents:
        rows = np.array(rows_of.get((one.server, one.metric), []), dtype=np.intp)
        rows = rows[(windows.origins[rows] >= one.start) & (windows.origins[rows] <= one.end)]
        rows = rows[thresholds[rows] <= critical[one.kind]]
        rows = rows[thresholds[rows] == thresholds[rows].max(initial=-np.inf)]
        if not len(rows):
            continue
        at = windows.origins[rows] + windows.onset[rows] * STEP_SECONDS
        hit = (windows.onset[rows] > 0) & (at <= one.end)
        breach = int(at[hit].min()) if hit.any() else None
        told = windows.origins[rows][alerted[rows] & (windows.origins[rows] < (breach or one.end))]
        found.append(Outcome(one, float(thresholds[rows[0]]), breach, int(told.min()) if len(told) else None))
    return found


def left_alone(results: Iterable[Outcome], panel: Panel, incidents: Iterable[Incident]) -> list[Outcome]:
    """Return the outcomes as they would be had nobody repaired anything; what was told of stays as it was.

    Args:
        results: outcomes of incidents that go up.
        panel: what the same servers would have done.
        incidents: what the same incidents would have been.
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
