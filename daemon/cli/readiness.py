import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, ModelOption, ModelsOption


def readiness(
    model: ModelOption = None,
    folder: ModelsOption = None,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Go through the checklist for production, each line with its evidence; exit 3 if one fails."""
    from daemon.cli.readiness_text import print_readiness
    from daemon.cli.registry import registry_of
    from daemon.registry.readiness import readiness_of
    from daemon.registry.standing import standing_of

    registry = registry_of(folder, config)
    standing = standing_of(registry, model)
    made = readiness_of(registry, standing)
    print_readiness(standing, made, json)
    if not made.ready:
        typer.echo(f"forewarn: not ready for production: {', '.join(made.failing)}", err=True)
        raise typer.Exit(3)
