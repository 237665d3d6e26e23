"""The record of a training: ``training_info.json`` and ``epochs.jsonl`` of a model directory.

Both are written, read and checked here alone. Their keys are the fields of these classes.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)

from daemon.core.errors import BadModel
from daemon.core.file_access import reason_of
from daemon.core.json_records import LATER, Finite, Measured, Record, json_object, problems_of, readable_json
from daemon.core.levels import LEVELS, Level, LevelName

INFO_FILE, EPOCHS_FILE = "training_info.json", "epochs.jsonl"

Shares = Mapping[str, Measured]
"""Figures by name, such as the coverage of each interval."""


def _with_zone(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("the time has no zone")
    return text


def _whole(hours: float) -> int | float:
    return int(hours) if hours.is_integer() else hours


Time = Annotated[str, AfterValidator(_with_zone)]
"""A time in ISO 8601, with its zone."""

Hours = Annotated[Finite, PlainSerializer(_whole)]


class Overfitting(Record):
    """The ratio of validation loss to training loss of the kept epoch, and the remedies where it is high."""

    warned: bool
    ratio: Measured
    remedies: tuple[str, ...] = ()


class HeldOut(Record):
    """The span that the figures were measured on: its first origin, its last target and the number of origins."""

    span: Literal["test", "validation"]
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    origins: int | None = None


class ProfileFigures(Record):
    """Figures of the servers of one profile."""

    series: int | None = None
    skill: Measured = None
    coverage: Shares = Field(default_factory=dict)


class UnknownServers(Record):
    """Figures of servers that were held out of training, and (``known_…``) of the other servers."""

    servers: int
    names: tuple[str, ...] = ()
    windows: int
    quantile_loss: Measured = None
    skill: Measured = None
    known_quantile_loss: Measured = None
    known_skill: Measured = None


class IncidentFigures(Record):
    """How well the breaches of one metric were predicted; the ``cut`` is the probability that an alert needs."""

    windows: int
    breaches: int
    balanced_accuracy: Measured = None
    precision: Measured = None
    recall: Measured = None
    severity: str = ""
    cut: Measured = None
    cut_reaches_target: bool | None = None
    cut_chosen_on: str = ""
    cut_precision: Measured = None
    cut_recall: Measured = None
    brier: Measured = None
    average_precision: Measured = None


class ReliabilityBin(Record):
    """The windows whose probability lies between two edges: the mean probability, and the share with a breach."""

    from_: Finite = Field(alias="from")
    to: Finite
    windows: int
    claimed: Finite
    happened: Finite


class BreachReliability(Record):
    """How well the probabilities of all breaches agree with the outcomes."""

    windows: int
    breaches: int
    brier: Measured
    brier_of_the_base_rate: Measured
    average_precision: Measured = None
    bins: tuple[ReliabilityBin, ...] = ()


class CalibrationEffect(Record):
    """The effect of calibration, measured on time that its factors were not chosen on."""

    applied: bool
    loss_before: Measured
    loss_after: Measured
    coverage_before: Shares = Field(default_factory=dict)
    coverage_after: Shares = Field(default_factory=dict)
    reason: str = ""


class GateDecision(Record):
    """The decision of the promotion gate, and its reasons.

    Attributes:
        promoted: whether the candidate may serve.
        reasons: sentences, with the figures that decided.
        candidate_loss: its pinball loss relative to seasonal naive on the held-out span.
        serving_model: id of the model that served, or ``baseline``; None where there was none.
        serving_loss: its loss on the same windows; None where it could forecast none of them.
        coverage_80: share of the values of varying series inside the candidate's 80 % interval.
        naive_loss: loss of seasonal naive, which is the unit of the others.
        origins: number of origins that were scored.
        from_: the first of them.
        to: the last target.
    """

    promoted: bool
    reasons: tuple[str, ...] = ()
    candidate_loss: Measured = None
    serving_model: str | None = None
    serving_loss: Measured = None
    coverage_80: Measured = None
    naive_loss: Finite = 1.0
    origins: int | None = None
    from_: str | None = Field(None, alias="from")
    to: str | None = None


class TrainingInfo(Record):
    """``training_info.json``.

    Attributes:
        trained_at: when the training ended.
        level: the training level, which decides what may be claimed of the model.
        epochs: passes that were made; ``planned_epochs`` is their maximum.
        data_hours: hours of history that it was trained on.
        servers: their names; None where they are not on record.
        final_train_loss: of the last epoch.
        final_val_loss: of the epoch whose weights were kept.
        quantile_loss: scaled pinball loss on the held-out span.
        best_epoch: the epoch whose weights were kept; None where those at the start were better.
        started_from: ``base``, ``scratch`` or the id of a model.
        seen_before: servers that the weights at the start were trained on.
        skill_vs_seasonal_naive: by metric, pinball loss relative to seasonal naive.
        by_profile: figures by profile.
        unknown_servers: figures of servers held out of training; None without any.
        incident_figures: by metric, how well its breaches were predicted.
        verdict: the decision of the promotion gate; None before it.
    """

    trained_at: Time
    level: LevelName
    epochs: int
    planned_epochs: Annotated[int | None, LATER] = None
    data_hours: Hours
    num_servers: int
    servers: Annotated[tuple[str, ...] | None, LATER] = None
    final_train_loss: Finite
    final_val_loss: Finite
    quantile_loss: Measured
    quantile_loss_rating: Annotated[str | None, LATER] = None
    training_time_hours: Finite
    model_parameters: int
    convergence: Literal["achieved", "not achieved"]
    early_stopping: bool
    overfitting: Annotated[Overfitting | None, LATER] = None
    data_fingerprint: str
    data_from: Time
    data_to: Time
    best_epoch: int | None
    started_from: Annotated[str | None, LATER] = None
    seen_before: Annotated[tuple[str, ...], LATER] = ()
    device: str
    gpu_memory_peak_mb: Finite
    inference_latency_ms: Finite
    held_out: Annotated[HeldOut | None, LATER] = None
    coverage: Shares
    coverage_by_metric: Annotated[Mapping[str, Shares] | None, LATER] = None
    reliability: Annotated[Shares | None, LATER] = None
    skill_vs_seasonal_naive: Shares
    skill_by_horizon: Annotated[Mapping[str, Shares] | None, LATER] = None
    by_profile: Annotated[Mapping[str, ProfileFigures] | None, LATER] = None
    unknown_servers: Annotated[UnknownServers | None, LATER] = None
    incident_figures: Mapping[str, IncidentFigures] | None = None
    breach_reliability: Annotated[BreachReliability | None, LATER] = None
    calibration_effect: Annotated[CalibrationEffect | None, LATER] = None
    verdict: GateDecision | None = None
    versions: Mapping[str, str]
    seed: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the record in ``text``.

        Raises:
            ValueError: it is no JSON object, or a key is missing or has a value of another type.
        """
        try:
            return cls.model_validate_json(readable_json(text, _of_earlier_versions))
        except ValidationError as error:
            raise ValueError("; ".join(problems_of(error))) from error

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the record in a model directory; None where there is none.

        Raises:
            BadModel: it cannot be read, or is damaged.
        """
        try:
            return cls.parse((folder / INFO_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise unusable_record(folder, error) from error

    def write(self, folder: Path) -> None:
        """Write the record into a model directory; a figure that was not measured is null."""
        text = self.model_dump_json(indent=2, by_alias=True)
        (folder / INFO_FILE).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def problems(cls, text: str) -> list[str]:
        """Return the problems of the record in ``text``; a missing key that the first version wrote is one.

        Raises:
            ValueError: it is no JSON object, or a number in it is not finite.
        """
        document = json_object(text)
        found = [
            f"{key} is missing"
            for key, field in cls.model_fields.items()
            if key not in document and not field.is_required() and LATER not in field.metadata
        ]
        try:
            cls.model_validate_json(readable_json(text, _of_earlier_versions))
        except ValidationError as error:
            found += problems_of(error)
        return found

    @property
    def training_level(self) -> Level:
        """The training level: the data it uses and the claims it allows."""
        return LEVELS[self.level]

    @property
    def trained_seconds(self) -> float:
        """When the training ended, in epoch seconds."""
        return datetime.fromisoformat(self.trained_at).timestamp()

    @property
    def trained_until(self) -> float:
        """Time of the newest sample that it was trained on, in epoch seconds."""
        return datetime.fromisoformat(self.data_to).timestamp()

    @property
    def duration_seconds(self) -> float:
        """Duration of the training."""
        return self.training_time_hours * 3600

    @property
    def tested(self) -> bool:
        """Whether the figures come from a test span that neither training nor the choice of the epoch used."""
        return self.held_out is not None and self.held_out.span == "test"

    @property
    def converged(self) -> bool:
        """Whether training stopped because validation no longer improved."""
        return self.convergence == "achieved"

    @property
    def skill(self) -> dict[str, float]:
        """By metric, pinball loss relative to seasonal naive, where it was measured."""
        return {name: ratio for name, ratio in self.skill_vs_seasonal_naive.items() if ratio is not None}


def _of_earlier_versions(document: dict[str, Any]) -> dict[str, Any]:
    """Take the span from ``measured_on``, where the first versions wrote it."""
    if document.get("held_out") is None and "measured_on" in document:
        return {**document, "held_out": {"span": document["measured_on"]}}
    return document


def unusable_record(folder: Path, error: Exception) -> BadModel:
    """Return the error for a record that cannot be read, or is damaged."""
    if isinstance(error, OSError):
        return BadModel(f"{folder}: the record of its training cannot be read: {reason_of(error)}")
    return BadModel(f"{folder}: the record of its training is damaged: {error}; train a new model")


def _number(value: object) -> object:
    return math.nan if value is None else value


Number = Annotated[float, BeforeValidator(_number)]
"""A number that JSON has as null where it is not finite."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One line of ``epochs.jsonl``; losses are weighted pinball losses, memory is 0 without a GPU."""

    epoch: int
    train_loss: Number
    val_loss: Number
    learning_rate: Number
    time_seconds: Number
    gpu_memory_mb: Number
    samples_per_second: Number


_EPOCH = TypeAdapter(EpochRecord)


def write_epochs(folder: Path, records: Iterable[EpochRecord]) -> None:
    """Write ``epochs.jsonl`` into a model directory."""
    lines = (_EPOCH.dump_json(record).decode() + "\n" for record in records)
    (folder / EPOCHS_FILE).write_text("".join(lines), encoding="utf-8")


def read_epochs(folder: Path) -> tuple[EpochRecord, ...]:
    """Return the epochs of a model directory, one at least.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: a line is damaged, or there is none.
    """
    lines = (folder / EPOCHS_FILE).read_text(encoding="utf-8").splitlines()
    if not lines:
        raise ValueError(f"{EPOCHS_FILE} holds no epoch")
    return tuple(parse_epoch(line) for line in lines)


def parse_epoch(line: str) -> EpochRecord:
    """Return the epoch in one line.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return _EPOCH.validate_json(readable_json(line), strict=True)
    except ValidationError as error:
        raise ValueError("; ".join(problems_of(error))) from error


def epoch_problems(line: str) -> list[str]:
    """Return the problems of one line of ``epochs.jsonl``.

    Raises:
        ValueError: it is no JSON object, or a number in it is not finite.
    """
    document = json_object(line)
    found = [f"{key} is None, and should be a finite number" for key, value in document.items() if value is None]
    try:
        _EPOCH.validate_json(readable_json(line), strict=True)
    except ValidationError as error:
        found += problems_of(error)
    return found
