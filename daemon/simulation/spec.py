"""The specification of a simulated fleet, and the servers that follow from it.

`FleetSpec` holds every parameter that a user can set and checks itself. `servers_of` samples the traits of each server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from daemon.config.sources import SimulatorConfig
from daemon.core.errors import ConfigError
from daemon.core.metric import is_calendar_day
from daemon.simulation.events import FillCycle
from daemon.simulation.incident import CASCADE, KINDS, IncidentKind, IncidentTuning
from daemon.simulation.noise import Key, Purpose
from daemon.simulation.profile import PROFILES, Disk, Memory, Traits, Work, sample

DEFAULT_SERVERS = 20
# their sum is below a week, which `Outbreaks` relies on
LONGEST_INCIDENT_HOURS: Mapping[str, float] = {"ramp_hours": 60, "hold_hours": 60, "recovery_hours": 24}
_DEFAULT = SimulatorConfig(name="default", type="simulator")
HOLIDAYS = tuple(_DEFAULT.holidays)
# numbers of the two fills of a server, as `FillCycle` needs them
DISK_LANE = 0
MEMORY_LANE = 1


def counts_for(servers: int) -> dict[str, int]:
    """Return the number of servers by profile for a fleet of that size, in the proportions of the default fleet."""
    shares = {name: profile.share * servers / DEFAULT_SERVERS for name, profile in PROFILES.items()}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - shares[name])
    for name in by_remainder[: servers - sum(counts.values())]:
        counts[name] += 1
    return counts


@dataclass(frozen=True, kw_only=True)
class FleetSpec:
    """All parameters of a simulated fleet: equal specifications give equal fleets. Times are UTC.

    Attributes:
        counts: number of servers by profile; a profile that is not named has none.
        seed: root of all random numbers, 0 or more.
        incidents_per_server_week: mean number of incidents, 0 to 5; cascades come on top.
        incidents: overrides of a kind of incident, by its name.
        month_turn_ratio: factor on the length of runs of databases and risk servers, on the last working day and the
            first day of a month, 1 to 4.
        holidays: days of the year, as MM-DD, with the traffic and the jobs of a weekend.
        growth_pct_month: mean growth of traffic in percent a month, -10 to 10; each server has its own growth.
        reboots_per_server_week: mean number of reboots, 0 to 5; each is a gap of 5 to 15 minutes and empties caches.
        missing_rate: probability that a sample is lost, 0 to less than 1.
        outages_per_server_week: mean number of gaps of 15 to 90 minutes, 0 to 5.

    Raises:
        ConfigError: names every unknown name and every number out of range.
    """

    counts: Mapping[str, int] = field(default_factory=lambda: counts_for(DEFAULT_SERVERS))
    seed: int = _DEFAULT.seed
    incidents_per_server_week: float = _DEFAULT.incidents_per_server_week
    incidents: Mapping[str, IncidentTuning] = field(default_factory=dict)
    month_turn_ratio: float = _DEFAULT.month_turn_ratio
    holidays: tuple[str, ...] = HOLIDAYS
    growth_pct_month: float = float(_DEFAULT.growth_pct_month)
    reboots_per_server_week: float = _DEFAULT.reboots_per_server_week
    missing_rate: float = _DEFAULT.missing_rate
    outages_per_server_week: float = _DEFAULT.outages_per_server_week

    def __post_init__(self) -> None:
        problems = [
            f"counts: {name!r} is no profile; use {', '.join(PROFILES)}" for name in self.counts if name not in PROFILES
        ]
        problems += [f"counts.{name}: {n} is not 0 or more servers" for name, n in self.counts.items() if n < 0]
        if not sum(self.counts.values()) > 0:
            problems.append("counts: a fleet needs at least one server")
        if self.seed < 0:
            problems.append(f"seed: {self.seed} is negative; use 0 or more")
        if not 0 <= self.missing_rate < 1:
            problems.append(f"missing_rate: {self.missing_rate} is not in 0 .. 1")
        for name in ("incidents_per_server_week", "reboots_per_server_week", "outages_per_server_week"):
            if not 0 <= getattr(self, name) <= 5:
                problems.append(f"{name}: {getattr(self, name)} is not in 0 .. 5")
        if not 1 <= self.month_turn_ratio <= 4:
            problems.append(f"month_turn_ratio: {self.month_turn_ratio} is not in 1 .. 4")
        if not -10 <= self.growth_pct_month <= 10:
            problems.append(f"growth_pct_month: {self.growth_pct_month} is not in -10 .. 10")
        problems += [
            f"holidays: {day!r} is no day of a year; write it as MM-DD"
            for day in self.holidays
            if not is_calendar_day(day)
        ]
        for name, tuning in self.incidents.items():
            problems += _problems(name, tuning)
        if problems:
            raise ConfigError(problems)

    @property
    def kinds(self) -> dict[str, IncidentKind]:
        """The kinds of incident with the overrides of this fleet."""
        return {name: self.incidents.get(name, IncidentTuning()).tuned(kind) for name, kind in KINDS.items()}


def _problems(name: str, tuning: IncidentTuning) -> Iterator[str]:
    if name not in KINDS:
        yield f"incidents: {name!r} is no kind of incident; use {', '.join(KINDS)}"
        return
    where = f"incidents.{name}"
    if name == CASCADE and tuning.changes().keys() - {"weight"}:
        yield f"{where}: follows the incident of another server; set only its weight"
        return
    kind = tuning.tuned(KINDS[name])
    if kind.weight < 0:
        yield f"{where}.weight: {kind.weight:g} is not 0 or more"
    for key in ("repair_chance", "sudden_chance"):
        if not 0 <= getattr(kind, key) <= 1:
            yield f"{where}.{key}: {getattr(kind, key):g} is not in 0 .. 1"
    for key, most in LONGEST_INCIDENT_HOURS.items():
        shortest, longest = getattr(kind, key)
        if not 0 < shortest <= longest <= most:
            yield f"{where}.{key}: {shortest:g} to {longest:g} is not in 0 .. {most:g}, shortest first"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server of the fleet, with the traits that are sampled from the ranges of its profile."""

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
    """Return the servers of a fleet, sorted by profile and number."""
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
    traits: Traits[float] = sample(profile.traits, random)
    work = tuple(_sampled_work(key, slot, ranges) for slot, ranges in enumerate(profile.work))
    return Server(
        id=name,
        profile=profile_name,
        key=key,
        traits=traits,
        work=work,
        has_gpu=profile.gpu_every > 0 and (number - 1) % profile.gpu_every == 0,
        has_swap=has_swap,
        disk_fill=_cycle(key, DISK_LANE, traits.disk, clear_disk),
        memory_fill=_cycle(key, MEMORY_LANE, traits.memory, clear_memory),
    )


def _sampled_work(key: Key, slot: int, ranges: Work[tuple[float, float]]) -> Work[float]:
    work: Work[float] = sample(ranges, key.generator(Purpose.TRAITS, 1 + slot))
    return work


def _cycle(key: Key, lane: int, traits: Disk[float] | Memory[float], clear_second: int) -> FillCycle:
    return FillCycle(
        key=key,
        lane=lane,
        growth_pct_day=traits.growth_pct_day,
        cycle_days=max(1, round(traits.cycle_days)),
        clear_second=clear_second,
    )
