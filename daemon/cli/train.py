import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.app import ConfigOption
from daemon.core.levels import LEVELS, LevelName

if TYPE_CHECKING:
    from daemon.core.training_info import EpochRecord
from collections.abc import Callable, Mapping

from rich.console import Console

from daemon.core.levels import Level, Sayable
from daemon.core.training_info import EpochRecord
from daemon.models.claims import sayable, shown_reasons
from daemon.models.record import tested

_EPOCHS = 7
_SYNTHETIC = 16
_INCIDENTS = 8


def pretrain(
    data: Annotated[list[Path], typer.Option(help="Metrics file of a fleet; give one option for each fleet.")],
    out: Annotated[Path, typer.Option(help="Folder for the network; it must not exist yet.")],
    epochs: Annotated[
        int, typer.Option(min=0, help="Passes over the largest fleet; 0 with --from: only learn breaches anew.")
    ] = _EPOCHS,
    *,
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

    from daemon.cli.app import progress_bar
    from daemon.config.loading import default_text, parse_config
    from daemon.core.errors import ConfigError
    from daemon.ingest.metrics_file import read_metrics_file
    from daemon.network.artifact import load_network
    from daemon.network.pretraining import PRETRAINING_FILE
    from daemon.network.pretraining import pretrain as train
    from daemon.system.files import atomic_directory

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
        watch = MonitoredThreshold(lambda done: report(done * epochs / parts), epochs)
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
    from daemon.core.errors import ConfigError
    from daemon.core.file_access import reason_of

    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise ConfigError([f"--from {path.parent}: {reason_of(error)}"]) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            [f"--from {path.parent}: {path.name} is missing or damaged; name what pretrain wrote"]
        ) from error
    return record


def _name(path: Path) -> str:
    """Return what tells a file from others: many are called data.parquet, each in a folder of its own."""
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"


_SNAPSHOT = "snapshot.parquet"


class _Lines:
    """Tells of a training by a line of JSON for each thing that happens."""

    def __init__(self) -> None:
        self._said = -1

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Tell the share of the epoch in whole percent."""
        percent = 100 * step // steps
        if percent != self._said:
            self._said = percent
            say(epoch=epoch, epoch_share=percent / 100)

    def epoch(self, record: "EpochRecord") -> None:
        """Tell an epoch's record."""
        say(record=asdict(record))


def say(**document: Any) -> None:
    """Write one line."""
    typer.echo(json.dumps(document))


def retrain(
    folder: Annotated[Path, typer.Option(help="The run's own folder.")],
    level: Annotated[LevelName, typer.Option(help="Training level.")],
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")],
    config: ConfigOption = None,
) -> None:
    """Train on a snapshot of the history, which a resumed run finds again."""
    from daemon.system.process import give_way

    give_way()
    from daemon.cli.data import read_input
    from daemon.ingest.metrics_file import write_metrics_file

    snapshot, chosen = folder / _SNAPSHOT, LEVELS[level]
    if not snapshot.exists():
        write_metrics_file(snapshot, read_input(config, None, None, chosen.history_hours, trains=True).panel)
    given = read_input(config, snapshot, None, chosen.history_hours, trains=True)

    from daemon.models.claims import sayable, shown_reasons
    from daemon.models.record import tested
    from daemon.models.registry import ModelRegistry
    from daemon.pipeline.training import train_and_register
    from daemon.system.logs import configure_logs

    configure_logs("warning", "json")
    trained = train_and_register(
        given.panel,
        given.metrics,
        given.zone,
        chosen,
        registry=ModelRegistry(given.models),
        progress=_Lines(),
        seed=seed,
        start="base",
        target_precision=given.target_precision,
    )
    reasons = shown_reasons(trained.verdict.reasons, sayable(chosen, tested(trained.model.info)))
    say(model=trained.name, promoted=trained.verdict.promoted, reasons=reasons)


class MonitoredThreshold:
    """Turns the steps of all epochs into one progress, and says each epoch's losses."""

    def __init__(self, report: Callable[[float], None], epochs: int) -> None:
        self._report, self._epochs = report, epochs

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Report how much of all epochs is done."""
        self._report((epoch + step / steps) / self._epochs)

    def epoch(self, record: EpochRecord) -> None:
        """Say the losses of an epoch."""
        Console(stderr=True, highlight=False).print(
            f"epoch {record.epoch + 1}/{self._epochs}: train loss {record.train_loss:.4f}, "
            f"validation loss {record.val_loss:.4f}, {record.time_seconds:.1f} s, "
            f"{record.samples_per_second:.0f} windows/s"
        )


def print_summary(name: str, info: Mapping[str, Any], level: Level) -> None:
    """Print which model was made, of what, and what may be said of it."""
    if info["data_hours"] < level.data_hours:
        typer.echo(
            f"note: level {level.name.value} wants {level.data_hours} h of history; there were {info['data_hours']:g} h"
        )
    allowed = sayable(level, tested(info))
    loss = "" if allowed is Sayable.NOTHING else f"; validation loss {info['final_val_loss']:.4f}"
    typer.echo(
        f"model {name}: level {info['level']}, {info['num_servers']} servers, {info['data_hours']:g} h, "
        f"{info['epochs']} epochs in {info['training_time_hours'] * 3600:.1f} s on {info['device']}{loss}"
    )
    if level.name is LevelName.DEMO:
        typer.echo("A demo model is a proof of concept: nothing may be said of its accuracy.")
    elif allowed is Sayable.HELD_OUT and info["quantile_loss"] is not None:
        typer.echo(f"Held-out test: quantile loss {info['quantile_loss']:.3f} of a day's seasonal naive error.")
    verdict = info["verdict"]
    typer.echo(
        "The gate lets it serve:" if verdict["promoted"] else "The gate rejects it; it is kept and does not serve:"
    )
    for reason in shown_reasons(verdict["reasons"], allowed):
        typer.echo(f"  {reason}")


def train(
    level: Annotated[
        LevelName | None, typer.Option(help="How much data and how long; default from the config.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Metrics file instead of the store.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes at most, instead of the level's.")] = None,
    *,
    until: Annotated[str | None, typer.Option(help="Use no data after this time (ISO 8601, with zone).")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of model directories.")] = None,
    from_: Annotated[
        str, typer.Option("--from", help="Start from this model; or `base`, the packaged network; or `scratch`.")
    ] = "base",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness in training.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train even on less than a week of history.")] = False,
    config: ConfigOption = None,
) -> None:
    """Train a model, and let it serve if it beats what serves."""
    from daemon.cli.app import progress_bar
    from daemon.cli.data import read_input

    longest = max(each.history_hours for each in LEVELS.values())
    given = read_input(config, data, models, longest, until, trains=True)
    chosen = LEVELS[level or given.level]

    from daemon.models.registry import ModelRegistry
    from daemon.pipeline.training import train_and_register
    from daemon.system.logs import configure_logs

    configure_logs("warning", "auto")
    with progress_bar(f"training at level {chosen.name.value}") as report:
        trained = train_and_register(
            given.panel,
            given.metrics,
            given.zone,
            chosen,
            registry=ModelRegistry(given.models),
            progress=MonitoredThreshold(report, epochs or chosen.epochs),
            seed=given.seed if seed is None else seed,
            start=from_,
            epochs=epochs,
            force=force,
            target_precision=given.target_precision,
        )
    print_summary(trained.name, trained.model.info, chosen)
    if not trained.verdict.promoted:
        raise typer.Exit(3)
