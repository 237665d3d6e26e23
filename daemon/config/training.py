"""The part of the schema that says when models are trained, and how what serves is judged."""

from typing import Literal, Self

from pydantic import Field, model_validator

from daemon.config.section import Section
from daemon.core.levels import LevelName


class TrainingConfig(Section):
    """How models are trained."""

    level: LevelName = Field(LevelName.PRODUCTION, description="`demo`, `validation`, `production` or `large`.")
    seed: int = Field(0, ge=0, description="Seed of all randomness in training.")
    schedule: str | None = Field(
        "30 3 * * sun",
        description="When the service trains anew, as a cron expression in `timezone`; `null` is never.",
    )
    triggers: tuple[Literal["first", "new_servers", "quality", "drift"], ...] = Field(
        ("first", "new_servers", "quality", "drift"),
        description="What starts a training beside the schedule: a week of history and no model; servers that the "
        "model was not trained on; live figures that are out of bounds; servers that behave otherwise.",
    )
    trigger_pause_hours: float = Field(
        24, gt=0, le=720, description="So long after a training began, no trigger starts another."
    )
    new_servers_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="More servers than this share of the fleet being new start a training; so does a new profile.",
    )
    drift_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="More series than this share starts a training, whose last day is distributed unlike the week that "
        "the model was last trained on: Kolmogorov-Smirnov distance above 0.5.",
    )
    max_runs_per_day: int = Field(4, ge=1, le=100, description="More trainings than these in a day are refused.")
    keep_models: int = Field(
        20,
        ge=1,
        description="After a training beside the service, the oldest models but so many are deleted; never what serves "
        "or what a rollback goes back to.",
    )
    threads: int = Field(1, ge=1, le=256, description="Threads of a training beside the service.")
    deadline_minutes: float = Field(360, gt=0, le=10_080, description="A training that takes longer is ended.")
    memory_limit_mb: int = Field(
        3_000, ge=100, description="A training that needs more memory (MiB) is ended; stay below the unit's MemoryMax."
    )


class VerificationConfig(Section):
    """How forecasts are checked against what then happened."""

    window_hours: int = Field(168, ge=1, le=840, description="The live figures are of the forecasts of so many hours.")
    judged_hours: int = Field(
        24, ge=1, le=840, description="What serves is judged by those of so many; at most `window_hours`."
    )
    fallback: bool = Field(
        True,
        description="Where the climatology was better over `judged_hours`, let it serve until a better model passes "
        "the gate.",
    )

    @model_validator(mode="after")
    def _within_the_window(self) -> Self:
        if self.judged_hours > self.window_hours:
            raise ValueError(f"judged_hours {self.judged_hours} is more than window_hours {self.window_hours}")
        return self
