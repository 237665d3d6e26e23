"""What somebody asks a running simulator to let happen: the record, and its life in time."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt
import structlog

from daemon.core.errors import ForewarnError
from daemon.core.file_access import reason_of
from daemon.core.series import STEP_SECONDS, Float32, as_text, floor_to_grid
from daemon.simulation.outbreak import WEEK_SECONDS, Outbreak
from daemon.simulation.spec import Server
from daemon.system.files import atomic_path

LONGEST_MINUTES = WEEK_SECONDS // 60
RECOVERY_SECONDS = 4 * STEP_SECONDS


class ScenarioKind(StrEnum):
    """What happens to the chosen servers."""

    HEALTHY = "healthy"
    DEGRADING = "degrading"
    CRITICAL = "critical"
    CASCADE = "cascade"
    MEMORY_LEAK = "memory_leak"
    DISK_FILL = "disk_fill"
    TRAFFIC_SURGE = "traffic_surge"


class ScenarioState(StrEnum):
    """Where it stands."""

    WAITING = "waiting"
    ACTIVE = "active"
    RECOVERING = "recovering"
    ENDED = "ended"


USUAL_RAMP_MINUTES: Mapping[ScenarioKind, int] = {
    ScenarioKind.HEALTHY: 20,
    ScenarioKind.DEGRADING: 480,
    ScenarioKind.CRITICAL: 60,
    ScenarioKind.CASCADE: 120,
    ScenarioKind.MEMORY_LEAK: 480,
    ScenarioKind.DISK_FILL: 480,
    ScenarioKind.TRAFFIC_SURGE: 15,
}


class Ending(NamedTuple):
    """When something ends: the last step at which it is whole, and how long it then takes to be gone."""

    until: int
    recovery_seconds: int

    @property
    def last_step(self) -> int:
        """The last step at which something of it may be left."""
        return self.until + max(0, self.recovery_seconds - STEP_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Something that was asked for; times are epoch seconds of the service's clock.

    Attributes:
        id: names it.
        kind: what happens.
        servers: ids of those that it happens to.
        posted: when it was asked for.
        start: the first step that it changes, on the grid; later than everything that the simulator has told by then.
        ramp_seconds: until it has its full size.
        ending: when the servers recover; before ``start`` if it was cancelled at once.
        cancelled: whether somebody ended it.
        released: servers that another scenario has made healthy meanwhile.
    """

    id: str
    kind: ScenarioKind
    servers: tuple[str, ...]
    posted: float
    start: int
    ramp_seconds: int
    ending: Ending
    cancelled: bool = False
    released: tuple[tuple[str, Ending], ...] = ()

    @property
    def last_step(self) -> int:
        """The last step that may be otherwise than it would have been without."""
        if self.kind is ScenarioKind.HEALTHY:
            # an incident that did not happen for it would have lasted less than a week
            return self.ending.until + WEEK_SECONDS
        return max([self.ending.last_step, *(ending.last_step for _, ending in self.released)])

    @property
    def happens(self) -> bool:
        """Whether it changes anything; not if it was cancelled before it began."""
        return self.start <= self.ending.until

    def ending_on(self, server: str) -> Ending:
        """Return when ``server`` recovers."""
        return min(self.ending, dict(self.released).get(server, self.ending))

    def touches(self, start: int, end: int) -> bool:
        """Return whether it changes a step in ``start .. end`` (epoch seconds, both included)."""
        return self.happens and self.start <= end and self.last_step >= start

    def state(self, now: float) -> ScenarioState:
        """Return where it stands at ``now``."""
        if not self.happens:
            return ScenarioState.ENDED
        if now < self.start:
            return ScenarioState.WAITING
        if now < self.ending.until + STEP_SECONDS and not self.cancelled:
            return ScenarioState.ACTIVE
        return ScenarioState.RECOVERING if now < self.ending.last_step + STEP_SECONDS else ScenarioState.ENDED


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
    sampled: Iterable[Outbreak], scenarios: Sequence[Scenario], servers: Sequence[Server], start: int, end: int
) -> list[Outbreak]:
    """Return what happens in ``start .. end`` (epoch seconds, both included), by start and row.

    Args:
        sampled: what would have happened then.
        scenarios: those that touch that time; a server that the fleet does not have is left out.
        servers: of the fleet.
        start: the first step.
        end: the last step.
    """
    if not scenarios:
        return list(sampled)
    rows = {server.id: row for row, server in enumerate(servers)}
    happening = list(_not_healed(sampled, scenarios, rows))
    for scenario in scenarios:
        for name, begin in _begins(scenario, servers).items():
            ending = scenario.ending_on(name)
            if name in rows and begin <= ending.until:
                happening += _outbreaks(scenario, rows[name], servers[rows[name]], begin, ending)
    return sorted(
        (one for one in happening if one.start <= end and one.end >= start), key=lambda one: (one.start, one.row)
    )


def _not_healed(
    sampled: Iterable[Outbreak], scenarios: Sequence[Scenario], rows: Mapping[str, int]
) -> Iterator[Outbreak]:
    """Yield the incidents that come, each up to where its server is made healthy; one healed is healed for good."""
    healthy = [
        (rows[name], each)
        for each in scenarios
        if each.kind is ScenarioKind.HEALTHY
        for name in each.servers
        if name in rows
    ]
    for one in sampled:
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


MOST_ACTIVE = 20
MOST_KEPT = 100
ON_ALL = (ScenarioKind.HEALTHY, ScenarioKind.DEGRADING, ScenarioKind.CRITICAL, ScenarioKind.CASCADE)
_MOST_NAMED = 40

_log = structlog.get_logger()


class NoSimulator(ForewarnError):
    """No source is a simulator, so there is nothing that a scenario could happen to."""


class BadScenario(ForewarnError):
    """What is asked for cannot be; names the value and the choices."""


class ScenarioRefused(ForewarnError):
    """Not now: too many are active, or what is to be ended has ended."""


class NoSuchScenario(ForewarnError):
    """No scenario has that id."""


class ScenariosNotWritten(ForewarnError):
    """The file cannot be written; nothing has changed."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody asks for.

    Attributes:
        kind: what is to happen.
        servers: to these; None where a profile is named, or all are meant.
        profile: to all servers of this profile.
        ramp_minutes: grid time until full size; None for what is usual for the kind.
        duration_minutes: grid time from the first changed step until the servers recover; None for a week.
    """

    kind: ScenarioKind
    servers: Sequence[str] | None = None
    profile: str | None = None
    ramp_minutes: float | None = None
    duration_minutes: float | None = None


class Scenarios:
    """The scenarios of all simulated servers; safe to use from several threads.

    What the simulator has told stays true: a scenario begins, and ends, after the newest step that was asked for.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path, self._now = path, now
        self._lock = threading.Lock()
        self._told = 0
        self._profiles: Mapping[str, str] = {}
        self._known = _read(path)

    def reconfigure(self, profiles: Mapping[str, str]) -> None:
        """Take the servers of all simulators, with their profiles; none where there is no simulator."""
        self._profiles = dict(profiles)

    def told(self, until: int) -> None:
        """Note, before it is, that what happens up to ``until`` (epoch seconds) is told."""
        with self._lock:
            self._told = max(self._told, floor_to_grid(until))

    def known(self) -> tuple[Scenario, ...]:
        """Return those that may change a step that is still to be told, and the last of the others, oldest first."""
        return self._known

    def listed(self) -> tuple[tuple[Scenario, ScenarioState], ...]:
        """Return the same with where each stands now, newest first.

        Raises:
            NoSimulator: there is no simulator.
        """
        self._simulated()
        now = self._now()
        return tuple((each, each.state(now)) for each in reversed(self._known))

    def post(self, wanted: Wanted) -> tuple[Scenario, ScenarioState]:
        """Let ``wanted`` happen from the next step on.

        Raises:
            NoSimulator: there is no simulator.
            BadScenario: a server or profile is not there, or none is named where one must be.
            ScenarioRefused: too many are active.
            ScenariosNotWritten: the file cannot be written.
        """
        servers = self._chosen(wanted)
        with self._lock:
            now = self._now()
            newest = self._newest(now)
            kept = self._room(now)
            number = 1 + max((int(each.id.rpartition("-")[2]) for each in self._known), default=0)
            ramp = USUAL_RAMP_MINUTES[wanted.kind] if wanted.ramp_minutes is None else wanted.ramp_minutes
            minutes = LONGEST_MINUTES if wanted.duration_minutes is None else wanted.duration_minutes
            scenario = Scenario(
                id=f"{wanted.kind.value}-{number}",
                kind=wanted.kind,
                servers=servers,
                posted=now,
                start=newest + STEP_SECONDS,
                ramp_seconds=max(STEP_SECONDS, round(ramp * 60)),
                ending=Ending(newest + max(STEP_SECONDS, floor_to_grid(minutes * 60)), RECOVERY_SECONDS),
            )
            if wanted.kind is ScenarioKind.HEALTHY:
                kept = [_released(each, servers, Ending(newest, scenario.ramp_seconds), now) for each in kept]
            self._keep([*kept, scenario])
        _log.info("scenario_posted", id=scenario.id, servers=len(servers), start=as_text(scenario.start))
        return scenario, scenario.state(now)

    def cancel(self, name: str) -> tuple[Scenario, ScenarioState]:
        """End a scenario; its servers recover from the next step on.

        Raises:
            NoSimulator: there is no simulator.
            NoSuchScenario: there is none of that id.
            ScenarioRefused: it has ended already.
            ScenariosNotWritten: the file cannot be written.
        """
        self._simulated()
        with self._lock:
            now = self._now()
            found = next((each for each in self._known if each.id == name), None)
            if found is None:
                raise NoSuchScenario(f"no scenario {name[:80]!r}; GET /api/v1/scenarios lists them")
            newest = self._newest(now)
            if newest >= found.ending.until or not found.happens:
                raise ScenarioRefused(f"scenario {name} has ended already")
            ended = replace(found, ending=Ending(newest, RECOVERY_SECONDS), cancelled=True)
            self._keep([ended if each is found else each for each in self._known])
        _log.info("scenario_cancelled", id=name, until=as_text(newest))
        return ended, ended.state(now)

    def _newest(self, now: float) -> int:
        return max(floor_to_grid(now), self._told)

    def _simulated(self) -> Mapping[str, str]:
        if not self._profiles:
            raise NoSimulator("no source is of type simulator, and scenarios happen to simulated servers only")
        return self._profiles

    def _chosen(self, wanted: Wanted) -> tuple[str, ...]:
        profiles = self._simulated()
        if wanted.servers is not None and wanted.profile is not None:
            raise BadScenario("name servers or a profile, not both")
        if wanted.servers is not None:
            strange = [name for name in wanted.servers if name not in profiles]
            if strange or not wanted.servers:
                text = f"{_named(map(_short, strange), 5)}: no simulated server" if strange else "no server is named"
                raise BadScenario(f"{text}; use {_named(sorted(profiles))}")
            return tuple(dict.fromkeys(wanted.servers))
        if wanted.profile is not None:
            chosen = tuple(name for name, profile in profiles.items() if profile == wanted.profile)
            if not chosen:
                present = _named(sorted(set(profiles.values())))
                raise BadScenario(f"{_short(wanted.profile)}: no simulated server has that profile; use {present}")
            return chosen
        if wanted.kind not in ON_ALL:
            raise BadScenario(f"{wanted.kind.value} needs servers or a profile; {_named(ON_ALL)} may be for all")
        return tuple(profiles)

    def _room(self, now: float) -> list[Scenario]:
        """Return the scenarios without the oldest of those that no longer matter, if they are many."""
        active = [each for each in self._known if each.state(now) is not ScenarioState.ENDED]
        if len(active) >= MOST_ACTIVE:
            raise ScenarioRefused(f"{len(active)} scenarios are active, and no more than {MOST_ACTIVE} may be")
        over = [each for each in self._known if not each.happens or each.last_step <= self._told]
        spare = len(self._known) + 1 - MOST_KEPT
        if spare > len(over):
            raise ScenarioRefused(f"the last {MOST_KEPT} scenarios are not over yet; try again later")
        gone = over[: max(0, spare)]
        return [each for each in self._known if each not in gone]

    def _keep(self, scenarios: Iterable[Scenario]) -> None:
        kept = tuple(scenarios)
        try:
            with atomic_path(self._path) as temporary:
                temporary.write_text(json.dumps([asdict(each) for each in kept], indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise ScenariosNotWritten(f"{self._path}: {reason_of(error)}") from error
        self._known = kept


def _released(scenario: Scenario, servers: Sequence[str], ending: Ending, now: float) -> Scenario:
    """Return ``scenario`` without what it does to ``servers`` from ``ending`` on; cancelled if that is all of it."""
    if scenario.kind is ScenarioKind.HEALTHY or scenario.state(now) is ScenarioState.ENDED:
        return scenario
    freed = {name: ending for name in scenario.servers if name in servers}
    released = freed | dict(scenario.released)
    if freed and len(released) == len(scenario.servers) and scenario.ending.until > ending.until:
        return replace(scenario, released=tuple(released.items()), ending=ending, cancelled=True)
    return replace(scenario, released=tuple(released.items()))


def _short(name: str) -> str:
    return repr(name[:80])


def _named(names: Iterable[str], most: int = _MOST_NAMED) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" * (len(listed) > most))


def _read(path: Path) -> tuple[Scenario, ...]:
    try:
        return tuple(_scenario(each) for each in json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _log.error("scenarios_damaged", file=str(path), reason=reason_of(error), consequence="none is active")
        return ()


def _scenario(document: dict[str, Any]) -> Scenario:
    return Scenario(
        **document
        | {
            "kind": ScenarioKind(document["kind"]),
            "servers": tuple(document["servers"]),
            "ending": Ending(*document["ending"]),
            "released": tuple((name, Ending(*ending)) for name, ending in document["released"]),
        }
    )
