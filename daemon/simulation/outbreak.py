"""Which incidents happen when: drawn by server and week, long before anything is known of their outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_HOUR, STEPS_PER_WEEK
from daemon.domain.series import Float32
from daemon.simulation.incident import KINDS
from daemon.simulation.profile import PROFILES
from daemon.simulation.randomness import Purpose
from daemon.simulation.server import Server

WEEK_SECONDS = STEPS_PER_WEEK * STEP_SECONDS
MOST_PER_WEEK = 4
RAMP_PIECES = 8
CACHED_WEEKS = 4


@dataclass(frozen=True)
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
    """

    row: int
    kind: str
    start: int
    end: int
    ramp_seconds: float
    knots: tuple[float, ...]
    peak: float
    cause: str

    def size(self, timestamps: npt.NDArray[np.int64]) -> Float32:
        """Return how far it has come at each time, from 0 to 1; ``(steps,)``."""
        age = (timestamps - self.start + STEP_SECONDS) / self.ramp_seconds
        grown = np.interp(age, np.linspace(0, 1, len(self.knots)), self.knots)
        return np.where((timestamps >= self.start) & (timestamps <= self.end), grown, 0).astype(np.float32)


class Outbreaks:
    """All incidents of a fleet."""

    def __init__(self, servers: Sequence[Server], per_server_week: float) -> None:
        self._servers = tuple(servers)
        self._rate = per_server_week
        self._week = lru_cache(maxsize=CACHED_WEEKS)(self._draw)

    def between(self, start: int, end: int) -> list[Outbreak]:
        """Return those that change a step in ``start .. end`` (epoch seconds, both included), by start and row."""
        # None lasts as long as a week, so the week before the first is enough.
        weeks = range(start // WEEK_SECONDS - 1, end // WEEK_SECONDS + 1)
        found = [one for week in weeks for one in self._week(week) if one.start <= end and one.end >= start]
        return sorted(found, key=lambda one: (one.start, one.row))

    def _draw(self, week: int) -> tuple[Outbreak, ...]:
        return tuple(
            outbreak for row, server in enumerate(self._servers) for outbreak in self._of_server(row, server, week)
        )

    def _of_server(self, row: int, server: Server, week: int) -> list[Outbreak]:
        random = server.key.generator(Purpose.INCIDENTS, week)
        kept: list[Outbreak] = []
        for _ in range(min(random.poisson(self._rate), MOST_PER_WEEK)):
            one = _outbreak(row, server, week, random)
            # Two at once on one server would leave the truth of either in doubt.
            if all(one.start > other.end or one.end < other.start for other in kept):
                kept.append(one)
        return kept


def _outbreak(row: int, server: Server, week: int, random: np.random.Generator) -> Outbreak:
    weights = PROFILES[server.profile].incidents
    chances = np.array(list(weights.values())) / sum(weights.values())
    name = str(random.choice(list(weights), p=chances))
    kind = KINDS[name]
    start = week * WEEK_SECONDS + int(random.integers(STEPS_PER_WEEK)) * STEP_SECONDS
    ramp_steps = max(1.0, _log_uniform(kind.ramp_hours, random) * STEPS_PER_HOUR)
    hold_steps = _log_uniform(kind.hold_hours, random) * STEPS_PER_HOUR
    pieces = random.dirichlet(np.full(RAMP_PIECES, 3.0)) if ramp_steps > RAMP_PIECES else np.full(RAMP_PIECES, 1 / 8)
    bend = np.exp(0.35 * random.standard_normal())
    knots = np.concatenate([[0.0], np.cumsum(pieces)]) ** bend
    repaired_at = random.uniform(0.3, 0.95) if random.random() < kind.repair_chance else None
    steps = ramp_steps + hold_steps if repaired_at is None else ramp_steps * repaired_at
    return Outbreak(
        row,
        name,
        start,
        start + max(1, round(steps)) * STEP_SECONDS,
        ramp_steps * STEP_SECONDS,
        tuple(float(knot) for knot in knots),
        float(random.uniform(*kind.peak)),
        str(random.choice(kind.causes)),
    )


def _log_uniform(limits: tuple[float, float], random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(np.log(limits[0]), np.log(limits[1]))))
