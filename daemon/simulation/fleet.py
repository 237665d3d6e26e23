import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from math import ceil

import numpy as np

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY, ceil_to_grid, floor_to_grid
from daemon.domain.series import Float32, Panel, SeriesKey
from daemon.simulation.day import Day, DayMaker
from daemon.simulation.incident import Incident, IncidentKind
from daemon.simulation.outbreak import Outbreak, Outbreaks
from daemon.simulation.reboot import Reboots
from daemon.simulation.response import METRICS
from daemon.simulation.scenario import Scenario
from daemon.simulation.scenario_outbreaks import with_scenarios
from daemon.simulation.server import Server, servers_of
from daemon.simulation.spec import FleetSpec
from daemon.simulation.truth import judged
from daemon.simulation.work import DAY_SECONDS

# Written or asked for at once.
SPAN_DAYS = 3
GPU_METRICS = ("gpu_util_pct", "gpu_mem_used_pct")
SWAP_METRICS = ("swap_used_pct",)


class Fleet:
    """A fleet of simulated servers, the same at every time however it is asked.

    A value depends on the seed, the server, the metric and the time alone, so a live tick equals the same tick
    of a month written at once. Safe to use from several threads.

    Scenarios change what comes after they were posted; ``scenarios`` is asked anew for each answer.
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

        An incident that is under way at either end is told whole.
        """
        scenarios = self._scenarios()
        touching = [each for each in scenarios if each.touches(start, end)]
        found = with_scenarios(self._outbreaks.between(start, end), touching, self.servers, start, end)
        return [self._judged(one, scenarios) for one in found]

    def to_json(self) -> str:
        """Return all parameters, those of every server too, as JSON."""
        document = {
            "spec": asdict(self.spec),
            "incident_kinds": {name: asdict(kind) for name, kind in self.spec.kinds.items()},
            "servers": [_described(server) for server in self.servers],
        }
        return json.dumps(document, indent=2) + "\n"

    def _made(self, day: int, scenarios: Sequence[Scenario]) -> Day:
        # those that touch a day are part of what it is kept by, so none is kept that a scenario has made untrue
        start, end = day * DAY_SECONDS, (day + 1) * DAY_SECONDS - STEP_SECONDS
        return self._day(day, tuple(each for each in scenarios if each.touches(start, end)))

    def _observed(self, day: Day, inside: slice) -> Float32:
        complete = day.complete[self._rows, self._columns, inside]
        return np.where(day.lost[self._rows, self._columns, inside], np.float32(np.nan), complete)

    def _judged(self, one: Outbreak, scenarios: Sequence[Scenario]) -> Incident:
        kind = self.spec.kinds[one.kind]
        column = METRICS.index(kind.metric)
        numbers = range(one.start // DAY_SECONDS, one.end // DAY_SECONDS + 1)
        days = [self._made(day, scenarios) for day in numbers]
        first = (one.start - days[0].start) // STEP_SECONDS
        inside = slice(first, first + (one.end - one.start) // STEP_SECONDS + 1)
        actual = np.concatenate([day.complete[one.row, column] for day in days])[inside]
        calm = np.concatenate([day.calm[one.row, column] for day in days])[inside]
        return judged(one, self.servers[one.row].id, kind, actual, calm)


def _cached_days(kinds: Mapping[str, IncidentKind]) -> int:
    """Return how many days to keep: a span, and on either side those that an incident in it may reach."""
    longest_hours = max(kind.ramp_hours[1] + kind.hold_hours[1] + kind.recovery_hours[1] for kind in kinds.values())
    return SPAN_DAYS + 2 * ceil(longest_hours / 24) + 1


def _days(first: int, steps: int) -> Iterator[tuple[int, slice]]:
    """Yield the number of every day touched and its steps."""
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
    for random in (record, record["disk_fill"], record["memory_fill"]):
        del random["key"]
    return record
