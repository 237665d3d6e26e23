"""The sections ``training`` and ``verification`` of the schema."""

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
        description="When the service trains a new model, as a cron expression in `timezone`; `null` is never.",
    )
    triggers: tuple[Literal["first", "new_servers", "quality", "drift"], ...] = Field(
        ("first", "new_servers", "quality", "drift"),
        description="What starts a training besides the schedule: `first`, a week of history and no model; "
        "`new_servers`, servers that the model was not trained on; `quality`, live figures that are out of bounds; "
        "`drift`, series whose distribution changed.",
    )
    trigger_pause_hours: float = Field(
        24, gt=0, le=720, description="Minimum time between triggered trainings, in hours."
    )
    new_servers_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the fleet, 0 to 1: more new servers than this start a training; so does a new profile.",
    )
    drift_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the series, 0 to 1: a training starts when more than this have drifted. A series has "
        "drifted when the Kolmogorov-Smirnov distance between its last day and the last week of the training is above "
        "0.5.",
    )
    max_runs_per_day: int = Field(
        4, ge=1, le=100, description="Maximum number of trainings in 24 hours; more are refused."
    )
    keep_models: int = Field(
        20,
        ge=1,
        description="Number of newest models to keep after a training of the service. The model that serves and the "
        "three that served before it are never deleted.",
    )
    threads: int = Field(1, ge=1, le=256, description="Threads of a training of the service.")
    deadline_minutes: float = Field(
        360, gt=0, le=10_080, description="Maximum duration of a training, in minutes; a longer one is ended."
    )
    memory_limit_mb: int = Field(
        3_000,
        ge=100,
        description="Maximum memory of a training, in MiB; one that needs more is ended. "
        "Stay below MemoryMax of the unit.",
    )


class VerificationConfig(Section):
    """How forecasts are compared with the actual values."""

    window_hours: int = Field(168, ge=1, le=840, description="Window of the live metrics, in hours.")
    judged_hours: int = Field(
        24,
        ge=1,
        le=840,
        description="Window in which what serves is compared with the climatology, in hours; at most `window_hours`.",
    )
    fallback: bool = Field(
        True,
        description="Whether the climatology serves instead where it was better over `judged_hours`, until a new model "
        "passes the gate.",
    )

    @model_validator(mode="after")
    def _within_the_window(self) -> Self:
        if self.judged_hours > self.window_hours:
            raise ValueError(f"judged_hours {self.judged_hours} is more than window_hours {self.window_hours}")
        return self
