"""Random numbers that are a function of what they are for, not of what was drawn before."""

from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

import numpy as np

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
