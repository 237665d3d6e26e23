from pathlib import Path
from typing import Annotated

import typer

_EPOCHS = 7
_SYNTHETIC = 16


def pretrain(
    data: Annotated[list[Path], typer.Option(help="Metrics file of a fleet; give one option for each fleet.")],
    out: Annotated[Path, typer.Option(help="Folder for the network; it must not exist yet.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the largest fleet.")] = _EPOCHS,
    synthetic: Annotated[int, typer.Option(min=0, help="Fleets of random series to train on too.")] = _SYNTHETIC,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Folder of a pretrained network whose weights training starts from.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all randomness in training.")] = 0,
) -> None:
    """Train the base network, one for all fleets, on many of them."""
    import json
    from zoneinfo import ZoneInfo

    from daemon.cli.progress import progress_bar
    from daemon.cli.training_report import Watch
    from daemon.domain.errors import ConfigError
    from daemon.files.atomic import atomic_directory
    from daemon.files.metrics_file import read_metrics_file
    from daemon.learning.artifact import load_network
    from daemon.learning.pretraining import PRETRAINING_FILE
    from daemon.learning.pretraining import pretrain as train

    if out.exists():
        raise ConfigError([f"--out {out}: exists already; name a new folder"])
    fleets = {_name(path): read_metrics_file(path) for path in data}
    start = None if from_ is None else load_network(from_)[0]
    before = None if from_ is None else json.loads((from_ / PRETRAINING_FILE).read_text(encoding="utf-8"))
    with progress_bar("pretraining") as report:
        watch = Watch(report, epochs)
        made = train(
            fleets,
            ZoneInfo("UTC"),
            epochs=epochs,
            synthetic_fleets=synthetic,
            start=start,
            started_from=before,
            seed=seed,
            on_epoch=watch.epoch,
            on_step=watch.step,
        )
    with atomic_directory(out) as folder:
        made.write(folder)
    typer.echo(
        f"{out}: from {len(fleets)} fleets and {synthetic} synthetic ones, validation loss {made.fit.best_loss:.4f}"
    )


def _name(path: Path) -> str:
    """Return what tells a file from others: many are called data.parquet, each in a folder of its own."""
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"
