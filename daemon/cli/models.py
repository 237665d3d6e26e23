"""``forewarn models``, ``claims`` and ``readiness``: what was trained, what serves, and what may be claimed of it."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from daemon.cli.app import REFUSED, ConfigOption, JsonOption, ModelOption, ModelsOption, table_console
from daemon.cli.data import registry_of
from daemon.core.errors import BadModel
from daemon.core.training_info import TrainingInfo
from daemon.models.claims import Claims, ServingStatus, claims_of, serving_status, shown_figures
from daemon.models.readiness import Readiness, readiness_of
from daemon.models.record import ModelRecord, problems
from daemon.models.registry import ModelRegistry, demotion_text

_DECISIONS = {True: "promoted", False: "rejected", None: "before the gate"}

ModelArgument = Annotated[str, typer.Argument(help="Id of a model.", metavar="ID")]

models = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})


@models.callback()
def group() -> None:
    """List, show, promote, roll back and verify models."""


def claims(
    model: ModelOption = None,
    folder: ModelsOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print what may and what must not be claimed of a model's accuracy, with the numbers and their sources."""
    registry = registry_of(folder, config)
    status = serving_status(registry, model)
    print_claims(status, claims_of(registry, status), json)


def headline(status: ServingStatus, level: str | None) -> str:
    """Return the model, its level, and whether it serves."""
    if status.model is None:
        return "no model serves"
    state = ", demoted" if status.demotion is not None else ", serves" if status.serves else ""
    return f"{status.model}: level {level}{state}"


def print_claims(status: ServingStatus, made: Claims, as_json: bool) -> None:
    """Print each claim with its number and its source, and what must not be claimed."""
    if as_json:
        typer.echo(json.dumps({**_status(status), **asdict(made)}))
        return
    typer.echo(headline(status, made.level))
    typer.echo("\nwhat may be claimed:")
    for claim in made.may:
        typer.echo(f"  - {claim.sentence}\n      {claim.number:g} ({claim.source})")
    if not made.may:
        typer.echo("  nothing")
    typer.echo("\nwhat must not be claimed:")
    for sentence in made.must_not:
        typer.echo(f"  - {sentence}")


def readiness(
    model: ModelOption = None,
    folder: ModelsOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print the checklist for production, each check with its evidence; exit 3 if one fails."""
    registry = registry_of(folder, config)
    status = serving_status(registry, model)
    made = readiness_of(registry, status)
    print_readiness(status, made, json)
    if not made.ready:
        typer.echo(f"forewarn: not ready for production: {', '.join(made.failing)}", err=True)
        raise typer.Exit(REFUSED)


def print_readiness(status: ServingStatus, made: Readiness, as_json: bool) -> None:
    """Print each check with its evidence, and what to do where it fails."""
    if as_json:
        typer.echo(json.dumps({**_status(status), "ready": made.ready, **asdict(made)}))
        return
    typer.echo(headline(status, made.level))
    for check in made.checks:
        typer.echo(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.evidence} ({check.source})")
        if check.fix:
            typer.echo(f"      {check.fix}")


@models.command("list")
def list_(folder: ModelsOption = None, json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the models, oldest first; the one that serves is marked."""
    print_list(registry_of(folder, config), json)


@models.command()
def show(
    model: ModelArgument, folder: ModelsOption = None, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show the record of a model, and why the gate promoted or rejected it."""
    print_model(registry_of(folder, config), model, json)


@models.command()
def promote(model: ModelArgument, folder: ModelsOption = None, config: ConfigOption = None) -> None:
    """Let a model serve, whatever the gate decided."""
    registry = registry_of(folder, config, writes=True)
    path, integrity_error = registry.path(model), registry.integrity_error(model)
    if integrity_error is not None:
        raise BadModel(f"{path}: is damaged and cannot serve: {integrity_error}")
    record = registry.record(model)
    rejected = record is not None and _promoted(record.info) is False
    registry.promote(model, "promoted by hand" + ", although the gate had rejected it" * rejected)
    typer.echo(f"{model} serves from the next tick")
    if record is not None and rejected:
        typer.echo(f"note: the gate had rejected it: {' '.join(shown_figures(record.info).reasons)}", err=True)


@models.command()
def rollback(folder: ModelsOption = None, config: ConfigOption = None) -> None:
    """Let the model serve again that served before the current one."""
    done = registry_of(folder, config, writes=True).rollback()
    for skipped, integrity_error in done.skipped.items():
        typer.echo(f"skipped {skipped}: {integrity_error}", err=True)
    typer.echo(f"{done.model} serves again from the next tick, instead of {done.instead_of}")


@models.command()
def verify(model: ModelArgument, folder: ModelsOption = None, config: ConfigOption = None) -> None:
    """Check that a model's directory is complete, can be loaded, and has no other files."""
    registry = registry_of(folder, config)
    found = problems(registry.path(model))
    if registry.integrity_error(model) is None:
        from daemon.network.artifact import load_forecaster

        try:
            load_forecaster(registry.path(model), {})
        except BadModel as problem:
            found.append(str(problem))
    for text in found:
        typer.echo(f"{model}: {text}", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{model}: complete")


def print_list(registry: ModelRegistry, as_json: bool) -> None:
    """Print a row for each model; that of a damaged one has the problem."""
    current = registry.current()
    rows = [_row(registry, model, current) for model in registry.ids()]
    if as_json:
        typer.echo(json.dumps({"current": current, "models": rows}))
        return
    table = Table(title="models")
    for name in ("", "id", "trained", "level", "epochs", "quantile loss", "gate"):
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
            _DECISIONS[row["promoted"]],
        )
    table_console().print(table)
    if not rows:
        typer.echo("no model yet; make one with forewarn train", err=True)
    if current is not None and current not in registry.ids():
        typer.echo(f"note: {current} is to serve and is missing; go back with forewarn models rollback", err=True)


def print_model(registry: ModelRegistry, model: str, as_json: bool) -> None:
    """Print the record of one model."""
    record = registry.record(model)
    if record is None:
        raise BadModel(f"{registry.path(model)}: it has no record of its training")
    integrity_error = registry.integrity_error(model)
    served = [asdict(promotion) for promotion in registry.promotions() if promotion.model == model]
    demoted = registry.demotion(model) is not None
    serves = registry.current() == model and not demoted
    info, shown = record.info, shown_figures(record.info)
    if as_json:
        state = {"serves": serves, "withdrawn": demoted, "damage": integrity_error, "promotions": served}
        typer.echo(json.dumps({**_record(record), **asdict(shown), **state}))
        return
    typer.echo(
        f"{model}: level {info.level.value}, trained {_time(info)} in {info.duration_seconds:.0f} s"
        f"{', demoted' if demoted else ', serves' if serves else ''}\n"
        f"epochs {info.epochs}, train loss {info.final_train_loss:.4f}, "
        f"validation loss {_loss(shown.validation_loss, info.final_val_loss, 4)}, "
        f"quantile loss {_loss(shown.quantile_loss, info.quantile_loss, 3)}\n"
        f"gate decision: {_DECISIONS[_promoted(info)]}"
    )
    for reason in shown.reasons:
        typer.echo(f"  {reason}")
    if integrity_error is not None:
        typer.echo(f"damaged: {integrity_error}")
    for promotion in served:
        what = "demoted at" if promotion["withdrawn"] else "served from"
        typer.echo(f"{what} {promotion['at']}: {promotion['why']}")
    typer.echo(f"what may be claimed of it: forewarn claims --model {model}")
    if not shown.skill:
        return
    table = Table(title="pinball loss relative to seasonal naive")
    table.add_column("metric")
    table.add_column("rel. loss", justify="right")
    for metric, ratio in sorted(shown.skill.items()):
        table.add_row(escape(metric), f"{ratio:.3f}")
    table_console().print(table)


def _row(registry: ModelRegistry, model: str, current: str | None) -> dict[str, Any]:
    demoted = registry.demotion(model) is not None
    row: dict[str, Any] = {"id": model, "serves": model == current and not demoted, "withdrawn": demoted}
    integrity_error = registry.integrity_error(model)
    if integrity_error is not None:
        return {**row, "problem": integrity_error}
    record = registry.record(model)
    if record is None:
        return {**row, "problem": "it has no record of its training"}
    return {
        **row,
        "trained_at": _time(record.info),
        "level": record.info.level.value,
        "epochs": record.info.epochs,
        "quantile_loss": shown_figures(record.info).quantile_loss,
        "promoted": _promoted(record.info),
    }


def _loss(shown: float | None, recorded: float | None, digits: int) -> str:
    if shown is not None:
        return f"{shown:.{digits}f}"
    return "not measured" if recorded is None else "not to be claimed"


def _mark(row: dict[str, Any]) -> str:
    return "demoted" if row["withdrawn"] else "serves" if row["serves"] else ""


def _time(info: TrainingInfo) -> str:
    return datetime.fromtimestamp(info.trained_seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _promoted(info: TrainingInfo) -> bool | None:
    return None if info.verdict is None else info.verdict.promoted


def _status(status: ServingStatus) -> dict[str, Any]:
    return {"model": status.model, "serves": status.serves, "withdrawn": demotion_text(status.demotion)}


def _record(record: ModelRecord) -> dict[str, Any]:
    """Return the keys of ``models show --json`` that the record of a training gives."""
    info = record.info
    return {
        "model": record.model,
        "level": info.level,
        "trained_at": info.trained_seconds,
        "epochs": info.epochs,
        "learning_rate": record.last_epoch.learning_rate,
        "samples_per_second": record.last_epoch.samples_per_second,
        "duration_seconds": info.duration_seconds,
        "promoted": _promoted(info),
        "trained_until": info.trained_until,
        "servers": info.servers or (),
        "tested": info.tested,
    }
