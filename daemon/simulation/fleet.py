"""A fleet of simulated servers: the values of any span, and the truth about the incidents in it.

Everything is made one UTC day at a time: `DayMaker` makes a day without the days before it, `incident_of` compares an
outbreak with the same day without incidents, and `Fleet` joins days to the span of a request.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from math import ceil

import numpy as np
import numpy.typing as npt

from daemon.core.series import (
    DAY_SECONDS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    Float32,
    Panel,
    SeriesKey,
    ceil_to_grid,
    floor_to_grid,
)
from daemon.simulation.disturbance import Disturbance, disturb
from daemon.simulation.events import Fills, Growth, Reboots, Releases, lost_samples
from daemon.simulation.incident import Incident, IncidentKind
from daemon.simulation.noise import Component, Key, NoiseField, NoiseShape, Wander
from daemon.simulation.outbreak import Outbreak, Outbreaks
from daemon.simulation.profile import PROFILES, Traits, stack
from daemon.simulation.response import METRICS, Load, respond
from daemon.simulation.scenario import Scenario
from daemon.simulation.scenario_outbreaks import with_scenarios
from daemon.simulation.spec import FleetSpec, Server, servers_of
from daemon.simulation.work import Schedule, Workdays, expected_traffic

# days of one request or row group
SPAN_DAYS = 3
GPU_METRICS = ("gpu_util_pct", "gpu_mem_used_pct")
SWAP_METRICS = ("swap_used_pct",)
# an incident is predictable if it is visible half an hour before its breach
NOTICE_SECONDS = 1800
NOTICE_STEPS = NOTICE_SECONDS // STEP_SECONDS
VISIBLE_SHARE = 0.1
# probability per step that the GPU waits for data
STALL_CHANCE = 0.004


@dataclass(frozen=True)
class Day:
    """A day of every server; the arrays are ``(servers, metrics, steps)``.

    Attributes:
        start: epoch seconds (UTC) of the first step.
        complete: the values, without gaps.
        calm: the values without incidents.
        lost: whether a sample is lost.
    """

    start: int
    complete: Float32
    calm: Float32
    lost: npt.NDArray[np.bool_]


class DayMaker:
    """Makes any day of a fleet without the days before it."""

    def __init__(self, spec: FleetSpec, servers: Sequence[Server], outbreaks: Outbreaks, reboots: Reboots) -> None:
        self._spec = spec
        self._servers = tuple(servers)
        self._outbreaks = outbreaks
        self._reboots = reboots
        self._keys = tuple(server.key for server in servers)
        self._traits: Traits[Float32] = stack([server.traits for server in servers])
        names = sorted({server.profile for server in servers})
        self._profile_rows = np.array([names.index(server.profile) for server in servers]) + len(servers)
        subjects = self._keys + tuple(Key.of(spec.seed, f"profile {name}") for name in names)
        self._noise = NoiseField(subjects, _noise_shape(self._traits, len(names)))
        self._wander = Wander(subjects)
        self._workdays = Workdays.of(spec.holidays)
        ratios = [spec.month_turn_ratio if PROFILES[server.profile].closes_months else 1.0 for server in servers]
        self._schedule = Schedule.of(self._keys, [server.work for server in servers], ratios, self._workdays)
        self._releases = Releases(self._keys)
        self._disk_fills = Fills([server.disk_fill for server in servers])
        self._memory_fills = Fills([server.memory_fill for server in servers])
        self._growth = Growth.of(self._keys, spec.growth_pct_month)
        self._has_swap = np.array([server.has_swap for server in servers], dtype=np.float32)[:, None]

    def make(self, day: int, scenarios: tuple[Scenario, ...] = ()) -> Day:
        """Return day number ``day`` (days since 1970-01-01), changed by ``scenarios``."""
        start = day * DAY_SECONDS
        timestamps = start + np.arange(STEPS_PER_DAY, dtype=np.int64) * STEP_SECONDS
        noise = self._noise.day(day)
        uptime = self._reboots.uptime(day)
        end = start + DAY_SECONDS - STEP_SECONDS
        outbreaks = with_scenarios(self._outbreaks.between(start, end), scenarios, self._servers, start, end)
        load = Load(
            traits=self._traits,
            expected=expected_traffic(self._traits.rhythm, day, self._workdays) * self._growth.ratio(day),
            wander=self._wander_of(day),
            noise=noise[:, : len(self._servers)],
            shared=self._shared(noise),
            work=self._schedule.effects(day),
            disturbance=disturb(outbreaks, self._traits, timestamps),
            release=self._releases.levels(day),
            disk_fill=self._disk_fills.levels(day),
            memory_fill=self._memory_fills.levels(day),
            has_swap=self._has_swap,
            warmth=uptime.warmth,
        )
        complete = respond(load)
        undisturbed = Disturbance.none(len(self._servers), STEPS_PER_DAY)
        calm = respond(replace(load, disturbance=undisturbed)) if outbreaks else complete
        return Day(start, complete, calm, self._lost(day) | uptime.down[:, None, :])

    def _shared(self, noise: Float32) -> Float32:
        """Return the noise of log traffic that the servers of a profile share, ``(servers, steps)``."""
        common = noise[:, self._profile_rows]
        own = self._traits.noise
        fast, middle = common[Component.TRAFFIC_FAST], common[Component.TRAFFIC_MIDDLE]
        shared: Float32 = own.fast * fast + own.middle * middle + own.slow * common[Component.TRAFFIC_SLOW]
        return shared

    def _wander_of(self, day: int) -> Float32:
        """Return the wander of log traffic, ``(servers, steps)``: the part of the server and that of its profile."""
        level, own = self._wander.level(day), self._traits.noise
        own_level, shared_level = level[: len(self._servers)], level[self._profile_rows]
        wander: Float32 = own.wander * (np.sqrt(1 - own.shared**2) * own_level + own.shared * shared_level)
        return wander

    def _lost(self, day: int) -> npt.NDArray[np.bool_]:
        rates = self._spec.missing_rate, self._spec.outages_per_server_week
        return np.stack([lost_samples(key, day, len(METRICS), *rates) for key in self._keys])


def _noise_shape(traits: Traits[Float32], profiles: int) -> NoiseShape:
    """Return the parameters of the noise: the rows of the servers, then those of the profiles, which have no bursts."""
    none, one = np.zeros((profiles, 1), np.float32), np.ones((profiles, 1), np.float32)
    per_step = traits.bursts.per_day / STEPS_PER_DAY
    stalls = np.full_like(per_step, STALL_CHANCE)
    return NoiseShape(
        memory_ratio=np.concatenate([traits.noise.memory_ratio, one]),
        burst_chance=np.concatenate([per_step, none]),
        disk_burst_chance=np.concatenate([per_step, none]),
        stall_chance=np.concatenate([stalls, none]),
        fade_steps=np.concatenate([traits.bursts.fade_steps, one]),
    )


def incident_of(one: Outbreak, server: str, kind: IncidentKind, actual: Float32, calm: Float32) -> Incident:
    """Return the truth about an outbreak.

    Args:
        one: the outbreak.
        server: the id of its server.
        kind: its kind, with the overrides of the fleet.
        actual: the metric of the kind from the first to the last step of the outbreak, in its unit, ``(steps,)``.
        calm: the same without incidents, ``(steps,)``.
    """
    past = actual > kind.critical
    step = int(past.argmax()) if past.any() else None
    breach = None if step is None else one.start + step * STEP_SECONDS
    precursor = had_precursor(one, kind.critical, actual, calm, step)
    return Incident(
        server=server,
        kind=one.kind,
        metric=kind.metric,
        start=one.start,
        breach=breach,
        end=one.end,
        cause=one.cause,
        precursor=precursor,
    )


def had_precursor(one: Outbreak, critical: float, actual: Float32, calm: Float32, breach: int | None) -> bool:
    """Return whether an outbreak was predictable; ``breach`` is the step of its breach, counted from its start.

    With a breach: at some step NOTICE_SECONDS or more before it, the contribution of the outbreak (``actual - calm``)
    was at least VISIBLE_SHARE of the distance to the critical level. The distance is measured from the mean of ``calm``
    from start to breach. Without a breach: the ramp takes at least NOTICE_SECONDS.
    """
    if breach is None:
        return one.ramp_seconds >= NOTICE_SECONDS
    early = slice(0, max(0, breach - NOTICE_STEPS + 1))
    distance = critical - float(calm[: breach + 1].mean())
    return bool(((actual - calm)[early] >= VISIBLE_SHARE * distance).any())


class Fleet:
    """A fleet of simulated servers as a function of time; safe to use from several threads.

    A value depends only on the seed, the server, the metric and the time. So a live tick equals the same tick in a file
    of a month. ``scenarios`` is called for each request; a scenario changes only later steps.
    """

    def __init__(self, spec: FleetSpec, scenarios: Callable[[], Sequence[Scenario]] = tuple) -> None:
        self.spec = spec
        self._scenarios = scenarios
        self.servers: tuple[Server, ...] = servers_of(spec)
        self.profiles: dict[str, str] = {server.id: server.profile for server in self.servers}
        owned = [(row, column) for row, server in enumerate(self.servers) for column in _columns(server)]
        self._rows, self._columns = (np.array(part, dtype=np.intp) for part in zip(*owned, strict=True))
        self.keys: tuple[SeriesKey, ...] = tuple(
            SeriesKey(self.servers[row].id, METRICS[column]) for row, column in owned
        )
        reboots = Reboots([server.key for server in self.servers], spec.reboots_per_server_week)
        self._outbreaks = Outbreaks(self.servers, spec.incidents_per_server_week, spec.kinds, reboots)
        maker = DayMaker(spec, self.servers, self._outbreaks, reboots)
        self._day = lru_cache(maxsize=_cached_days(spec.kinds))(maker.make)

    def panel(self, start: int, end: int) -> Panel:
        """Return every series at the grid times in ``start .. end`` (epoch seconds, both included)."""
        first = ceil_to_grid(start)
        steps = max(0, (floor_to_grid(end) - first) // STEP_SECONDS + 1)
        values = np.empty((len(self.keys), steps), dtype=np.float32)
        scenarios = self._scenarios()
        for day, inside in _days(first, steps):
            offset = (day * DAY_SECONDS - first) // STEP_SECONDS
            values[:, inside.start + offset : inside.stop + offset] = self._observed(self._made(day, scenarios), inside)
        return Panel(self.keys, first, values, self.profiles)

    def incidents(self, start: int, end: int) -> list[Incident]:
        """Return the incidents that change a step in ``start .. end`` (epoch seconds, both included), by start.

        An incident that is active at an edge of the span is returned with its whole length.
        """
        scenarios = self._scenarios()
        touching = [each for each in scenarios if each.touches(start, end)]
        found = with_scenarios(self._outbreaks.between(start, end), touching, self.servers, start, end)
        return [self._incident(one, scenarios) for one in found]

    def to_json(self) -> str:
        """Return all parameters, including those of every server, as JSON."""
        document = {
            "spec": asdict(self.spec),
            "incident_kinds": {name: asdict(kind) for name, kind in self.spec.kinds.items()},
            "servers": [_described(server) for server in self.servers],
        }
        return json.dumps(document, indent=2) + "\n"

    def _made(self, day: int, scenarios: Sequence[Scenario]) -> Day:
        # the scenarios that touch a day are part of the cache key, so that a new scenario makes a new day
        start, end = day * DAY_SECONDS, (day + 1) * DAY_SECONDS - STEP_SECONDS
        return self._day(day, tuple(each for each in scenarios if each.touches(start, end)))

    def _observed(self, day: Day, inside: slice) -> Float32:
        complete = day.complete[self._rows, self._columns, inside]
        return np.where(day.lost[self._rows, self._columns, inside], np.float32(np.nan), complete)

    def _incident(self, one: Outbreak, scenarios: Sequence[Scenario]) -> Incident:
        kind = self.spec.kinds[one.kind]
        column = METRICS.index(kind.metric)
        numbers = range(one.start // DAY_SECONDS, one.end // DAY_SECONDS + 1)
        days = [self._made(day, scenarios) for day in numbers]
        first = (one.start - days[0].start) // STEP_SECONDS
        inside = slice(first, first + (one.end - one.start) // STEP_SECONDS + 1)
        actual = np.concatenate([day.complete[one.row, column] for day in days])[inside]
        calm = np.concatenate([day.calm[one.row, column] for day in days])[inside]
        return incident_of(one, self.servers[one.row].id, kind, actual, calm)


def _cached_days(kinds: Mapping[str, IncidentKind]) -> int:
    """Return the number of days to cache: a span, and on each side the days that an incident in it can reach."""
    longest_hours = max(kind.ramp_hours[1] + kind.hold_hours[1] + kind.recovery_hours[1] for kind in kinds.values())
    return SPAN_DAYS + 2 * ceil(longest_hours / 24) + 1


def _days(first: int, steps: int) -> Iterator[tuple[int, slice]]:
    """Yield the number of every day in the span, and the slice of its steps."""
    position = first // STEP_SECONDS
    last = position + steps
    while position < last:
        day, begin = divmod(position, STEPS_PER_DAY)
        stop = min(STEPS_PER_DAY, begin + last - position)
        yield day, slice(begin, stop)
        position += stop - begin


def _columns(server: Server) -> list[int]:
    absent = (() if server.has_gpu else GPU_METRICS) + (() if server.has_swap else SWAP_METRICS)
    return [column for column, metric in enumerate(METRICS) if metric not in absent]


def _described(server: Server) -> dict[str, object]:
    record = asdict(server)
    for keyed in (record, record["disk_fill"], record["memory_fill"]):
        del keyed["key"]
    return record
