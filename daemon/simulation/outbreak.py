"""Which incidents happen when: drawn by server and week, long before anything is known of their outcome."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from daemon.core.series import STEP_SECONDS, STEPS_PER_HOUR, STEPS_PER_WEEK, Float32, floor_to_grid
from daemon.simulation.events import Reboots
from daemon.simulation.incident import CASCADE, KINDS, SUDDEN_HOURS, IncidentKind
from daemon.simulation.noise import Purpose
from daemon.simulation.profile import PROFILES, Range
from daemon.simulation.spec import Server

UPSTREAM: Mapping[str, str] = {
    "web_api": "database",
    "data_ingest": "database",
    "risk_analytics": "data_ingest",
    "conductor_mgmt": "web_api",
}
CALLERS = 2


def callers(servers: Sequence[Server]) -> dict[int, tuple[int, ...]]:
    """Return the rows of the servers that depend on each row.

    Of each profile two servers share one upstream, by number: the third and the fourth web server call the second
    database. One whose upstream is not in the fleet calls nobody; a fleet that grows keeps the dependencies it had.
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


DAY_SECONDS = 86_400
WEEK_SECONDS = STEPS_PER_WEEK * STEP_SECONDS
MOST_PER_WEEK = 4
RAMP_PIECES = 8
LAG_STEPS = (2, 12)
CACHED_WEEKS = 6


@dataclass(frozen=True, kw_only=True)
class Outbreak:
    """An incident before its outcome is known.

    Attributes:
        row: the server's row in the fleet.
        kind: one of KINDS.
        start: the first step that it changes, epoch seconds on the grid.
        end: the last one.
        ramp_seconds: from start to full size.
        knots: the way up, from 0 to 1, at equal distances in time; it stalls and hurries.
        peak: where the metric is heading.
        cause: in words.
        recovery_seconds: from the repair until nothing is left of it, up to its end; it falls evenly.
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
        """Return how far it has come at each time, from 0 to 1; ``(steps,)``."""
        age = (timestamps - self.start + STEP_SECONDS) / self.ramp_seconds
        grown = np.interp(age, np.linspace(0, 1, len(self.knots)), self.knots)
        grown *= np.clip((self.end + STEP_SECONDS - timestamps) / (self.recovery_seconds + STEP_SECONDS), 0, 1)
        return np.where((timestamps >= self.start) & (timestamps <= self.end), grown, 0).astype(np.float32)

    def overlaps(self, others: Iterable["Outbreak"]) -> bool:
        """Return whether it changes a step of the same server that one of the others changes."""
        return any(self.row == one.row and self.start <= one.end and self.end >= one.start for one in others)


class Outbreaks:
    """All incidents of a fleet: each server's own, and those that follow from another server's."""

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
        self._sampled = lru_cache(maxsize=CACHED_WEEKS)(self._draw)
        self._own = lru_cache(maxsize=CACHED_WEEKS)(self._draw_own)
        self._followed = lru_cache(maxsize=CACHED_WEEKS)(self._follow)
        self._week = lru_cache(maxsize=CACHED_WEEKS)(self._settle)

    def between(self, start: int, end: int) -> list[Outbreak]:
        """Return those that change a step in ``start .. end`` (epoch seconds, both included), by start and row."""
        # None lasts as long as a week, so the week before the first is enough.
        weeks = range(start // WEEK_SECONDS - 1, end // WEEK_SECONDS + 1)
        found = [one for week in weeks for one in self._week(week) if one.start <= end and one.end >= start]
        return sorted(found, key=lambda one: (one.start, one.row))

    # Two at once on one server would leave the truth of either in doubt. Whoever yields is decided with no more than
    # what is drawn for the weeks around, so that every span asked for agrees on it.

    def _settle(self, week: int) -> tuple[Outbreak, ...]:
        """Return the incidents that begin in that week: a server's own ones stand, those that follow yield."""
        own = [one for each in (week - 1, week, week + 1) for one in self._own(each)]
        earlier = [*own, *self._followed(week - 1)]
        kept: list[Outbreak] = []
        for one in self._followed(week):
            if not one.overlaps(earlier) and not one.overlaps(kept):
                kept.append(one)
        return (*self._own(week), *kept)

    def _draw_own(self, week: int) -> tuple[Outbreak, ...]:
        before = self._sampled(week - 1)
        return tuple(one for one in self._sampled(week) if not one.overlaps(before))

    def _draw(self, week: int) -> tuple[Outbreak, ...]:
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
        """Return the outbreak as far as it gets: a process that is started anew has forgotten what it leaked."""
        if self._reboots is None or not self._kinds[one.kind].reboot_ends:
            return one
        at = self._reboots.first_between(one.row, one.start, one.end)
        return one if at is None else replace(one, end=at - STEP_SECONDS, recovery_seconds=0)

    def _follow(self, week: int) -> tuple[Outbreak, ...]:
        """Return what that week's incidents do to the servers that depend on theirs, nearest first."""
        return tuple(one for origin in self._own(week) for one in self._spread(origin))

    def _spread(self, origin: Outbreak) -> Iterator[Outbreak]:
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
        """Return what ``upstream`` does to a server that calls its: the same course, later."""
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
    """Return the share of each kind among the server's own incidents; nothing if it can have none."""
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
    # drawn whatever comes of it: with another chance of repair all else stays the same
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
    """Return when the server's first batch run is usually over, on the day of the given time."""
    run = server.work[0]
    seconds = (run.start_hour % 24 + run.hours) * 3600
    return day_of // DAY_SECONDS * DAY_SECONDS + floor_to_grid(seconds)


def _log_uniform(limits: Range, random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(np.log(limits[0]), np.log(limits[1]))))
