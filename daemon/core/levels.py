"""The training levels: the amount of data, the length of the training, and the claims that follow from both."""

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class LevelName(StrEnum):
    """The four levels, from the fastest to the most thorough."""

    DEMO = "demo"
    VALIDATION = "validation"
    PRODUCTION = "production"
    LARGE = "large"


class Sayable(StrEnum):
    """Which figures of a model may be claimed, and so be shown."""

    NOTHING = "nothing"
    VALIDATION_LOSS = "validation loss"
    HELD_OUT = "held out"


@dataclass(frozen=True, kw_only=True)
class Level:
    """One training level.

    Attributes:
        name: of the level.
        data_hours: hours of history to train on, before the validation and the test span.
        epochs: greatest number of epochs; every step of every series is a target at least once in each.
        sayable: which measured figures of its models may be claimed.
        stride_steps: distance of a series' origins in an epoch, ≤ HORIZON_STEPS.
        validation_hours: span after the training data, to choose the epoch.
        test_hours: span at the end of the history, to measure accuracy; 0 if the level claims none.
        accumulate_batches: batches per step of the optimiser.
        checkpoint_every_epochs: epochs between two checkpoints.
        mixed_precision: compute in bf16 on a GPU.
        unknown_server_every: one server of this number is held out of training, to measure the accuracy on new
            servers; 0 is none.
    """

    name: LevelName
    data_hours: int
    epochs: int
    sayable: Sayable
    stride_steps: int
    validation_hours: int
    test_hours: int = 0
    accumulate_batches: int = 1
    checkpoint_every_epochs: int = 1
    mixed_precision: bool = False
    unknown_server_every: int = 0

    @property
    def history_hours(self) -> int:
        """Hours of history that the level uses at most: training, validation and test."""
        return self.data_hours + self.validation_hours + self.test_hours


_PRODUCTION = Level(
    name=LevelName.PRODUCTION,
    data_hours=720,
    epochs=20,
    sayable=Sayable.HELD_OUT,
    stride_steps=96,
    validation_hours=72,
    test_hours=72,
    unknown_server_every=10,
)
LEVELS = MappingProxyType(
    {
        level.name: level
        for level in (
            Level(
                name=LevelName.DEMO,
                data_hours=168,
                epochs=1,
                sayable=Sayable.NOTHING,
                stride_steps=16,
                validation_hours=24,
            ),
            Level(
                name=LevelName.VALIDATION,
                data_hours=720,
                epochs=10,
                sayable=Sayable.VALIDATION_LOSS,
                stride_steps=96,
                validation_hours=72,
            ),
            _PRODUCTION,
            replace(
                _PRODUCTION,
                name=LevelName.LARGE,
                accumulate_batches=4,
                checkpoint_every_epochs=5,
                mixed_precision=True,
            ),
        )
    }
)
MINIMUM_HOURS = 168
"""Least history to train on, in hours."""
