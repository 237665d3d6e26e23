import json
from pathlib import Path
from typing import Annotated, Any

import typer

_EPOCHS = 7
_SYNTHETIC = 16
_INCIDENTS = 8


def pretrain(
    data: Annotated[list[Path], typer.Option(help="Metrics file of a fleet; give one option for each fleet.")],
    out: Annotated[Path, typer.Option(help="Folder for the network; it must not exist yet.")],
    epochs: Annotated[
        int, typer.Option(min=0, help="Passes over the largest fleet; 0 with --from: only learn breaches anew.")
    ] = _EPOCHS,
    synthetic: Annotated[int, typer.Option(min=0, help="Fleets of random series to train on too.")] = _SYNTHETIC,
    incidents: Annotated[
        int, typer.Option(min=0, help="Simulated fleets to learn from how incidents come to breaches.")
    ] = _INCIDENTS,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Folder of a pretrained network whose weights training starts from.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all randomness in training.")] = 0,
) -> None:
    """Train the base network, one for all fleets, on many of them."""
    from zoneinfo import ZoneInfo

    from daemon.cli.progress import progress_bar
    from daemon.cli.training_report import Watch
    from daemon.config.loading import default_text, parse_config
    from daemon.domain.errors import ConfigError
    from daemon.files.atomic import atomic_directory
    from daemon.files.metrics_file import read_metrics_file
    from daemon.learning.artifact import load_network
    from daemon.learning.pretraining import PRETRAINING_FILE
    from daemon.learning.pretraining import pretrain as train

    if out.exists():
        raise ConfigError([f"--out {out}: exists already; name a new folder"])
    if not epochs and from_ is None:
        raise ConfigError(["--epochs 0: there is no network to keep; give one with --from, or 1 epoch at least"])
    fleets = {_name(path): read_metrics_file(path) for path in data}
    before = None if from_ is None else _record(from_ / PRETRAINING_FILE)
    start = None if from_ is None else load_network(from_)[0]
    metrics = parse_config(default_text(), "default.yaml", Path.cwd()).domain_metrics()
    with progress_bar("pretraining") as report:
        # what is learned of breaches counts as one more epoch
        parts = epochs + 1
        watch = Watch(lambda done: report(done * epochs / parts), epochs)
        made = train(
            fleets,
            ZoneInfo("UTC"),
            epochs=epochs,
            synthetic_fleets=synthetic,
            incident_fleets=incidents,
            metrics=metrics,
            start=start,
            started_from=before,
            seed=seed,
            on_epoch=watch.epoch,
            on_step=watch.step,
            on_breaches=lambda done: report((epochs + done) / parts),
        )
    with atomic_directory(out) as folder:
        made.write(folder)
    typer.echo(
        f"{out}: from {len(fleets)} fleets, {synthetic} synthetic ones and {incidents} with simulated incidents, "
        f"validation loss {made.fit.best_loss:.4f}"
    )


def _record(path: Path) -> dict[str, Any]:
    from daemon.domain.errors import ConfigError

    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            [f"--from {path.parent}: {path.name} is missing or damaged; name what pretrain wrote"]
        ) from error
    return record


def _name(path: Path) -> str:
    """Return what tells a file from others: many are called data.parquet, each in a folder of its own."""
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"
