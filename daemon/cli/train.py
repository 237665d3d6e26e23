"""``forewarn train``, ``retrain`` (the service's child) and ``pretrain``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from daemon.cli.app import REFUSED, ConfigOption, ModelsOption
from daemon.core.levels import LEVELS, LevelName, Sayable
from daemon.core.training_info import EpochRecord, TrainingInfo
from daemon.models.claims import allowed_figures, shown_figures
from daemon.service.training_process import EpochLine, ResultLine, StepLine

_PRETRAINING_EPOCHS = 7
_SYNTHETIC_FLEETS = 16
_INCIDENT_FLEETS = 8
_SNAPSHOT = "snapshot.parquet"


def train(
    level: Annotated[LevelName | None, typer.Option(help="Training level; default from the configuration.")] = None,
    data: Annotated[Path | None, typer.Option(help="Metrics file instead of the store.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Maximum number of epochs; default from the level.")] = None,
    *,
    until: Annotated[str | None, typer.Option(help="Use no data after this time (ISO 8601, with zone).")] = None,
    models: ModelsOption = None,
    from_: Annotated[
        str, typer.Option("--from", help="Start from this model; or `base`, the packaged network; or `scratch`.")
    ] = "base",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness in training.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train even on less than a week of history.")] = False,
    config: ConfigOption = None,
) -> None:
    """Train a model, and promote it if it beats what serves."""
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
            progress=EpochProgress(report, epochs or chosen.epochs),
            seed=given.seed if seed is None else seed,
            start=from_,
            epochs=epochs,
            force=force,
            target_precision=given.target_precision,
        )
    print_summary(trained.name, trained.model.info)
    if not trained.decision.promoted:
        raise typer.Exit(REFUSED)


class EpochProgress:
    """Reports the progress over all epochs, and prints the losses of each epoch."""

    def __init__(self, report: Callable[[float], None], epochs: int) -> None:
        self._report, self._epochs = report, epochs

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Report the finished share of all epochs."""
        self._report((epoch + step / steps) / self._epochs)

    def epoch(self, record: EpochRecord) -> None:
        """Print the losses of an epoch."""
        Console(stderr=True, highlight=False).print(
            f"epoch {record.epoch + 1}/{self._epochs}: train loss {record.train_loss:.4f}, "
            f"validation loss {record.val_loss:.4f}, {record.time_seconds:.1f} s, "
            f"{record.samples_per_second:.0f} windows/s"
        )


def print_summary(name: str, info: TrainingInfo) -> None:
    """Print the model, its training, the figures that may be claimed, and the decision of the gate."""
    level, allowed, shown = info.training_level, allowed_figures(info), shown_figures(info)
    if info.data_hours < level.data_hours:
        typer.echo(
            f"note: level {level.name.value} needs {level.data_hours} h of history; there were {info.data_hours:g} h"
        )
    loss = "" if shown.validation_loss is None else f"; validation loss {shown.validation_loss:.4f}"
    typer.echo(
        f"model {name}: level {level.name.value}, {info.num_servers} servers, {info.data_hours:g} h, "
        f"{info.epochs} epochs in {info.duration_seconds:.1f} s on {info.device}{loss}"
    )
    if level.name is LevelName.DEMO:
        typer.echo("A demo model is a proof of concept: nothing may be claimed of its accuracy.")
    elif allowed is Sayable.HELD_OUT and shown.quantile_loss is not None:
        typer.echo(f"Held-out test: quantile loss {shown.quantile_loss:.3f} of a day's seasonal naive error.")
    promoted = info.verdict is not None and info.verdict.promoted
    typer.echo("Promoted: it serves." if promoted else "Rejected: stored but not serving.")
    for reason in shown.reasons:
        typer.echo(f"  {reason}")


def retrain(
    folder: Annotated[Path, typer.Option(help="The run's own folder.")],
    level: Annotated[LevelName, typer.Option(help="Training level.")],
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")],
    config: ConfigOption = None,
) -> None:
    """Train on a snapshot of the history; a resumed run uses the same snapshot."""
    from daemon.system.process import give_way

    give_way()
    from daemon.cli.data import read_input
    from daemon.ingest.metrics_file import write_metrics_file

    snapshot, chosen = folder / _SNAPSHOT, LEVELS[level]
    if not snapshot.exists():
        write_metrics_file(snapshot, read_input(config, None, None, chosen.history_hours, trains=True).panel)
    given = read_input(config, snapshot, None, chosen.history_hours, trains=True)

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
        progress=_JsonLines(),
        seed=seed,
        start="base",
        target_precision=given.target_precision,
    )
    reasons = shown_figures(trained.model.info).reasons
    _print_line(ResultLine(model=trained.name, promoted=trained.decision.promoted, reasons=reasons))


class _JsonLines:
    """Prints progress as lines of JSON, which the service reads."""

    def __init__(self) -> None:
        self._percent = -1

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Print the share of the epoch, in whole percent."""
        percent = 100 * step // steps
        if percent != self._percent:
            self._percent = percent
            _print_line(StepLine(epoch=epoch, epoch_share=percent / 100))

    def epoch(self, record: EpochRecord) -> None:
        """Print the record of an epoch."""
        _print_line(EpochLine(record=record))


def _print_line(line: StepLine | EpochLine | ResultLine) -> None:
    typer.echo(line.model_dump_json())


def pretrain(
    data: Annotated[list[Path], typer.Option(help="Metrics file of a fleet; give one option for each fleet.")],
    out: Annotated[Path, typer.Option(help="Folder for the network; it must not exist yet.")],
    epochs: Annotated[
        int, typer.Option(min=0, help="Passes over the largest fleet; with --from, 0 trains the breach model only.")
    ] = _PRETRAINING_EPOCHS,
    *,
    synthetic: Annotated[
        int, typer.Option(min=0, help="Number of fleets of random series to add.")
    ] = _SYNTHETIC_FLEETS,
    incidents: Annotated[
        int, typer.Option(min=0, help="Number of simulated fleets with incidents, for the breach model.")
    ] = _INCIDENT_FLEETS,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Folder of a pretrained network whose weights training starts from.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all randomness in training.")] = 0,
) -> None:
    """Train the base network, which is one for all fleets, on many fleets."""
    from zoneinfo import ZoneInfo

    from daemon.cli.app import progress_bar
    from daemon.config.loading import default_text, parse_config
    from daemon.core.errors import ConfigError
    from daemon.ingest.metrics_file import read_metrics_file
    from daemon.network.artifact import load_network
    from daemon.network.pretraining import PRETRAINING_FILE
    from daemon.network.pretraining import pretrain as pretrain_network
    from daemon.system.files import atomic_directory

    if out.exists():
        raise ConfigError([f"--out {out}: exists; name a new folder"])
    if not epochs and from_ is None:
        raise ConfigError(["--epochs 0: there is no network to keep; give one with --from, or at least 1 epoch"])
    fleets = {_name(path): read_metrics_file(path) for path in data}
    started_from = None if from_ is None else _pretraining_record(from_ / PRETRAINING_FILE)
    start = None if from_ is None else load_network(from_)[0]
    metrics = parse_config(default_text(), "default.yaml", Path.cwd()).domain_metrics()
    with progress_bar("pretraining") as report:
        # the breach model counts as one more epoch
        parts = epochs + 1
        progress = EpochProgress(lambda done: report(done * epochs / parts), epochs)
        made = pretrain_network(
            fleets,
            ZoneInfo("UTC"),
            epochs=epochs,
            synthetic_fleets=synthetic,
            incident_fleets=incidents,
            metrics=metrics,
            start=start,
            started_from=started_from,
            seed=seed,
            on_epoch=progress.epoch,
            on_step=progress.step,
            on_breaches=lambda done: report((epochs + done) / parts),
        )
    with atomic_directory(out) as folder:
        made.write(folder)
    typer.echo(
        f"{out}: trained on {len(fleets)} fleets, {synthetic} synthetic fleets and {incidents} with incidents, "
        f"validation loss {made.fit.best_loss:.4f}"
    )


def _pretraining_record(path: Path) -> dict[str, Any]:
    from daemon.core.errors import ConfigError
    from daemon.core.file_access import reason_of

    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise ConfigError([f"--from {path.parent}: {reason_of(error)}"]) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            [f"--from {path.parent}: {path.name} is missing or damaged; name a folder that pretrain wrote"]
        ) from error
    return record


def _name(path: Path) -> str:
    """Return the file's name with its folder, because many files are called data.parquet."""
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"
