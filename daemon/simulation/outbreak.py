"""The incidents of a fleet before their outcome is known: sampled by server and week, and spread to callers.

`Outbreak` is one incident on one server. `callers` gives the servers that depend on each other. `Outbreaks` samples
the incidents of every server, spreads some of them as cascades, and keeps at most one at a time on a server.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from daemon.core.series import (
    DAY_SECONDS,
    STEP_SECONDS,
    STEPS_PER_HOUR,
    STEPS_PER_WEEK,
    WEEK_SECONDS,
    Float32,
    floor_to_grid,
)
from daemon.simulation.events import Reboots
from daemon.simulation.incident import CASCADE, KINDS, SUDDEN_HOURS, IncidentKind
from daemon.simulation.noise import Purpose
from daemon.simulation.profile import PROFILES, Range
from daemon.simulation.spec import Server

# upper limit of incidents that are sampled for one server and week
MOST_PER_WEEK = 4
# a ramp has pieces of different slope
RAMP_PIECES = 8
CACHED_WEEKS = 6

# cascades: the profile that each profile calls, the callers of one server, and the range of the delay
UPSTREAM: Mapping[str, str] = {
    "web_api": "database",
    "data_ingest": "database",
    "risk_analytics": "data_ingest",
    "conductor_mgmt": "web_api",
}
CALLERS = 2
LAG_STEPS = (2, 12)


@dataclass(frozen=True, kw_only=True)
class Outbreak:
    """An incident before its outcome is known.

    Attributes:
        row: the row of the server in the fleet.
        kind: one of KINDS.
        start: the first step that it changes, epoch seconds on the grid.
        end: the last step that it changes.
        ramp_seconds: time from start to full size.
        knots: size during the ramp at equal distances in time, from 0 to 1.
        peak: level of the metric at full size, in its unit.
        cause: the cause in words.
        recovery_seconds: time from the repair to the end; the size falls evenly to zero.
    """

    row: int
    kind: str
    start: int
    end: int
    ramp_seconds: float
    knots: tuple[float, ...]
    peak: float
    cause: str
    recovery_seconds: int

    def size(self, timestamps: npt.NDArray[np.int64]) -> Float32:
        """Return the size at each time (epoch seconds), 0 to 1; ``(steps,)``."""
        age = (timestamps - self.start + STEP_SECONDS) / self.ramp_seconds
        grown = np.interp(age, np.linspace(0, 1, len(self.knots)), self.knots)
        grown *= np.clip((self.end + STEP_SECONDS - timestamps) / (self.recovery_seconds + STEP_SECONDS), 0, 1)
        return np.where((timestamps >= self.start) & (timestamps <= self.end), grown, 0).astype(np.float32)

    def overlaps(self, others: Iterable["Outbreak"]) -> bool:
        """Return whether one of ``others`` changes a step of the same server that this one changes."""
        return any(self.row == one.row and self.start <= one.end and self.end >= one.start for one in others)


def callers(servers: Sequence[Server]) -> dict[int, tuple[int, ...]]:
    """Return, by row of a server, the rows of the servers that call it.

    Two servers of a profile share one upstream server, by number: the third and the fourth web server call the second
    database. A server without an upstream server in the fleet calls none. A fleet that grows keeps its dependencies.
    """
    rows: dict[str, list[int]] = {}
    for row, server in enumerate(servers):
        rows.setdefault(server.profile, []).append(row)
    found: dict[int, list[int]] = {}
    for profile, upstream in UPSTREAM.items():
        for number, row in enumerate(rows.get(profile, ())):
            called = rows.get(upstream, [])[number // CALLERS :][:1]
            for each in called:
                found.setdefault(each, []).append(row)
    return {row: tuple(calling) for row, calling in found.items()}


class Outbreaks:
    """All incidents of a fleet: the own ones of each server, and the cascades that spread from other servers.

    A server never has two incidents at once, because the truth about each would be unclear. Which one is left out
    follows from the neighbouring weeks alone, so that every span gives the same answer.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        per_server_week: float,
        kinds: Mapping[str, IncidentKind] = KINDS,
        reboots: Reboots | None = None,
    ) -> None:
        self._servers = tuple(servers)
        self._rate = per_server_week
        self._kinds = kinds
        self._reboots = reboots
        self._callers = callers(servers)
        self._chances = [_chances(server, kinds) for server in servers]
        self._sampled = lru_cache(maxsize=CACHED_WEEKS)(self._sample)
        self._own = lru_cache(maxsize=CACHED_WEEKS)(self._sample_own)
        self._cascades = lru_cache(maxsize=CACHED_WEEKS)(self._spread_week)
        self._week = lru_cache(maxsize=CACHED_WEEKS)(self._settle)

    def between(self, start: int, end: int) -> list[Outbreak]:
        """Return those that change a step in ``start .. end`` (epoch seconds, both included), by start and row."""
        # every incident is shorter than a week, so the week before the first is enough
        weeks = range(start // WEEK_SECONDS - 1, end // WEEK_SECONDS + 1)
        found = [one for week in weeks for one in self._week(week) if one.start <= end and one.end >= start]
        return sorted(found, key=lambda one: (one.start, one.row))

    def _settle(self, week: int) -> tuple[Outbreak, ...]:
        """Return the incidents that start in ``week``; a cascade is left out where it overlaps another incident."""
        own = [one for each in (week - 1, week, week + 1) for one in self._own(each)]
        earlier = [*own, *self._cascades(week - 1)]
        kept: list[Outbreak] = []
        for one in self._cascades(week):
            if not one.overlaps(earlier) and not one.overlaps(kept):
                kept.append(one)
        return (*self._own(week), *kept)

    def _sample_own(self, week: int) -> tuple[Outbreak, ...]:
        before = self._sampled(week - 1)
        return tuple(one for one in self._sampled(week) if not one.overlaps(before))

    def _sample(self, week: int) -> tuple[Outbreak, ...]:
        if not self._rate:
            return ()
        return tuple(one for row in range(len(self._servers)) for one in self._of_server(row, week))

    def _of_server(self, row: int, week: int) -> list[Outbreak]:
        server, chances = self._servers[row], self._chances[row]
        random = server.key.generator(Purpose.INCIDENTS, week)
        kept: list[Outbreak] = []
        for _ in range(min(random.poisson(self._rate), MOST_PER_WEEK) if chances else 0):
            name = str(random.choice(list(chances), p=list(chances.values())))
            one = self._until_reboot(_outbreak(row, server, name, kind=self._kinds[name], week=week, random=random))
            if one.end >= one.start and not one.overlaps(kept):
                kept.append(one)
        return kept

    def _until_reboot(self, one: Outbreak) -> Outbreak:
        """Return the outbreak up to the next reboot if a reboot ends its kind."""
        if self._reboots is None or not self._kinds[one.kind].reboot_ends:
            return one
        at = self._reboots.first_between(one.row, one.start, one.end)
        return one if at is None else replace(one, end=at - STEP_SECONDS, recovery_seconds=0)

    def _spread_week(self, week: int) -> tuple[Outbreak, ...]:
        """Return the cascades that follow from the own incidents of ``week``."""
        return tuple(one for origin in self._own(week) for one in self._spread(origin))

    def _spread(self, origin: Outbreak) -> Iterator[Outbreak]:
        """Yield the cascades on direct and indirect callers of the server, nearest first."""
        server = self._servers[origin.row]
        cascade = self._kinds[CASCADE]
        chance = self._kinds[origin.kind].spread_chance * cascade.weight
        random = server.key.generator(Purpose.CASCADE, origin.start // STEP_SECONDS)
        reached = [replace(origin, cause=f"{origin.kind} on {server.id}: {origin.cause}")]
        if random.random() >= chance:
            return
        for one in reached:
            for row in self._callers.get(one.row, ()):
                caught = self._caught(one, row, cascade.peak)
                reached.append(caught)
                yield caught

    def _caught(self, upstream: Outbreak, row: int, peak: Range) -> Outbreak:
        """Return the cascade on a caller: the time course of ``upstream``, some steps later, with its own peak."""
        random = self._servers[row].key.generator(Purpose.CASCADE, upstream.start // STEP_SECONDS)
        shortest, longest = LAG_STEPS
        lag = int(random.integers(shortest, longest + 1)) * STEP_SECONDS
        return replace(
            upstream,
            row=row,
            kind=CASCADE,
            start=upstream.start + lag,
            end=upstream.end + lag,
            peak=float(random.uniform(*peak)),
        )


def _chances(server: Server, kinds: Mapping[str, IncidentKind]) -> dict[str, float]:
    """Return the probability of each kind among the own incidents of a server; empty if it can have none."""
    weights = {name: weight * kinds[name].weight for name, weight in PROFILES[server.profile].incidents.items()}
    lacking = ((not server.has_gpu) * ["gpu_mem_used_pct"]) + ((not server.has_swap) * ["swap_used_pct"])
    weights = {name: weight for name, weight in weights.items() if weight > 0 and kinds[name].metric not in lacking}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def _outbreak(
    row: int, server: Server, name: str, *, kind: IncidentKind, week: int, random: np.random.Generator
) -> Outbreak:
    start = week * WEEK_SECONDS + int(random.integers(STEPS_PER_WEEK)) * STEP_SECONDS
    if name == "failed_batch":
        start = _when_a_run_should_be_over(server, start)
    sudden = random.random() < kind.sudden_chance
    ramp_steps = max(1.0, _log_uniform(SUDDEN_HOURS if sudden else kind.ramp_hours, random) * STEPS_PER_HOUR)
    hold_steps = _log_uniform(kind.hold_hours, random) * STEPS_PER_HOUR
    pieces = random.dirichlet(np.full(RAMP_PIECES, 3.0)) if ramp_steps > RAMP_PIECES else np.full(RAMP_PIECES, 1 / 8)
    bend = np.exp(0.35 * random.standard_normal())
    knots = np.concatenate([[0.0], np.cumsum(pieces)]) ** bend
    # sampled in every case, so that another chance of repair changes nothing else
    repaired_at, luck = random.uniform(0.3, 0.95), random.random()
    repaired = luck < kind.repair_chance and not sudden
    steps = ramp_steps * repaired_at if repaired else ramp_steps + hold_steps
    peak, cause = float(random.uniform(*kind.peak)), str(random.choice(kind.causes))
    recovery = round(_log_uniform(kind.recovery_hours, random) * STEPS_PER_HOUR) * STEP_SECONDS
    return Outbreak(
        row=row,
        kind=name,
        start=start,
        end=start + max(1, round(steps)) * STEP_SECONDS + recovery,
        ramp_seconds=ramp_steps * STEP_SECONDS,
        knots=tuple(float(knot) for knot in knots),
        peak=peak,
        cause=cause,
        recovery_seconds=recovery,
    )


def _when_a_run_should_be_over(server: Server, day_of: int) -> int:
    """Return the usual end of the server's first batch run (epoch seconds), on the day of ``day_of``."""
    run = server.work[0]
    seconds = (run.start_hour % 24 + run.hours) * 3600
    return day_of // DAY_SECONDS * DAY_SECONDS + floor_to_grid(seconds)


def _log_uniform(limits: Range, random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(np.log(limits[0]), np.log(limits[1]))))
