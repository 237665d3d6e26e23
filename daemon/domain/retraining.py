"""When a model is trained anew, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY, as_text
from daemon.domain.levels import LevelName

_DAY_SECONDS = STEPS_PER_DAY * STEP_SECONDS
MOST_ATTEMPTS = 3


class Trigger(StrEnum):
    """Why a model is trained."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    FIRST = "first"
    NEW_SERVERS = "new_servers"
    QUALITY = "quality"
    DRIFT = "drift"


class RunState(StrEnum):
    """What became of a training run; ``rejected`` made a model that the gate did not let serve."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True)
class TrainingRun:
    """One training run.

    Attributes:
        id: names it, and its folder.
        level: the training level.
        trigger: why it was started.
        started: epoch seconds of the service's clock.
        seed: of all randomness; another one for each run.
        reason: what triggered it, in words; empty for a schedule and by hand.
        attempt: 1, and one more each time that a restart of the service cut it off and it was resumed.
        state: what became of it.
        detail: that in words; empty while it runs.
        model: id of the model that it made; empty where it made none.
        ended: epoch seconds of the service's clock; None while it runs.
        seconds: wall time that the last attempt took; 0 while it runs.
    """

    id: str
    level: LevelName
    trigger: Trigger
    started: float
    seed: int
    reason: str = ""
    attempt: int = 1
    state: RunState = RunState.RUNNING
    detail: str = ""
    model: str = ""
    ended: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Wish:
    """Something asks for a training.

    Attributes:
        trigger: what.
        why: in words, with the figures.
    """

    trigger: Trigger
    why: str


@dataclass(frozen=True)
class Looked:
    """What a look for reasons to train gave.

    Attributes:
        wish: the first reason; None if there is none.
        drift: share of the series that behave otherwise than when the model was trained; None where not measurable.
    """

    wish: Wish | None = None
    drift: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        state: not ``running``.
        detail: in words.
        model: id of the model that was made; empty if none was.
        seconds: wall time.
    """

    state: RunState
    detail: str
    model: str = ""
    seconds: float = 0.0


def over_budget(runs: Sequence[TrainingRun], at: float, most_per_day: int) -> str:
    """Return why no run may start at ``at``, in words; empty if one may."""
    recent = [run for run in runs if run.started > at - _DAY_SECONDS]
    if len(recent) < most_per_day:
        return ""
    return (
        f"{len(recent)} runs were started since {as_text(int(at - _DAY_SECONDS))}, "
        f"and training.max_runs_per_day is {most_per_day}"
    )
