from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption
from daemon.domain.levels import LEVELS, LevelName


def train(
    level: Annotated[
        LevelName | None, typer.Option(help="How much data and how long; default from the config.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Metrics file instead of the store.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes at most, instead of the level's.")] = None,
    until: Annotated[str | None, typer.Option(help="Use no data after this time (ISO 8601, with zone).")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of model directories.")] = None,
    from_: Annotated[
        str, typer.Option("--from", help="Start from this model; or `base`, the packaged network; or `scratch`.")
    ] = "base",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness in training.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train even on less than a week of history.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Train a model, and let it serve if it beats what serves."""
    from daemon.cli.data import read_input
    from daemon.cli.progress import progress_bar

    longest = max(each.history_hours for each in LEVELS.values())
    given = read_input(config, data, models, longest, until)
    chosen = LEVELS[level or given.level]

    from daemon.cli.training_report import Watch, print_summary
    from daemon.pipeline.training import train_and_register
    from daemon.registry.models import ModelRegistry
    from daemon.service.logs import configure_logs

    configure_logs("warning", "auto")
    with progress_bar(f"training at level {chosen.name.value}") as report:
        trained = train_and_register(
            given.panel,
            given.metrics,
            given.zone,
            chosen,
            ModelRegistry(given.models),
            Watch(report, epochs or chosen.epochs),
            seed=given.seed if seed is None else seed,
            start=from_,
            epochs=epochs,
            force=force,
            target_precision=given.target_precision,
        )
    print_summary(trained.name, trained.model.info, chosen)
    if not trained.verdict.promoted:
        raise typer.Exit(3)
