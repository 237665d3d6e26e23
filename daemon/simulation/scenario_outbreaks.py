"""What scenarios make of the incidents that a fleet would have had: more of them, fewer, or shorter ones."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS
from daemon.domain.series import Float32
from daemon.simulation.outbreak import Outbreak
from daemon.simulation.scenario import Ending, Scenario, ScenarioKind
from daemon.simulation.server import Server

FIRST_HIT_PROFILE = "database"
HOP_STEPS = 3
LEAST_RISE = 5.0


class Part(NamedTuple):
    """One incident of a scenario: its kind, and where its metric is heading."""

    kind: str
    peak: float


# Past critical at any hour, so higher than a drawn incident goes: a cleared cache or a quiet night takes some off.
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
    # requests alone saturate no server at night, nor one that hardly serves any: the work that they set off does
    ScenarioKind.TRAFFIC_SURGE: (Part("traffic_surge", 80), Part("runaway_job", 125)),
}


@dataclass(frozen=True)
class Repaired(Outbreak):
    """An outbreak that somebody ends: as it was until then, and gone bit by bit."""

    ending: Ending

    @classmethod
    def of(cls, one: Outbreak, ending: Ending) -> Self:
        """Return ``one`` with that ending, or its own where that is sooner."""
        whole = {field.name: getattr(one, field.name) for field in fields(Outbreak)}
        return cls(**whole | {"end": min(one.end, ending.last_step)}, ending=ending)

    def size(self, timestamps: npt.NDArray[np.int64]) -> Float32:
        """Return how far it has come at each time, from 0 to 1; ``(steps,)``."""
        left = np.clip(1 - (timestamps - self.ending.until) / self.ending.recovery_seconds, 0, 1)
        return (super().size(timestamps) * left).astype(np.float32)


def with_scenarios(
    drawn: Iterable[Outbreak], scenarios: Sequence[Scenario], servers: Sequence[Server], start: int, end: int
) -> list[Outbreak]:
    """Return what happens in ``start .. end`` (epoch seconds, both included), by start and row.

    Args:
        drawn: what would have happened then.
        scenarios: those that touch that time; a server that the fleet does not have is left out.
        servers: of the fleet.
        start: the first step.
        end: the last step.
    """
    if not scenarios:
        return list(drawn)
    rows = {server.id: row for row, server in enumerate(servers)}
    happening = list(_not_healed(drawn, scenarios, rows))
    for scenario in scenarios:
        for name, begin in _begins(scenario, servers).items():
            ending = scenario.ending_on(name)
            if name in rows and begin <= ending.until:
                happening += _outbreaks(scenario, rows[name], servers[rows[name]], begin, ending)
    return sorted(
        (one for one in happening if one.start <= end and one.end >= start), key=lambda one: (one.start, one.row)
    )


def _not_healed(
    drawn: Iterable[Outbreak], scenarios: Sequence[Scenario], rows: Mapping[str, int]
) -> Iterator[Outbreak]:
    """Yield the incidents that come, each up to where its server is made healthy; one healed is healed for good."""
    healthy = [
        (rows[name], each)
        for each in scenarios
        if each.kind is ScenarioKind.HEALTHY
        for name in each.servers
        if name in rows
    ]
    for one in drawn:
        healing = [
            each for row, each in healthy if row == one.row and each.start <= one.end and one.start <= each.ending.until
        ]
        first = min(healing, key=lambda each: each.start, default=None)
        if first is None:
            yield one
        elif one.start < first.start:
            yield Repaired.of(one, Ending(first.start - STEP_SECONDS, first.ramp_seconds))


def _begins(scenario: Scenario, servers: Sequence[Server]) -> dict[str, int]:
    """Return when each server is first hit: at once, but in a cascade one after the other, ever more at a time."""
    if scenario.kind is not ScenarioKind.CASCADE:
        return dict.fromkeys(scenario.servers, scenario.start)
    profiles = {server.id: server.profile for server in servers}
    chance = {name: crc32(f"{scenario.id} {name}".encode()) for name in scenario.servers}
    order = sorted(scenario.servers, key=lambda name: (profiles.get(name) != FIRST_HIT_PROFILE, chance[name]))
    # each hop reaches as many as were hit before it: two, four, eight
    others = sorted(order[1:], key=lambda name: chance[name])
    lags = {name: (number.bit_length() * HOP_STEPS + chance[name] % HOP_STEPS) for number, name in enumerate(others, 1)}
    return {name: scenario.start + lags.get(name, 0) * STEP_SECONDS for name in order}


def _outbreaks(scenario: Scenario, row: int, server: Server, begin: int, ending: Ending) -> Iterator[Outbreak]:
    for part in PARTS[scenario.kind]:
        whole = Outbreak(
            row=row,
            kind=part.kind,
            start=begin,
            end=ending.last_step,
            ramp_seconds=float(scenario.ramp_seconds),
            knots=(0.0, 1.0),
            peak=max(part.peak, _usual(part.kind, server) + LEAST_RISE),
            cause=f"scenario {scenario.id}",
            recovery_seconds=0,
        )
        yield Repaired.of(whole, ending)


def _usual(kind: str, server: Server) -> float:
    """Return the level that the metric of an incident has without it; 0 where the peak is on top of that anyway."""
    memory, disk = server.traits.memory, server.traits.disk
    if kind == "memory_leak":
        return memory.base_pct + memory.growth_pct_day * memory.cycle_days / 2
    if kind == "disk_fill":
        return disk.base_pct + disk.growth_pct_day * disk.cycle_days / 2
    return 0.0
