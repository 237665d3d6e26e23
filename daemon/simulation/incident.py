"""The kinds of incident, and the record of one that happened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from daemon.simulation.traits import Range


@dataclass(frozen=True)
class IncidentKind:
    """How one kind of incident goes.

    Attributes:
        metric: the metric that it is judged on.
        critical: the level past which the incident has broken something, in the metric's unit.
        peak: where the metric is heading; often short of critical.
        ramp_hours: from the first sign to the peak; without warning it is minutes.
        hold_hours: how long it stays there before somebody repairs it.
        repair_chance: the probability that somebody notices and repairs it on the way up.
        causes: what the post-mortem will say, one of them.
    """

    metric: str
    critical: float
    peak: Range
    ramp_hours: Range
    hold_hours: Range
    repair_chance: float
    causes: tuple[str, ...]


KINDS: Mapping[str, IncidentKind] = {
    "memory_leak": IncidentKind(
        "mem_used_pct",
        critical=95,
        peak=(86, 103),
        ramp_hours=(5, 34),
        hold_hours=(0.1, 1.2),
        repair_chance=0.25,
        causes=("unbounded request cache", "leak in a native extension", "worker never recycled"),
    ),
    "disk_fill": IncidentKind(
        "disk_used_pct",
        critical=95,
        peak=(92, 104),
        ramp_hours=(4, 30),
        hold_hours=(0.3, 3),
        repair_chance=0.25,
        causes=("debug log left on", "log rotation failed", "old snapshots not deleted"),
    ),
    "traffic_surge": IncidentKind(
        "cpu_busy_pct",
        critical=95,
        peak=(75, 170),
        ramp_hours=(0.05, 0.3),
        hold_hours=(0.5, 4),
        repair_chance=0.0,
        causes=("crawler", "flash sale", "retry storm of a client"),
    ),
    "connection_leak": IncidentKind(
        "tcp_close_wait",
        critical=200,
        peak=(80, 520),
        ramp_hours=(2, 14),
        hold_hours=(0.2, 2.5),
        repair_chance=0.25,
        causes=("client closes, server does not", "exhausted connection pool", "dependency hangs"),
    ),
    "runaway_job": IncidentKind(
        "cpu_busy_pct",
        critical=95,
        peak=(75, 130),
        ramp_hours=(0.1, 6),
        hold_hours=(0.5, 6),
        repair_chance=0.15,
        causes=("query without an index", "job restarted in a loop", "two schedules overlap"),
    ),
}


@dataclass(frozen=True)
class Incident:
    """One incident as it truly was; times are epoch seconds (UTC) on the grid.

    Attributes:
        server: whose.
        kind: one of KINDS.
        metric: the metric that it is judged on.
        start: the first step that it changed.
        breach: the first step at which the metric is past its critical level; None if it never was.
        end: the last step that it changed.
        cause: in words.
    """

    server: str
    kind: str
    metric: str
    start: int
    breach: int | None
    end: int
    cause: str


def to_frame(incidents: Iterable[Incident]) -> pd.DataFrame:
    """Return one row per incident; ``start``, ``breach`` and ``end`` are UTC timestamps, NaT for no breach."""
    rows = list(incidents)
    frame = pd.DataFrame({f.name: [getattr(row, f.name) for row in rows] for f in fields(Incident)})
    for column in ("start", "breach", "end"):
        seconds = [getattr(row, column) for row in rows]
        times = np.array(["NaT" if s is None else s for s in seconds], dtype="datetime64[s]")
        frame[column] = pd.DatetimeIndex(times.astype("datetime64[ms]")).tz_localize("UTC")
    return frame.astype({"server": "str", "kind": "str", "metric": "str", "cause": "str"})
