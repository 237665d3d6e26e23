"""The effect of scenarios on the incidents of a fleet: they add incidents, end them early, and prevent them.

`with_scenarios` is the only entrance: it takes the sampled incidents of a span and returns what happens instead.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt

from daemon.core.series import STEP_SECONDS, Float32
from daemon.simulation.outbreak import Outbreak
from daemon.simulation.scenario import Ending, Scenario, ScenarioKind
from daemon.simulation.spec import Server


class Part(NamedTuple):
    """One incident of a scenario: its kind, and its peak in the unit of its metric."""

    kind: str
    peak: float


# Set by hand. The peaks are past critical at every hour, so they are higher than those of sampled incidents: a cleared
# cache or a night without traffic lowers the metric.
PARTS: Mapping[ScenarioKind, tuple[Part, ...]] = {
    ScenarioKind.HEALTHY: (),
    ScenarioKind.DEGRADING: (
        Part("memory_leak", 79),
        Part("disk_fill", 81),
        Part("runaway_job", 74),
        Part("connection_leak", 190),
    ),
    ScenarioKind.CRITICAL: (
        Part("memory_leak", 112),
        Part("disk_fill", 112),
        Part("runaway_job", 125),
        Part("connection_leak", 1400),
    ),
    ScenarioKind.CASCADE: (Part("runaway_job", 125), Part("connection_leak", 1400), Part("memory_leak", 92)),
    ScenarioKind.MEMORY_LEAK: (Part("memory_leak", 112),),
    ScenarioKind.DISK_FILL: (Part("disk_fill", 112),),
    # requests alone saturate no server at night, and no server with little traffic; the work that they cause does
    ScenarioKind.TRAFFIC_SURGE: (Part("traffic_surge", 80), Part("runaway_job", 125)),
}
# a peak is at least this far above the usual level of its metric, in percent
LEAST_RISE_PCT = 5.0
FIRST_HIT_PROFILE = "database"
# steps between two hops of a cascade
HOP_STEPS = 3


@dataclass(frozen=True)
class EndedOutbreak(Outbreak):
    """An outbreak with an early end: unchanged up to it, then it falls evenly to nothing."""

    ending: Ending

    @classmethod
    def of(cls, one: Outbreak, ending: Ending) -> Self:
        """Return ``one`` with the earlier of ``ending`` and its own end."""
        whole = {field.name: getattr(one, field.name) for field in fields(Outbreak)}
        return cls(**whole | {"end": min(one.end, ending.last_step)}, ending=ending)

    def size(self, timestamps: npt.NDArray[np.int64]) -> Float32:
        """Return the size at each time, 0 to 1; ``(steps,)``."""
        left = np.clip(1 - (timestamps - self.ending.until) / self.ending.recovery_seconds, 0, 1)
        return (super().size(timestamps) * left).astype(np.float32)


def with_scenarios(
    sampled: Iterable[Outbreak], scenarios: Sequence[Scenario], servers: Sequence[Server], start: int, end: int
) -> list[Outbreak]:
    """Return the outbreaks in ``start .. end`` (epoch seconds, both included), sorted by start and row.

    Args:
        sampled: the outbreaks without scenarios.
        scenarios: the scenarios that touch the span; a server that is not in the fleet is ignored.
        servers: the servers of the fleet.
        start: the first step.
        end: the last step.
    """
    if not scenarios:
        return list(sampled)
    rows = {server.id: row for row, server in enumerate(servers)}
    happening = list(_without_prevented(sampled, scenarios, rows))
    for scenario in scenarios:
        for name, first_step in _first_steps(scenario, servers).items():
            ending = scenario.ending_on(name)
            if name in rows and first_step <= ending.until:
                happening += _injected(scenario, rows[name], servers[rows[name]], first_step, ending)
    return sorted(
        (one for one in happening if one.start <= end and one.end >= start), key=lambda one: (one.start, one.row)
    )


def _without_prevented(
    sampled: Iterable[Outbreak], scenarios: Sequence[Scenario], rows: Mapping[str, int]
) -> Iterator[Outbreak]:
    """Yield the outbreaks that `healthy` scenarios do not prevent; one that it ends does not come back later."""
    healthy = [
        (rows[name], each)
        for each in scenarios
        if each.kind is ScenarioKind.HEALTHY
        for name in each.servers
        if name in rows
    ]
    for one in sampled:
        overlapping = [
            each for row, each in healthy if row == one.row and each.start <= one.end and one.start <= each.ending.until
        ]
        first = min(overlapping, key=lambda each: each.start, default=None)
        if first is None:
            yield one
        elif one.start < first.start:
            yield EndedOutbreak.of(one, Ending(first.start - STEP_SECONDS, first.ramp_seconds))


def _first_steps(scenario: Scenario, servers: Sequence[Server]) -> dict[str, int]:
    """Return the first step (epoch seconds) on each server: the start, except that a cascade spreads hop by hop."""
    if scenario.kind is not ScenarioKind.CASCADE:
        return dict.fromkeys(scenario.servers, scenario.start)
    profiles = {server.id: server.profile for server in servers}
    chance = {name: crc32(f"{scenario.id} {name}".encode()) for name in scenario.servers}
    order = sorted(scenario.servers, key=lambda name: (profiles.get(name) != FIRST_HIT_PROFILE, chance[name]))
    # each hop doubles the number of servers: two, four, eight
    others = sorted(order[1:], key=lambda name: chance[name])
    lags = {name: (number.bit_length() * HOP_STEPS + chance[name] % HOP_STEPS) for number, name in enumerate(others, 1)}
    return {name: scenario.start + lags.get(name, 0) * STEP_SECONDS for name in order}


def _injected(scenario: Scenario, row: int, server: Server, first_step: int, ending: Ending) -> Iterator[Outbreak]:
    """Yield the outbreaks that the scenario adds on one server."""
    for part in PARTS[scenario.kind]:
        whole = Outbreak(
            row=row,
            kind=part.kind,
            start=first_step,
            end=ending.last_step,
            ramp_seconds=float(scenario.ramp_seconds),
            knots=(0.0, 1.0),
            peak=max(part.peak, _usual_level(part.kind, server) + LEAST_RISE_PCT),
            cause=f"scenario {scenario.id}",
            recovery_seconds=0,
        )
        yield EndedOutbreak.of(whole, ending)


def _usual_level(kind: str, server: Server) -> float:
    """Return the usual level of the metric of an incident, in percent; 0 where the peak is added to the metric."""
    memory, disk = server.traits.memory, server.traits.disk
    if kind == "memory_leak":
        return memory.base_pct + memory.growth_pct_day * memory.cycle_days / 2
    if kind == "disk_fill":
        return disk.base_pct + disk.growth_pct_day * disk.cycle_days / 2
    return 0.0
