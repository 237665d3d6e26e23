"""What is on record of a model's training."""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.domain.levels import LevelName


@dataclass(frozen=True)
class ModelRecord:
    """The part of ``training_info.json`` and ``epochs.jsonl`` that the service shows.

    Attributes:
        model: id of the model.
        level: the training level, which says what may be claimed of it.
        trained_at: epoch seconds (UTC).
        epochs: passes that were made.
        train_loss: of the last epoch.
        validation_loss: of the epoch whose weights were kept.
        learning_rate: at the end of the last epoch.
        samples_per_second: training windows per second in the last epoch.
        duration_seconds: of the whole training.
        quantile_loss: scaled pinball loss on held-out time; None where it could not be measured.
        promoted: what the gate decided; None where no verdict is on record.
        reasons: the gate's, in sentences.
        trained_until: epoch seconds of the newest sample that it was trained on; None where that is not on record.
        servers: those that it was trained on; none where that is not on record.
        tested: whether its figures come from a test span that neither training nor the choice of the epoch saw.
        skill: by metric, pinball loss relative to seasonal naive's on held-out time.
    """

    model: str
    level: LevelName
    trained_at: float
    epochs: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    samples_per_second: float
    duration_seconds: float
    quantile_loss: float | None
    skill: Mapping[str, float]
    promoted: bool | None = None
    reasons: tuple[str, ...] = ()
    trained_until: float | None = None
    servers: tuple[str, ...] = ()
    tested: bool = False
