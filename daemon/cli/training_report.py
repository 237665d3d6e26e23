"""What a person sees of a training run in the terminal."""

from collections.abc import Callable, Mapping
from typing import Any

import typer
from rich.console import Console

from daemon.domain.claims import sayable, tested
from daemon.domain.levels import Level, LevelName, Sayable
from daemon.domain.shown_figures import shown_reasons
from daemon.learning.fitting import EpochRecord


class Watch:
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
