"""Scenarios: incidents that a user injects into a running simulator, and `healthy`, which removes incidents.

`ScenarioRequest` is what a user posts. `Scenario` is the record in `scenarios.json`. `ScenarioStatus` is that record
with its state, as the API serves it. `Scenarios` accepts, cancels and stores scenarios. `scenario_outbreaks` turns them
into incidents.
Times are epoch seconds (UTC) of the service's clock.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import structlog
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    computed_field,
    field_serializer,
)

from daemon.core.errors import ForewarnError
from daemon.core.file_access import reason_of
from daemon.core.series import STEP_SECONDS, WEEK_SECONDS, as_text, floor_to_grid
from daemon.system.files import atomic_path

_log = structlog.get_logger()

LONGEST_MINUTES = WEEK_SECONDS // 60
# the servers recover evenly over four steps
RECOVERY_SECONDS = 4 * STEP_SECONDS
MOST_ACTIVE = 20
MOST_STORED = 100
_MOST_NAMES_IN_ERROR = 40
_MOST_CHARACTERS_IN_ERROR = 80


class ScenarioKind(StrEnum):
    """What happens to the servers of a scenario."""

    HEALTHY = "healthy"
    DEGRADING = "degrading"
    CRITICAL = "critical"
    CASCADE = "cascade"
    MEMORY_LEAK = "memory_leak"
    DISK_FILL = "disk_fill"
    TRAFFIC_SURGE = "traffic_surge"


class ScenarioState(StrEnum):
    """The state of a scenario at one time."""

    WAITING = "waiting"
    ACTIVE = "active"
    RECOVERING = "recovering"
    ENDED = "ended"


# these kinds apply to all servers if a request names neither servers nor a profile
KINDS_FOR_ALL = (ScenarioKind.HEALTHY, ScenarioKind.DEGRADING, ScenarioKind.CRITICAL, ScenarioKind.CASCADE)
DEFAULT_RAMP_MINUTES: Mapping[ScenarioKind, int] = {
    ScenarioKind.HEALTHY: 20,
    ScenarioKind.DEGRADING: 480,
    ScenarioKind.CRITICAL: 60,
    ScenarioKind.CASCADE: 120,
    ScenarioKind.MEMORY_LEAK: 480,
    ScenarioKind.DISK_FILL: 480,
    ScenarioKind.TRAFFIC_SURGE: 15,
}


class NoSimulator(ForewarnError):
    """No source is a simulator, so no scenario can happen."""


class BadScenario(ForewarnError):
    """The request cannot be fulfilled; the text names the value and the choices."""


class ScenarioRefused(ForewarnError):
    """Not at this time: too many scenarios are active, or the scenario to cancel has ended."""


class NoSuchScenario(ForewarnError):
    """No scenario has that id."""


class ScenariosNotWritten(ForewarnError):
    """The file cannot be written; nothing has changed."""


def _known_kind(value: Any) -> Any:
    kinds = [kind.value for kind in ScenarioKind]
    if value not in kinds:
        raise ValueError(f"{_short(value)} is no kind of scenario; use {', '.join(kinds)}")
    return value


_Minutes = Annotated[float, Field(gt=0, le=LONGEST_MINUTES, allow_inf_nan=False, strict=True)]


class ScenarioRequest(BaseModel):
    """A request for a scenario on ``servers``, on the servers of ``profile``, or on all.

    Minutes are of the service's clock.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[ScenarioKind, BeforeValidator(_known_kind)]
    servers: list[str] | None = Field(None, min_length=1, max_length=10_000)
    profile: str | None = None
    ramp_minutes: _Minutes | None = Field(None, description="Time until full size; null is the default of the kind.")
    duration_minutes: _Minutes | None = Field(None, description="Time until the servers recover; null is a week.")


class Ending(NamedTuple):
    """The end of a scenario: the last step before recovery, and the length of the recovery."""

    until: int
    recovery_seconds: Annotated[int, Field(gt=0)]

    @property
    def last_step(self) -> int:
        """The last step that differs because of the scenario."""
        return self.until + max(0, self.recovery_seconds - STEP_SECONDS)


class Scenario(BaseModel):
    """One scenario, as `scenarios.json` holds it.

    Attributes:
        id: the kind, ``-`` and a number, unique.
        kind: what happens.
        servers: ids of the servers.
        posted: time of the request.
        start: the first step that differs, on the grid; later than every step that was delivered by then.
        ramp_seconds: time from the start until full size.
        ending: the end on every server that is not released; before ``start`` if cancelled before it started.
        cancelled: whether a user ended it.
        released: servers that a later `healthy` scenario released, each with its end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(pattern=r"-\d+$")
    kind: ScenarioKind
    servers: tuple[str, ...]
    posted: float
    start: int = Field(multiple_of=STEP_SECONDS)
    ramp_seconds: int = Field(gt=0)
    ending: Ending
    cancelled: bool = False
    released: tuple[tuple[str, Ending], ...] = ()

    @property
    def number(self) -> int:
        """The number at the end of the id."""
        return int(self.id.rpartition("-")[2])

    @property
    def last_step(self) -> int:
        """The last step that can differ because of the scenario."""
        if self.kind is ScenarioKind.HEALTHY:
            # an incident that it prevented would have lasted less than a week
            return self.ending.until + WEEK_SECONDS
        return max([self.ending.last_step, *(ending.last_step for _, ending in self.released)])

    @property
    def happens(self) -> bool:
        """Whether it changes any step; false if it was cancelled before it started."""
        return self.start <= self.ending.until

    def ending_on(self, server: str) -> Ending:
        """Return the end on ``server``."""
        return min(self.ending, dict(self.released).get(server, self.ending))

    def touches(self, start: int, end: int) -> bool:
        """Return whether it can change a step in ``start .. end`` (epoch seconds, both included)."""
        return self.happens and self.start <= end and self.last_step >= start

    def state_at(self, now: float) -> ScenarioState:
        """Return the state at ``now`` (epoch seconds)."""
        if not self.happens:
            return ScenarioState.ENDED
        if now < self.start:
            return ScenarioState.WAITING
        if now < self.ending.until + STEP_SECONDS and not self.cancelled:
            return ScenarioState.ACTIVE
        return ScenarioState.RECOVERING if now < self.ending.last_step + STEP_SECONDS else ScenarioState.ENDED

    def status(self, now: float) -> "ScenarioStatus":
        """Return the record with its state at ``now`` (epoch seconds)."""
        return ScenarioStatus(**dict(self), state=self.state_at(now))

    def cancelled_at(self, newest: int) -> "Scenario":
        """Return the scenario cancelled by a user, where ``newest`` is the newest delivered step."""
        return self.model_copy(update={"ending": Ending(newest, RECOVERY_SECONDS), "cancelled": True})

    def released_by(self, healthy: "Scenario", ending: Ending, now: float) -> "Scenario":
        """Return the scenario without the servers of ``healthy`` after ``ending``; cancelled if none is left."""
        if self.kind is ScenarioKind.HEALTHY or self.state_at(now) is ScenarioState.ENDED:
            return self
        freed = {name: ending for name in self.servers if name in healthy.servers}
        released = freed | dict(self.released)
        changes: dict[str, object] = {"released": tuple(released.items())}
        if freed and len(released) == len(self.servers) and self.ending.until > ending.until:
            changes |= {"ending": ending, "cancelled": True}
        return self.model_copy(update=changes)


class ScenarioStatus(Scenario):
    """A scenario with its state, as the API serves it; times are ISO 8601 texts (UTC).

    ``until`` is the last step before the servers recover; servers in ``released`` recovered earlier.
    """

    state: ScenarioState
    ramp_seconds: int = Field(gt=0, exclude=True)
    ending: Ending = Field(exclude=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ramp_minutes(self) -> float:
        """The time from the start until full size."""
        return self.ramp_seconds / 60

    @computed_field  # type: ignore[prop-decorator]
    @property
    def until(self) -> str:
        """The last step before the servers recover."""
        return as_text(max(self.ending.until, self.start - STEP_SECONDS))

    @field_serializer("posted", "start")
    def _time(self, seconds: float) -> str:
        return as_text(int(seconds))

    @field_serializer("released")
    def _names(self, released: tuple[tuple[str, Ending], ...]) -> list[str]:
        return [name for name, _ in released]


_FILE = TypeAdapter(tuple[Scenario, ...])


class Scenarios:
    """The scenarios of all simulated servers, stored in a file; safe to use from several threads.

    A delivered sample never changes: a scenario starts and ends after the newest delivered step.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path, self._now = path, now
        self._lock = threading.Lock()
        self._delivered_until = 0
        self._profiles: Mapping[str, str] = {}
        self._known = _read(path)

    def reconfigure(self, profiles: Mapping[str, str]) -> None:
        """Set the profile of every simulated server; empty without a simulator."""
        self._profiles = dict(profiles)

    def mark_delivered(self, until: int) -> None:
        """Record, before samples are computed, that they are delivered up to ``until`` (epoch seconds)."""
        with self._lock:
            self._delivered_until = max(self._delivered_until, floor_to_grid(until))

    def known(self) -> tuple[Scenario, ...]:
        """Return the scenarios that can change an undelivered step, and the newest of the others, oldest first."""
        return self._known

    def listed(self) -> tuple[ScenarioStatus, ...]:
        """Return the known scenarios with their states, newest first.

        Raises:
            NoSimulator: there is no simulator.
        """
        self._simulated()
        now = self._now()
        return tuple(each.status(now) for each in reversed(self._known))

    def post(self, request: ScenarioRequest) -> ScenarioStatus:
        """Start a scenario with the next step.

        Raises:
            NoSimulator: there is no simulator.
            BadScenario: a server or the profile does not exist, or the kind needs one and none is named.
            ScenarioRefused: too many scenarios are active.
            ScenariosNotWritten: the file cannot be written.
        """
        servers = self._selected(request)
        with self._lock:
            now = self._now()
            newest = self._newest(now)
            stored = self._with_room(now)
            number = 1 + max((each.number for each in self._known), default=0)
            ramp = DEFAULT_RAMP_MINUTES[request.kind] if request.ramp_minutes is None else request.ramp_minutes
            minutes = LONGEST_MINUTES if request.duration_minutes is None else request.duration_minutes
            scenario = Scenario(
                id=f"{request.kind.value}-{number}",
                kind=request.kind,
                servers=servers,
                posted=now,
                start=newest + STEP_SECONDS,
                ramp_seconds=max(STEP_SECONDS, round(ramp * 60)),
                ending=Ending(newest + max(STEP_SECONDS, floor_to_grid(minutes * 60)), RECOVERY_SECONDS),
            )
            if request.kind is ScenarioKind.HEALTHY:
                ending = Ending(newest, scenario.ramp_seconds)
                stored = [each.released_by(scenario, ending, now) for each in stored]
            self._store([*stored, scenario])
        _log.info("scenario_posted", id=scenario.id, servers=len(servers), start=as_text(scenario.start))
        return scenario.status(now)

    def cancel(self, name: str) -> ScenarioStatus:
        """End the scenario with the id ``name``; its servers recover from the next step on.

        Raises:
            NoSimulator: there is no simulator.
            NoSuchScenario: no scenario has that id.
            ScenarioRefused: it has ended already.
            ScenariosNotWritten: the file cannot be written.
        """
        self._simulated()
        with self._lock:
            now = self._now()
            found = next((each for each in self._known if each.id == name), None)
            if found is None:
                raise NoSuchScenario(f"no scenario {_short(name)}; GET /api/v1/scenarios lists them")
            newest = self._newest(now)
            if newest >= found.ending.until or not found.happens:
                raise ScenarioRefused(f"scenario {name} has ended already")
            ended = found.cancelled_at(newest)
            self._store(ended if each is found else each for each in self._known)
        _log.info("scenario_cancelled", id=name, until=as_text(newest))
        return ended.status(now)

    def _newest(self, now: float) -> int:
        return max(floor_to_grid(now), self._delivered_until)

    def _simulated(self) -> Mapping[str, str]:
        if not self._profiles:
            raise NoSimulator("no source is of type simulator; scenarios need simulated servers")
        return self._profiles

    def _selected(self, request: ScenarioRequest) -> tuple[str, ...]:
        """Return the ids of the servers that the request selects."""
        profiles = self._simulated()
        if request.servers is not None and request.profile is not None:
            raise BadScenario("name servers or a profile, not both")
        if request.servers is not None:
            unknown = [name for name in request.servers if name not in profiles]
            if unknown:
                names, known = _listing(map(_short, unknown), 5), _listing(sorted(profiles))
                raise BadScenario(f"{names}: no simulated server; use {known}")
            return tuple(dict.fromkeys(request.servers))
        if request.profile is not None:
            selected = tuple(name for name, profile in profiles.items() if profile == request.profile)
            if not selected:
                present = _listing(sorted(set(profiles.values())))
                raise BadScenario(f"{_short(request.profile)}: no simulated server has that profile; use {present}")
            return selected
        if request.kind not in KINDS_FOR_ALL:
            kinds = _listing(KINDS_FOR_ALL)
            raise BadScenario(f"{request.kind.value} needs servers or a profile; only {kinds} can apply to all servers")
        return tuple(profiles)

    def _with_room(self, now: float) -> list[Scenario]:
        """Return the known scenarios with room for one more: the oldest that change no later step are left out."""
        active = [each for each in self._known if each.state_at(now) is not ScenarioState.ENDED]
        if len(active) >= MOST_ACTIVE:
            raise ScenarioRefused(f"{len(active)} scenarios are active, the maximum is {MOST_ACTIVE}")
        over = [each for each in self._known if not each.happens or each.last_step <= self._delivered_until]
        surplus = len(self._known) + 1 - MOST_STORED
        if surplus > len(over):
            raise ScenarioRefused(f"the last {MOST_STORED} scenarios are not over yet; try again later")
        dropped = over[: max(0, surplus)]
        return [each for each in self._known if each not in dropped]

    def _store(self, scenarios: Iterable[Scenario]) -> None:
        stored = tuple(scenarios)
        try:
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(_FILE.dump_json(stored, indent=1) + b"\n")
        except OSError as error:
            raise ScenariosNotWritten(f"{self._path}: {reason_of(error)}") from error
        self._known = stored


def _read(path: Path) -> tuple[Scenario, ...]:
    try:
        return _FILE.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error.errors()[0]["msg"])
        _log.error("scenarios_unreadable", file=str(path), reason=reason, consequence="no scenario is active")
        return ()


def _short(value: object) -> str:
    return repr(value)[:_MOST_CHARACTERS_IN_ERROR]


def _listing(names: Iterable[str], most: int = _MOST_NAMES_IN_ERROR) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" * (len(listed) > most))
