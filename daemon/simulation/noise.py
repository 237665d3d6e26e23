"""Random numbers that depend only on their purpose and period, and the noise that is made of them.

`Key` gives every server and profile its own generators. `NoiseField` is autoregressive noise with heavy tails, step by
step. `Wander` is the slow change of traffic from day to day. All are the same for any span that contains the time.
The sizes are set by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from zlib import crc32

import numpy as np

from daemon.core.series import STEPS_PER_DAY, Float32

# a counter of Philox is one 64-bit word
WORD = 2**64

# wander: both roots of its autoregression are exp(-1 / WANDER_MEMORY_DAYS)
WANDER_MEMORY_DAYS = 6.0
WANDER_LOOK_BACK_DAYS = 60
_AGES = np.arange(WANDER_LOOK_BACK_DAYS)
_FADED = (_AGES + 1) * np.exp(-_AGES / WANDER_MEMORY_DAYS)
WANDER_WEIGHTS: Float32 = (_FADED / np.linalg.norm(_FADED)).astype(np.float32)

# noise field: time constants in steps, in the order of Component; those of the bursts are replaced by each server's own
MEMORY_STEPS = (3, 30, 220, 2, 8, 150, 3, 2, 2, 2, 60, 0.1, 2, 10, 1, 1, 1)
WARM_UP_DAYS = 5
# within the warm-up it fades to less than a hundredth, so that midnight has no visible seam
LONGEST_MEMORY_STEPS = 300
# noise is z + CUBIC z^3 of a normal z, scaled to unit variance
CUBIC = 0.02
CUBIC_SCALE = (1 + 6 * CUBIC + 15 * CUBIC**2) ** -0.5
# bursts have a Pareto distribution with this exponent
BURST_TAIL = 2.5
LARGEST_BURST = 12.0


class Purpose(IntEnum):
    """The purpose of a stream of random numbers; a new purpose does not change the numbers of the others."""

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
    """The root of the random numbers of one subject: a server or a profile, by name.

    It depends on the name and not on a number, so that a server keeps its history when the fleet grows.
    """

    words: tuple[int, int]

    @classmethod
    def of(cls, seed: int, name: str) -> "Key":
        """Return the key of the subject ``name`` in a fleet with that seed."""
        first, second = np.random.SeedSequence([seed, crc32(name.encode())]).generate_state(2, np.uint64)
        return cls((int(first), int(second)))

    def generator(self, purpose: Purpose, period: int) -> np.random.Generator:
        """Return a new generator for ``purpose`` in the day, week or cycle number ``period``.

        Philox is counter-based (Salmon et al., 2011): a period does not need the periods before it.
        """
        counter = np.array([0, 0, period % WORD, int(purpose)], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=np.array(self.words, dtype=np.uint64), counter=counter))


class Wander:
    """A second-order autoregression of one number a day for each subject, interpolated linearly between midnights.

    Both roots are exp(-1 / WANDER_MEMORY_DAYS), so its direction lasts: the level drifts for days and does not jump.
    Numbers older than WANDER_LOOK_BACK_DAYS have a weight below a hundredth and are left out.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self._sampled = lru_cache(maxsize=WANDER_LOOK_BACK_DAYS + 2)(self._sample)

    def level(self, day: int) -> Float32:
        """Return the level at every step of ``day``, ``(subjects, steps)``, of unit variance at midnight."""
        share = np.linspace(0, 1, STEPS_PER_DAY, endpoint=False, dtype=np.float32)
        level: Float32 = self._midnight(day) * (1 - share) + self._midnight(day + 1) * share
        return level

    def _midnight(self, day: int) -> Float32:
        before = np.stack([self._sampled(day - age) for age in range(WANDER_LOOK_BACK_DAYS)])
        level: Float32 = (WANDER_WEIGHTS @ before)[:, None]
        return level

    def _sample(self, day: int) -> Float32:
        sampled = [key.generator(Purpose.WANDER, day).standard_normal(dtype=np.float32) for key in self._keys]
        return np.array(sampled, dtype=np.float32)


class Component(IntEnum):
    """The independent noises of a server; the last three are bursts: jumps that fade."""

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


FIRST_BURST = Component.TRAFFIC_BURST


@dataclass(frozen=True, kw_only=True)
class NoiseShape:
    """The parameters of the noise of each subject; ``(subjects, 1)`` each.

    Attributes:
        memory_ratio: factor on the time constants of MEMORY_STEPS.
        burst_chance: probability of a burst of traffic in a step.
        disk_burst_chance: the same for disk time.
        stall_chance: the same for a stall of the GPU.
        fade_steps: time constant of a burst, in steps.
    """

    memory_ratio: Float32
    burst_chance: Float32
    disk_burst_chance: Float32
    stall_chance: Float32
    fade_steps: Float32


class NoiseField:
    """All noises of all subjects, one day at a time.

    Each noise is a first-order autoregression of keyed white noise. It starts at zero WARM_UP_DAYS before the day:
    older numbers have faded, so a day is computed alone.
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
        self._innovations = lru_cache(maxsize=WARM_UP_DAYS + 2)(self._sample)

    def day(self, day: int) -> Float32:
        """Return the noises of ``day``, ``(components, subjects, steps)``: unit variance, bursts 0 or more."""
        state = np.zeros_like(self._decay)
        path = np.empty((STEPS_PER_DAY, *state.shape), dtype=np.float32)
        for source in range(day - WARM_UP_DAYS, day + 1):
            for step, innovation in enumerate(self._innovations(source)):
                np.multiply(state, self._decay, out=state)
                np.add(state, innovation, out=state)
                path[step] = state
        return np.ascontiguousarray(path.transpose(1, 2, 0))

    def _sample(self, day: int) -> Float32:
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
    """Return unit-variance noise of kurtosis 3.5: a cubic of the normal, cheaper than sampling Student's t."""
    return (normal + CUBIC * normal**3) * np.float32(CUBIC_SCALE)


def _jumps(uniform: Float32, chance: Float32) -> Float32:
    """Return, from one uniform number each, a Pareto jump of at least 1 with probability ``chance``, else 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = (uniform / chance) ** np.float32(-1 / BURST_TAIL)
    return np.where(uniform < chance, np.minimum(size, LARGEST_BURST), 0).astype(np.float32)
