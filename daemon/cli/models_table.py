"""Models for a terminal, and as documents."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from daemon.cli.tables import table_console
from daemon.domain.errors import BadModel
from daemon.domain.shown_figures import shown_figures
from daemon.registry.models import ModelRegistry

_VERDICTS = {True: "promoted", False: "rejected", None: "before the gate"}


def print_list(registry: ModelRegistry, as_json: bool) -> None:
    """Print a row per model; a damaged one says what is wrong with it."""
    current = registry.current()
    rows = [_row(registry, model, current) for model in registry.ids()]
    if as_json:
        typer.echo(json.dumps({"current": current, "models": rows}))
        return
    table = Table(title="models")
    for name in ("", "id", "trained", "level", "epochs", "quantile loss", "verdict"):
        table.add_column(name, justify="right" if name in ("epochs", "quantile loss") else "left")
    for row in rows:
        if "problem" in row:
            table.add_row(_mark(row), escape(row["id"]), "", "", "", "", escape(f"damaged: {row['problem']}"))
            continue
        loss = "" if row["quantile_loss"] is None else f"{row['quantile_loss']:.3f}"
        table.add_row(
            _mark(row),
            escape(row["id"]),
            row["trained_at"],
            row["level"],
            str(row["epochs"]),
            loss,
            _VERDICTS[row["promoted"]],
        )
    table_console().print(table)
    if not rows:
        typer.echo("no model yet; make one with forewarn train", err=True)
    if current is not None and current not in registry.ids():
        typer.echo(f"note: {current} is to serve and is not there; forewarn models rollback goes back", err=True)


def print_model(registry: ModelRegistry, model: str, as_json: bool) -> None:
    """Print what is on record of one model."""
    record = registry.record(model)
    if record is None:
        raise BadModel(f"{registry.path(model)}: nothing is on record of its training")
    damage = registry.damage(model)
    served = [asdict(promotion) for promotion in registry.promotions() if promotion.model == model]
    withdrawn = registry.withdrawal(model) is not None
    serves = registry.current() == model and not withdrawn
    shown = shown_figures(record)
    if as_json:
        told = {"serves": serves, "withdrawn": withdrawn, "damage": damage, "promotions": served}
        typer.echo(json.dumps({**asdict(record), **asdict(shown), **told}))
        return
    typer.echo(
        f"{model}: level {record.level.value}, trained {_time(record.trained_at)} in {record.duration_seconds:.0f} s"
        f"{', withdrawn' if withdrawn else ', serves' if serves else ''}\n"
        f"epochs {record.epochs}, train loss {record.train_loss:.4f}, "
        f"validation loss {_loss(shown.validation_loss, record.validation_loss, 4)}, "
        f"quantile loss {_loss(shown.quantile_loss, record.quantile_loss, 3)}\n"
        f"verdict: {_VERDICTS[record.promoted]}"
    )
    for reason in shown.reasons:
        typer.echo(f"  {reason}")
    if damage is not None:
        typer.echo(f"damaged: {damage}")
    for promotion in served:
        what = "withdrawn at" if promotion["withdrawn"] else "served from"
        typer.echo(f"{what} {promotion['at']}: {promotion['why']}")
    typer.echo(f"what may be said of it: forewarn claims --model {model}")
    if not shown.skill:
        return
    table = Table(title="pinball loss relative to seasonal naive")
    table.add_column("metric")
    table.add_column("rel. loss", justify="right")
    for metric, ratio in sorted(shown.skill.items()):
        table.add_row(escape(metric), f"{ratio:.3f}")
    table_console().print(table)


def _row(registry: ModelRegistry, model: str, current: str | None) -> dict[str, Any]:
    withdrawn = registry.withdrawal(model) is not None
    row: dict[str, Any] = {"id": model, "serves": model == current and not withdrawn, "withdrawn": withdrawn}
    damage = registry.damage(model)
    if damage is not None:
        return {**row, "problem": damage}
    record = registry.record(model)
    if record is None:
        return {**row, "problem": "nothing is on record of its training"}
    return {
        **row,
        "trained_at": _time(record.trained_at),
        "level": record.level.value,
        "epochs": record.epochs,
        "quantile_loss": shown_figures(record).quantile_loss,
        "promoted": record.promoted,
    }


def _loss(shown: float | None, recorded: float | None, digits: int) -> str:
    if shown is not None:
        return f"{shown:.{digits}f}"
    return "not measured" if recorded is None else "not to be said"


def _mark(row: dict[str, Any]) -> str:
    return "withdrawn" if row["withdrawn"] else "serves" if row["serves"] else ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
