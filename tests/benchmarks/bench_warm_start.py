"""Epochs of a training that starts from a pretrained network, to reach the best loss of a training from scratch."""

from daemon.breach.model import BASE_FOLDER
from daemon.core.levels import LEVELS, LevelName
from daemon.core.series import STEP_SECONDS, Panel
from daemon.core.training_info import EpochRecord
from daemon.network.artifact import load_network
from daemon.network.model import TemporalFusionTransformer
from daemon.network.training import train
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec
from tests.benchmarks.bench_accuracy import UTC, say
from tests.benchmarks.fleets import START

OTHER_SEED, NEW_SEED, DAYS = 71, 81, 21
EPOCHS = 8


def main(epochs: int = EPOCHS) -> None:
    """Print each start's validation losses, and its first epoch with a loss as low as the best from scratch."""
    other, new = (
        Fleet(FleetSpec(seed=seed)).panel(START, START + DAYS * 86_400 - STEP_SECONDS)
        for seed in (OTHER_SEED, NEW_SEED)
    )
    say("training on the other fleet")
    model, _ = trained(other, None, epochs)
    starts = {"scratch": None, "a model of another fleet": model, "the base network": load_network(BASE_FOLDER)[0]}
    runs = {}
    for name, start in starts.items():
        say(f"training on the new fleet from {name}")
        runs[name] = trained(new, start, epochs)[1]
    goal = min(record.val_loss for record in runs["scratch"])
    print(f"| start | validation loss by epoch | epochs to {goal:.4f} | seconds to it |\n| --- | --- | --- | --- |")
    for name, records in runs.items():
        losses = " ".join(f"{record.val_loss:.4f}" for record in records)
        reached = next((number for number, record in enumerate(records, 1) if record.val_loss <= goal), None)
        seconds = "" if reached is None else f"{sum(record.time_seconds for record in records[:reached]):.0f}"
        print(f"| {name} | {losses} | {reached or 'never'} | {seconds} |", flush=True)


def trained(
    panel: Panel, start: TemporalFusionTransformer | None, epochs: int
) -> tuple[TemporalFusionTransformer, list[EpochRecord]]:
    """Return the network that training at production level makes of ``start``, and its epochs."""
    records: list[EpochRecord] = []
    level = LEVELS[LevelName.PRODUCTION]
    model = train(panel, {}, UTC, level, epochs=epochs, start=start, on_epoch=records.append)
    return model.network, records


if __name__ == "__main__":
    main()
