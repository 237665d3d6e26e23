"""What is on record of a training."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One line of ``epochs.jsonl``; losses are weighted pinball losses, memory is 0 without a GPU."""

    epoch: int
    train_loss: float
    val_loss: float
    learning_rate: float
    time_seconds: float
    gpu_memory_mb: float
    samples_per_second: float
