"""The training levels: how much data, how long, and therefore what may be claimed."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class LevelName(StrEnum):
    """The four levels, from the quickest to the most thorough."""

    DEMO = "demo"
    VALIDATION = "validation"
    PRODUCTION = "production"
    LARGE = "large"


class Sayable(StrEnum):
    """Which figures of a model may be said, and so be shown."""

    NOTHING = "nothing"
    VALIDATION_LOSS = "validation loss"
    HELD_OUT = "held out"


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a training level does.

    Attributes:
        data_hours: hours of history that it trains on, before those that are held back.
        epochs: passes at most; every time step of every series is a target at least once in each.
        sayable: what may be said of its models' accuracy, if it was measured.
        stride_steps: distance of a series' origins in an epoch, ≤ HORIZON_STEPS.
        validation_hours: held back after that, to choose the epoch.
        test_hours: held back at the end of the history, to measure; 0 where the level claims no accuracy.
        accumulate_batches: batches per step of the optimiser.
        checkpoint_every_epochs: how often a checkpoint is written.
        mixed_precision: compute in bf16 on a GPU.
        unknown_server_every: one of so many servers is kept out of training, to measure how the model does on servers
            that it does not know; 0 is none.
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
        """Hours of history that it uses where there are so many: what it trains on and what is held back."""
        return self.data_hours + self.validation_hours + self.test_hours


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
            Level(
                name=LevelName.PRODUCTION,
                data_hours=720,
                epochs=20,
                sayable=Sayable.HELD_OUT,
                stride_steps=96,
                validation_hours=72,
                test_hours=72,
                unknown_server_every=10,
            ),
            Level(
                name=LevelName.LARGE,
                data_hours=720,
                epochs=20,
                sayable=Sayable.HELD_OUT,
                stride_steps=96,
                validation_hours=72,
                test_hours=72,
                unknown_server_every=10,
                accumulate_batches=4,
                checkpoint_every_epochs=5,
                mixed_precision=True,
            ),
        )
    }
)
MINIMUM_HOURS = 168
