from dataclasses import dataclass

from daemon.simulation.fill import FillCycle
from daemon.simulation.profile import PROFILES
from daemon.simulation.randomness import Key, Purpose
from daemon.simulation.spec import FleetSpec
from daemon.simulation.traits import Disk, Memory, Traits, Work, draw

DISK_LANE = 0
MEMORY_LANE = 1


@dataclass(frozen=True)
class Server:
    """One server of the fleet, with the numbers that make it differ from the others of its profile."""

    id: str
    profile: str
    key: Key
    traits: Traits[float]
    work: tuple[Work[float], ...]
    has_gpu: bool
    has_swap: bool
    disk_fill: FillCycle
    memory_fill: FillCycle


def servers_of(spec: FleetSpec) -> tuple[Server, ...]:
    """Return the servers of a fleet, by profile and number."""
    return tuple(
        _server(spec.seed, profile, number)
        for profile in PROFILES
        for number in range(1, spec.counts.get(profile, 0) + 1)
    )


def _server(seed: int, profile_name: str, number: int) -> Server:
    profile = PROFILES[profile_name]
    name = f"{profile.prefix}-{number:02d}"
    key = Key.of(seed, name)
    random = key.generator(Purpose.TRAITS, 0)
    has_swap = bool(random.random() < profile.swap_chance)
    clear_disk, clear_memory = (int(second) for second in random.integers(0, 7 * 3600, size=2))
    traits: Traits[float] = draw(profile.traits, random)
    work = tuple(_drawn_work(key, slot, ranges) for slot, ranges in enumerate(profile.work))
    return Server(
        name,
        profile_name,
        key,
        traits,
        work,
        has_gpu=profile.gpu_every > 0 and (number - 1) % profile.gpu_every == 0,
        has_swap=has_swap,
        disk_fill=_cycle(key, DISK_LANE, traits.disk, clear_disk),
        memory_fill=_cycle(key, MEMORY_LANE, traits.memory, clear_memory),
    )


def _drawn_work(key: Key, slot: int, ranges: Work[tuple[float, float]]) -> Work[float]:
    work: Work[float] = draw(ranges, key.generator(Purpose.TRAITS, 1 + slot))
    return work


def _cycle(key: Key, lane: int, traits: Disk[float] | Memory[float], clear_second: int) -> FillCycle:
    return FillCycle(key, lane, traits.growth_pct_day, max(1, round(traits.cycle_days)), clear_second)
