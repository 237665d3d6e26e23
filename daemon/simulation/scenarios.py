"""The scenarios of a running service: posted, cancelled, and kept on disk, so that they outlive it."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from daemon.domain.errors import ForewarnError
from daemon.domain.grid import STEP_SECONDS, as_text, floor_to_grid
from daemon.files.atomic import atomic_path
from daemon.simulation.scenario import (
    LONGEST_MINUTES,
    RECOVERY_SECONDS,
    USUAL_RAMP_MINUTES,
    Ending,
    Scenario,
    ScenarioKind,
    ScenarioState,
)

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


@dataclass(frozen=True)
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

    def follow(self, profiles: Mapping[str, str]) -> None:
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
            raise ScenariosNotWritten(f"{self._path}: {error.strerror}") from error
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
        _log.error("scenarios_damaged", file=str(path), reason=str(error), consequence="none is active")
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
