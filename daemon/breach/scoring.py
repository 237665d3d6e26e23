"""Scores of breach probabilities and of the alarms raised on them; pure functions of arrays."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.core.series import HORIZON_SECONDS, WEEK_SECONDS, Bool, Float64, Int64
from daemon.core.training_info import ReliabilityBin

BIN_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
_EPISODE_GAP_SECONDS = 2 * 3600
_THRESHOLDS_TRIED = 60
_RESAMPLES = 200


def brier(probability: Float64, happened: Bool) -> float:
    """Return the mean squared error of ``probability`` ``(windows,)`` (Brier, 1950); NaN without a window."""
    return float(((probability - happened) ** 2).mean()) if len(happened) else float("nan")


def reliability_bins(probability: Float64, happened: Bool) -> tuple[ReliabilityBin, ...]:
    """Return the mean predicted probability and the observed frequency of each non-empty bin of BIN_EDGES."""
    index = np.clip(np.searchsorted(BIN_EDGES, probability, side="right") - 1, 0, len(BIN_EDGES) - 2)
    found = []
    for number in range(len(BIN_EDGES) - 1):
        inside = index == number
        if inside.any():
            found.append(
                ReliabilityBin(
                    from_=BIN_EDGES[number],
                    to=BIN_EDGES[number + 1],
                    windows=int(inside.sum()),
                    claimed=float(probability[inside].mean()),
                    happened=float(happened[inside].mean()),
                )
            )
    return tuple(found)


def average_precision(score: Float64, happened: Bool) -> float:
    """Return the area under the precision-recall curve, as a step function; NaN without a breach."""
    if not happened.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], happened[order].cumsum()
    ends = np.append(ordered[1:] < ordered[:-1], True)
    precision, recall = (hits / np.arange(1, len(hits) + 1))[ends], (hits / hits[-1])[ends]
    return float((np.diff(recall, prepend=0) * precision).sum())


@dataclass(frozen=True, kw_only=True)
class DecisionFigures:
    """Figures of a binary decision per window; a ratio with denominator 0 is NaN."""

    windows: int
    breaches: int
    balanced_accuracy: float
    precision: float
    recall: float


def decisions(alarmed: Bool, happened: Bool) -> DecisionFigures:
    """Return the figures of raising an alarm on the windows ``alarmed``, ``(windows,)``, one by one."""
    hits, false = int((alarmed & happened).sum()), int((alarmed & ~happened).sum())
    missed, correct = int((~alarmed & happened).sum()), int((~alarmed & ~happened).sum())
    recall, specificity = _ratio(hits, hits + missed), _ratio(correct, correct + false)
    return DecisionFigures(
        windows=len(happened),
        breaches=hits + missed,
        balanced_accuracy=(recall + specificity) / 2,
        precision=_ratio(hits, hits + false),
        recall=recall,
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


@dataclass(frozen=True)
class AlarmWindows:
    """Windows without an active breach, in any order.

    Attributes:
        series: ``(windows,)``, number of the threshold.
        server: ``(windows,)``, number of the server.
        origin: ``(windows,)``, epoch seconds.
        onset: ``(windows,)``, epoch seconds of the onset within 8 h; 0 is no breach.
    """

    series: Int64
    server: Int64
    origin: Int64
    onset: Int64

    @property
    def happened(self) -> Bool:
        """Whether a breach followed, ``(windows,)``."""
        return np.asarray(self.onset > 0)

    @property
    def server_weeks(self) -> float:
        """Weeks of all servers together."""
        if not len(self.origin):
            return 0.0
        return len(np.unique(self.server)) * float(np.ptp(self.origin) + HORIZON_SECONDS) / WEEK_SECONDS

    def select(self, rows: npt.NDArray[np.intp]) -> "AlarmWindows":
        """Return some of the windows."""
        return AlarmWindows(self.series[rows], self.server[rows], self.origin[rows], self.onset[rows])


@dataclass(frozen=True, kw_only=True)
class AlarmFigures:
    """Figures of raising an alarm on some of the windows.

    Attributes:
        precision: share of the alarmed windows that a breach followed; NaN without an alarm.
        recall: share of the windows followed by a breach that were alarmed; NaN without a breach.
        incidents: number of breaches with a window in the 8 h before.
        caught: number of incidents with an alarm in the 8 h before.
        false_alarms: runs of alarmed windows, at most 2 h apart, without a breach after any of them.
        false_per_server_week: false alarms per server and week.
        median_lead_seconds: time from the first alarm in the 8 h before to the onset; NaN if none was caught.
    """

    precision: float
    recall: float
    incidents: int
    caught: int
    false_alarms: int
    false_per_server_week: float
    median_lead_seconds: float

    @property
    def incident_recall(self) -> float:
        """Share of the incidents that were caught; NaN without an incident."""
        return self.caught / self.incidents if self.incidents else float("nan")


def alarm_figures(windows: AlarmWindows, alarmed: Bool) -> AlarmFigures:
    """Return the figures of alarms on the windows ``alarmed``, ``(windows,)``."""
    happened = windows.happened
    incidents = {(one, onset) for one, onset in zip(windows.series[happened], windows.onset[happened], strict=True)}
    leads: dict[tuple[int, int], int] = {}
    hits = np.flatnonzero(alarmed & happened)
    for series, onset, origin in zip(windows.series[hits], windows.onset[hits], windows.origin[hits], strict=True):
        lead = int(onset - origin)
        leads[series, onset] = max(lead, leads.get((series, onset), 0))
    false = _false_episodes(windows, alarmed)
    weeks = windows.server_weeks
    return AlarmFigures(
        precision=float(happened[alarmed].mean()) if alarmed.any() else float("nan"),
        recall=float(alarmed[happened].mean()) if happened.any() else float("nan"),
        incidents=len(incidents),
        caught=len(leads),
        false_alarms=false,
        false_per_server_week=false / weeks if weeks else float("nan"),
        median_lead_seconds=float(np.median(list(leads.values()))) if leads else float("nan"),
    )


def recall_at(windows: AlarmWindows, score: Float64, false_per_server_week: float) -> float:
    """Return the best incident recall of a decision threshold with at most this rate of false alarms; 0 without one."""
    if not len(score):
        return float("nan")
    shares = np.geomspace(1 / len(score), 1, _THRESHOLDS_TRIED)
    thresholds = np.unique(np.quantile(score, 1 - shares))
    tried = (alarm_figures(windows, score >= threshold) for threshold in thresholds)
    return max(
        (each.incident_recall for each in tried if each.false_per_server_week <= false_per_server_week), default=0.0
    )


def over_servers(windows: AlarmWindows, score: Float64, seed: int = 0) -> tuple[float, float]:
    """Return the 90 % bootstrap interval of the average precision over servers (Efron, 1979)."""
    generator = np.random.default_rng(seed)
    servers = np.unique(windows.server)
    rows_of = {server: np.flatnonzero(windows.server == server) for server in servers}
    sampled = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([rows_of[one] for one in generator.choice(servers, len(servers))])
        sampled.append(average_precision(score[rows], windows.happened[rows]))
    known = [each for each in sampled if np.isfinite(each)]
    if not known:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.05, 0.95])
    return float(low), float(high)


def _false_episodes(windows: AlarmWindows, alarmed: Bool) -> int:
    rows = np.flatnonzero(alarmed)
    rows = rows[np.lexsort((windows.origin[rows], windows.series[rows]))]
    if not len(rows):
        return 0
    series, origin = windows.series[rows], windows.origin[rows]
    new = np.append(True, (np.diff(series) != 0) | (np.diff(origin) > _EPISODE_GAP_SECONDS))
    came_true = np.zeros(int(new.sum()), dtype=bool)
    np.logical_or.at(came_true, new.cumsum() - 1, windows.happened[rows])
    return int((~came_true).sum())


def numbered(names: Iterable[object]) -> Int64:
    """Return a number for each of ``names``; equal names have equal numbers."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)
