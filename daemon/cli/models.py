"""``forewarn models``: what was trained, what serves, and changing that by hand."""

from typing import Annotated

import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, ModelsOption
from daemon.cli.registry import registry_of

ModelArgument = Annotated[str, typer.Argument(help="Id of a model.", metavar="ID")]

models = typer.Typer(
    help="List, show, promote, roll back and verify models.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@models.command("list")
def list_(folder: ModelsOption = None, json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the models, oldest first; the one that serves is marked."""
    from daemon.cli.models_table import print_list

    print_list(registry_of(folder, config), json)


@models.command()
def show(
    model: ModelArgument, folder: ModelsOption = None, json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Show what is on record of a model, and why the gate let it serve or not."""
    from daemon.cli.models_table import print_model

    print_model(registry_of(folder, config), model, json)


@models.command()
def promote(model: ModelArgument, folder: ModelsOption = None, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let a model serve, whatever the gate said of it."""
    from daemon.domain.errors import BadModel
    from daemon.domain.shown_figures import shown_figures

    registry = registry_of(folder, config)
    path, damage = registry.path(model), registry.damage(model)
    if damage is not None:
        raise BadModel(f"{path}: is damaged and cannot serve: {damage}")
    record = registry.record(model)
    rejected = record is not None and record.promoted is False
    registry.promote(model, "promoted by hand" + ", though the gate had rejected it" * rejected)
    typer.echo(f"{model} serves from the next tick")
    if record is not None and rejected:
        typer.echo(f"note: the gate had rejected it: {' '.join(shown_figures(record).reasons)}", err=True)


@models.command()
def rollback(folder: ModelsOption = None, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let the model serve again that served before the present one."""
    done = registry_of(folder, config).rollback()
    for skipped, damage in done.skipped.items():
        typer.echo(f"skipped {skipped}: {damage}", err=True)
    typer.echo(f"{done.model} serves again from the next tick, instead of {done.instead_of}")


@models.command()
def verify(model: ModelArgument, folder: ModelsOption = None, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Check that a model's directory is whole, can be loaded, and holds nothing else."""
    from daemon.domain.errors import BadModel
    from daemon.registry.verification import problems

    registry = registry_of(folder, config)
    found = problems(registry.path(model))
    if registry.damage(model) is None:
        from daemon.learning.artifact import load_forecaster

        try:
            load_forecaster(registry.path(model), {})
        except BadModel as problem:
            found.append(str(problem))
    for text in found:
        typer.echo(f"{model}: {text}", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{model}: whole")
