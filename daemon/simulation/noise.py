"""Noise with memory and heavy tails, the same at a time whatever span is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from zlib import crc32

import numpy as np

from daemon.core.series import STEPS_PER_DAY, Float32

WORD = 2**64


class Purpose(IntEnum):
    """What a stream of random numbers is for; a new purpose leaves the numbers of the others as they were."""

    TRAITS = 1
    NOISE = 2
    WORK = 3
    FILL = 4
    RELEASE = 5
    INCIDENTS = 6
    GAPS = 7
    CASCADE = 8
    GROWTH = 9
    REBOOT = 10
    WANDER = 11


@dataclass(frozen=True)
class Key:
    """The root of one subject's random numbers; a subject is a server or a profile, by name.

    Named, not numbered, so that a server keeps its history when the fleet around it grows.
    """

    words: tuple[int, int]

    @classmethod
    def of(cls, seed: int, name: str) -> "Key":
        """Return the key of the subject ``name`` in a fleet of that seed."""
        first, second = np.random.SeedSequence([seed, crc32(name.encode())]).generate_state(2, np.uint64)
        return cls((int(first), int(second)))

    def generator(self, purpose: Purpose, period: int) -> np.random.Generator:
        """Return a fresh generator for ``purpose`` in the day, week or cycle number ``period``.

        Philox is counter-based (Salmon et al., 2011): any period is reached without the ones before it.
        """
        counter = np.array([0, 0, period % WORD, int(purpose)], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=np.array(self.words, dtype=np.uint64), counter=counter))


MEMORY_DAYS = 6.0
LOOK_BACK_DAYS = 60
AGES = np.arange(LOOK_BACK_DAYS)
FADED = (AGES + 1) * np.exp(-AGES / MEMORY_DAYS)
WEIGHTS: Float32 = (FADED / np.linalg.norm(FADED)).astype(np.float32)


class Wander:
    """A second-order autoregression of daily numbers for each subject, with straight lines between the midnights.

    Both roots are exp(-1 / MEMORY_DAYS), so that its direction lasts too: a level drifts for days rather than jumps.
    What is older than LOOK_BACK_DAYS has faded to less than a hundredth, so a day needs no more to be made alone.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self._sampled = lru_cache(maxsize=LOOK_BACK_DAYS + 2)(self._draw)

    def level(self, day: int) -> Float32:
        """Return the level at every step of ``day``, ``(subjects, steps)``, of unit variance at midnight."""
        share = np.linspace(0, 1, STEPS_PER_DAY, endpoint=False, dtype=np.float32)
        level: Float32 = self._midnight(day) * (1 - share) + self._midnight(day + 1) * share
        return level

    def _midnight(self, day: int) -> Float32:
        before = np.stack([self._sampled(day - age) for age in range(LOOK_BACK_DAYS)])
        level: Float32 = (WEIGHTS @ before)[:, None]
        return level

    def _draw(self, day: int) -> Float32:
        sampled = [key.generator(Purpose.WANDER, day).standard_normal(dtype=np.float32) for key in self._keys]
        return np.array(sampled, dtype=np.float32)


class Component(IntEnum):
    """The independent noises of a server; the last ones are jumps that fade."""

    TRAFFIC_FAST = 0
    TRAFFIC_MIDDLE = 1
    TRAFFIC_SLOW = 2
    CPU = 3
    MEMORY = 4
    MEMORY_SLOW = 5
    DISK = 6
    NET_IN = 7
    NET_OUT = 8
    LOAD = 9
    SOCKETS = 10
    SOCKETS_COUNT = 11
    GPU = 12
    DISK_SPACE = 13
    TRAFFIC_BURST = 14
    DISK_BURST = 15
    GPU_STALL = 16


# In the order of Component; those of the bursts are each server's own.
MEMORY_STEPS = (3, 30, 220, 2, 8, 150, 3, 2, 2, 2, 60, 0.1, 2, 10, 1, 1, 1)
FIRST_BURST = Component.TRAFFIC_BURST
WARM_UP_DAYS = 5
# Within the warm-up this fades to less than a hundredth, so that no seam shows at midnight.
LONGEST_MEMORY_STEPS = 300
CUBIC = 0.02
CUBIC_SCALE = (1 + 6 * CUBIC + 15 * CUBIC**2) ** -0.5
BURST_TAIL = 2.5
LARGEST_BURST = 12.0


@dataclass(frozen=True, kw_only=True)
class NoiseShape:
    """How the noises of a fleet differ by server; ``(servers, 1)`` each."""

    memory_ratio: Float32
    burst_chance: Float32
    disk_burst_chance: Float32
    stall_chance: Float32
    fade_steps: Float32


class NoiseField:
    """All noises of all subjects, a day at a time.

    Each is a first-order autoregression of keyed white noise, started at rest WARM_UP_DAYS earlier: what came
    before has faded, so a day needs no more than that to be computed alone.
    """

    def __init__(self, keys: Sequence[Key], shape: NoiseShape) -> None:
        self._keys = tuple(keys)
        steps = np.repeat(np.array(MEMORY_STEPS, dtype=np.float32)[:, None], len(self._keys), axis=1)
        steps[:FIRST_BURST] = np.minimum(steps[:FIRST_BURST] * shape.memory_ratio[:, 0], LONGEST_MEMORY_STEPS)
        steps[FIRST_BURST:] = shape.fade_steps[:, 0]
        self._decay: Float32 = np.exp(-1 / steps).astype(np.float32)
        self._gain: Float32 = np.sqrt(1 - self._decay**2)
        self._gain[FIRST_BURST:] = 1
        chances = [shape.burst_chance, shape.disk_burst_chance, shape.stall_chance]
        self._chances: Float32 = np.stack([chance[:, 0] for chance in chances]).astype(np.float32)
        self._innovations = lru_cache(maxsize=WARM_UP_DAYS + 2)(self._draw)

    def day(self, day: int) -> Float32:
        """Return the noises of ``day``, ``(components, subjects, steps)``: unit variance, bursts from 0 up."""
        state = np.zeros_like(self._decay)
        path = np.empty((STEPS_PER_DAY, *state.shape), dtype=np.float32)
        for source in range(day - WARM_UP_DAYS, day + 1):
            for step, innovation in enumerate(self._innovations(source)):
                np.multiply(state, self._decay, out=state)
                np.add(state, innovation, out=state)
                path[step] = state
        return np.ascontiguousarray(path.transpose(1, 2, 0))

    def _draw(self, day: int) -> Float32:
        """Return the innovations of ``day``, ``(steps, components, subjects)``."""
        normals = (FIRST_BURST, STEPS_PER_DAY)
        uniforms = (len(Component) - FIRST_BURST, STEPS_PER_DAY)
        sampled = np.empty((STEPS_PER_DAY, *self._decay.shape), dtype=np.float32)
        for subject, key in enumerate(self._keys):
            random = key.generator(Purpose.NOISE, day)
            sampled[:, :FIRST_BURST, subject] = random.standard_normal(normals, dtype=np.float32).T
            sampled[:, FIRST_BURST:, subject] = random.random(uniforms, dtype=np.float32).T
        sampled[:, :FIRST_BURST] = _heavy_tailed(sampled[:, :FIRST_BURST])
        sampled[:, FIRST_BURST:] = _jumps(sampled[:, FIRST_BURST:], self._chances)
        return sampled * self._gain


def _heavy_tailed(normal: Float32) -> Float32:
    """Return unit-variance noise of kurtosis 3.5: a cubic of the normal, cheaper than drawing Student's t."""
    return (normal + CUBIC * normal**3) * np.float32(CUBIC_SCALE)


def _jumps(uniform: Float32, chance: Float32) -> Float32:
    """Return 0 most of the time, and with ``chance`` a Pareto jump of at least 1, from one uniform number each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = (uniform / chance) ** np.float32(-1 / BURST_TAIL)
    return np.where(uniform < chance, np.minimum(size, LARGEST_BURST), 0).astype(np.float32)
