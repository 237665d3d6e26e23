"""One UTC day of the whole fleet: the unit in which everything is made, so that every span agrees on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY
from daemon.domain.series import Float32
from daemon.simulation.disturbance import Disturbance, disturb
from daemon.simulation.fill import Fills
from daemon.simulation.gap import missing
from daemon.simulation.growth import Growth
from daemon.simulation.noise import Component, NoiseField, NoiseShape
from daemon.simulation.outbreak import Outbreaks
from daemon.simulation.profile import PROFILES
from daemon.simulation.randomness import Key
from daemon.simulation.reboot import Reboots
from daemon.simulation.release import Releases
from daemon.simulation.response import METRICS, Load, respond
from daemon.simulation.rhythm import expected_traffic
from daemon.simulation.scenario import Scenario
from daemon.simulation.scenario_outbreaks import with_scenarios
from daemon.simulation.server import Server
from daemon.simulation.spec import FleetSpec
from daemon.simulation.traits import Traits, stack
from daemon.simulation.wander import Wander
from daemon.simulation.work import DAY_SECONDS, Schedule
from daemon.simulation.workdays import Workdays


@dataclass(frozen=True)
class Day:
    """A day of every server.

    Attributes:
        start: epoch seconds (UTC) of the first step.
        complete: ``(servers, metrics, steps)``, with nothing missing.
        calm: what it would have been without incidents, same shape.
        lost: which of them never arrived, same shape.
    """

    start: int
    complete: Float32
    calm: Float32
    lost: npt.NDArray[np.bool_]


class DayMaker:
    """Makes any day of a fleet without making the days before it."""

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
        """Return the day of that number (days since 1970-01-01), with what ``scenarios`` change of it."""
        start = day * DAY_SECONDS
        timestamps = start + np.arange(STEPS_PER_DAY, dtype=np.int64) * STEP_SECONDS
        noise = self._noise.day(day)
        uptime = self._reboots.uptime(day)
        end = start + DAY_SECONDS - STEP_SECONDS
        outbreaks = with_scenarios(self._outbreaks.between(start, end), scenarios, self._servers, start, end)
        load = Load(
            traits=self._traits,
            expected=expected_traffic(self._traits.rhythm, day, self._workdays) * self._growth.ratio(day),
            wander=self._wandered(day),
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
        """Return the noise of log traffic that the servers of one profile have in common, scaled as their own."""
        common = noise[:, self._profile_rows]
        own = self._traits.noise
        fast, middle = common[Component.TRAFFIC_FAST], common[Component.TRAFFIC_MIDDLE]
        shared: Float32 = own.fast * fast + own.middle * middle + own.slow * common[Component.TRAFFIC_SLOW]
        return shared

    def _wandered(self, day: int) -> Float32:
        """Return how far log traffic has wandered, ``(servers, steps)``: a server's own and its profile's part."""
        level, own = self._wander.level(day), self._traits.noise
        mine, common = level[: len(self._servers)], level[self._profile_rows]
        wandered: Float32 = own.wander * (np.sqrt(1 - own.shared**2) * mine + own.shared * common)
        return wandered

    def _lost(self, day: int) -> npt.NDArray[np.bool_]:
        spec = self._spec
        return np.stack(
            [missing(key, day, len(METRICS), spec.missing_rate, spec.outages_per_server_week) for key in self._keys]
        )


def _noise_shape(traits: Traits[Float32], profiles: int) -> NoiseShape:
    """Return the shape of the servers' noise, with quiet rows for the noise that profiles share below them."""
    none, one = np.zeros((profiles, 1), np.float32), np.ones((profiles, 1), np.float32)
    per_step = traits.bursts.per_day / STEPS_PER_DAY
    stalls = np.full_like(per_step, 0.004)
    return NoiseShape(
        memory_ratio=np.concatenate([traits.noise.memory_ratio, one]),
        burst_chance=np.concatenate([per_step, none]),
        disk_burst_chance=np.concatenate([per_step, none]),
        stall_chance=np.concatenate([stalls, none]),
        fade_steps=np.concatenate([traits.bursts.fade_steps, one]),
    )
