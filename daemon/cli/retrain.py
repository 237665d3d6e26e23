"""The hidden command that the service starts for a training; for people there is ``forewarn train``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption
from daemon.domain.levels import LEVELS, LevelName

if TYPE_CHECKING:
    from daemon.learning.fitting import EpochRecord

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
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Train on a snapshot of the history, which a resumed run finds again."""
    from daemon.service.subordinate import give_way

    give_way()
    from daemon.cli.data import read_input
    from daemon.files.metrics_file import write_metrics_file

    snapshot, chosen = folder / _SNAPSHOT, LEVELS[level]
    if not snapshot.exists():
        write_metrics_file(snapshot, read_input(config, None, None, chosen.history_hours).panel)
    given = read_input(config, snapshot, None, chosen.history_hours)

    from daemon.domain.claims import sayable, tested
    from daemon.domain.shown_figures import shown_reasons
    from daemon.pipeline.training import train_and_register
    from daemon.registry.models import ModelRegistry
    from daemon.service.logs import configure_logs

    configure_logs("warning", "json")
    trained = train_and_register(
        given.panel,
        given.metrics,
        given.zone,
        chosen,
        ModelRegistry(given.models),
        _Lines(),
        seed=seed,
        start="base",
        target_precision=given.target_precision,
    )
    reasons = shown_reasons(trained.verdict.reasons, sayable(chosen, tested(trained.model.info)))
    say(model=trained.name, promoted=trained.verdict.promoted, reasons=reasons)
