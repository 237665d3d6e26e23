"""The kinds of incident, the overrides of a fleet, and the record of an incident that happened.

The table KINDS is set by hand; docs/simulator.md has it in words, and a test compares the two.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from daemon.simulation.profile import Range

# ramp of an incident without warning
SUDDEN_HOURS: Range = (0.05, 0.3)
# recovery after a restart
AT_ONCE: Range = (0.01, 0.15)
CASCADE = "cascade"


@dataclass(frozen=True, kw_only=True)
class IncidentKind:
    """One kind of incident.

    Attributes:
        metric: the metric that shows the breach.
        critical: critical level of the metric, in its unit.
        peak: range of the level at full size; it can be below critical.
        ramp_hours: range of the time from start to full size.
        hold_hours: range of the time at full size before the repair.
        causes: causes in words, as in a post-mortem; an incident has one of them.
        recovery_hours: range of the time from the repair to the end.
        repair_chance: probability of a repair during the ramp, 0 to 1.
        sudden_chance: probability that the ramp takes SUDDEN_HOURS instead of ``ramp_hours``, 0 to 1.
        spread_chance: probability that it spreads to the servers that call this one, 0 to 1.
        weight: factor on its frequency.
        reboot_ends: whether a reboot of the server ends it.
    """

    metric: str
    critical: float
    peak: Range
    ramp_hours: Range
    hold_hours: Range
    causes: tuple[str, ...]
    recovery_hours: Range = AT_ONCE
    repair_chance: float = 0.25
    sudden_chance: float = 0.0
    spread_chance: float = 0.0
    weight: float = 1.0
    reboot_ends: bool = False


# the last kind follows the incident of another server, with the ramp, length and repair of that one
KINDS: Mapping[str, IncidentKind] = {
    "memory_leak": IncidentKind(
        metric="mem_used_pct", critical=95, peak=(90, 125), ramp_hours=(5, 34), hold_hours=(0.1, 1.2),
        sudden_chance=0.05,
        causes=("unbounded request cache", "leak in a native extension", "worker never recycled"), reboot_ends=True),
    "disk_fill": IncidentKind(
        metric="disk_used_pct", critical=95, peak=(92, 116), ramp_hours=(4, 30), hold_hours=(0.3, 3), sudden_chance=0.1,
        causes=("debug log left on", "log rotation failed", "old snapshots not deleted"), recovery_hours=(0.1, 0.7)),
    "log_storm": IncidentKind(
        metric="disk_used_pct", critical=95, peak=(92, 116), ramp_hours=(0.4, 4), hold_hours=(0.2, 2),
        sudden_chance=0.1,
        causes=("stack trace logged in a loop", "audit log turned on", "retries logged one by one"),
        recovery_hours=(0.1, 0.5), repair_chance=0.3, spread_chance=0.15),
    "traffic_surge": IncidentKind(
        metric="cpu_busy_pct", critical=95, peak=(75, 170), ramp_hours=SUDDEN_HOURS, hold_hours=(0.5, 4),
        causes=("crawler", "flash sale", "retry storm of a client"), recovery_hours=(0.2, 2), repair_chance=0),
    "connection_leak": IncidentKind(
        metric="tcp_close_wait", critical=200, peak=(140, 650), ramp_hours=(2, 14), hold_hours=(0.2, 2.5),
        sudden_chance=0.15,
        causes=("client closes, server does not", "exhausted connection pool", "dependency hangs"),
        spread_chance=0.2, reboot_ends=True),
    "runaway_job": IncidentKind(
        metric="cpu_busy_pct", critical=95, peak=(75, 130), ramp_hours=(0.1, 6), hold_hours=(0.5, 6), sudden_chance=0.2,
        causes=("query without an index", "job restarted in a loop", "two schedules overlap"),
        repair_chance=0.15, spread_chance=0.3, reboot_ends=True),
    "gc_pressure": IncidentKind(
        metric="cpu_busy_pct", critical=95, peak=(88, 140), ramp_hours=(2, 20), hold_hours=(0.5, 4), sudden_chance=0.1,
        causes=("heap too small for its load", "objects kept by a cache", "large results held in memory"),
        spread_chance=0.3, reboot_ends=True),
    "swap_thrash": IncidentKind(
        metric="swap_used_pct", critical=80, peak=(74, 118), ramp_hours=(0.7, 10), hold_hours=(0.3, 3),
        sudden_chance=0.15,
        causes=("two large processes at once", "memory limit set too high", "page cache pushed out by a copy"),
        recovery_hours=(0.3, 2), spread_chance=0.5, reboot_ends=True),
    "slow_io": IncidentKind(
        metric="cpu_iowait_pct", critical=40, peak=(24, 80), ramp_hours=(0.5, 12), hold_hours=(0.5, 5),
        sudden_chance=0.25,
        causes=("disk about to fail", "array rebuilding", "storage network congested"), recovery_hours=(0.2, 1.5),
        spread_chance=0.6),
    "gpu_memory_exhaustion": IncidentKind(
        metric="gpu_mem_used_pct", critical=97, peak=(92, 140), ramp_hours=(2, 16), hold_hours=(0.2, 2),
        sudden_chance=0.2,
        causes=("tensors kept in a list", "fragmented allocator", "models loaded and never unloaded"),
        reboot_ends=True),
    "noisy_neighbour": IncidentKind(
        metric="cpu_busy_pct", critical=95, peak=(75, 140), ramp_hours=(0.05, 0.2), hold_hours=(0.3, 5),
        causes=("another guest on the host", "host overcommitted", "migration of another guest"), repair_chance=0),
    "failed_batch": IncidentKind(
        metric="cpu_busy_pct", critical=95, peak=(75, 130), ramp_hours=(0.3, 4), hold_hours=(1, 6), sudden_chance=0.1,
        causes=("input file incomplete", "deadlock at the last step", "retried without an end"), repair_chance=0.2),
    CASCADE: IncidentKind(
        metric="tcp_close_wait", critical=200, peak=(70, 480), ramp_hours=(0.1, 14), hold_hours=(0.2, 6),
        causes=("dependency answers late",)),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class IncidentTuning:
    """The overrides of a fleet for one kind of incident; None keeps the value of KINDS."""

    weight: float | None = None
    ramp_hours: Range | None = None
    hold_hours: Range | None = None
    recovery_hours: Range | None = None
    repair_chance: float | None = None
    sudden_chance: float | None = None

    def changes(self) -> dict[str, float | Range]:
        """Return the overrides that are not None, by the name of the field of `IncidentKind`."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}

    def tuned(self, kind: IncidentKind) -> IncidentKind:
        """Return ``kind`` with the overrides; if ``ramp_hours`` is set, ``sudden_chance`` is 0 by default."""
        changes: dict[str, object] = dict(self.changes())
        if self.ramp_hours is not None:
            changes = {"sudden_chance": 0.0, **changes}
        return replace(kind, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Incident:
    """The truth about one incident, before any sample is lost; times are epoch seconds (UTC) on the grid.

    Attributes:
        server: id of the server.
        kind: one of KINDS.
        metric: the metric that shows the breach.
        start: the first step that it changed.
        breach: the first step at which the metric is past its critical level; None without a breach.
        end: the last step that it changed.
        cause: the cause in words; a cascade names the server where it started.
        precursor: whether it was predictable, as `fleet.had_precursor` defines it.
    """

    server: str
    kind: str
    metric: str
    start: int
    breach: int | None
    end: int
    cause: str
    precursor: bool


def to_frame(incidents: Iterable[Incident]) -> pd.DataFrame:
    """Return one row per incident; ``start``, ``breach`` and ``end`` are UTC timestamps, NaT without a breach."""
    rows = list(incidents)
    frame = pd.DataFrame({f.name: [getattr(row, f.name) for row in rows] for f in fields(Incident)})
    for column in ("start", "breach", "end"):
        seconds = [getattr(row, column) for row in rows]
        times = np.array(["NaT" if s is None else s for s in seconds], dtype="datetime64[s]")
        frame[column] = pd.DatetimeIndex(times.astype("datetime64[ms]")).tz_localize("UTC")
    return frame.astype({"server": "str", "kind": "str", "metric": "str", "cause": "str", "precursor": "bool"})
