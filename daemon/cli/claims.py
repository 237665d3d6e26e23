from daemon.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, ModelOption, ModelsOption


def claims(
    model: ModelOption = None,
    folder: ModelsOption = None,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say what may and what must not be said of a model's accuracy, with the numbers and where they stand."""
    from daemon.cli.claims_text import print_claims
    from daemon.cli.registry import registry_of
    from daemon.registry.standing import claims_of, standing_of

    registry = registry_of(folder, config)
    standing = standing_of(registry, model)
    print_claims(standing, claims_of(registry, standing), json)
