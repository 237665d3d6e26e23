"""Where a command finds the models."""

from pathlib import Path

from daemon.cli.options import DEFAULT_CONFIG
from daemon.registry.models import ModelRegistry


def registry_of(folder: Path | None, config: Path) -> ModelRegistry:
    """Return the models in ``folder``, or where that is None those of the configuration.

    Raises:
        ConfigError: the configuration cannot be used, or is named and not there.
    """
    from daemon.config.loading import default_text, load_config, parse_config

    if folder is not None:
        return ModelRegistry(folder)
    given = config.exists() or config != DEFAULT_CONFIG
    loaded = load_config(config) if given else parse_config(default_text(), "default.yaml", Path.cwd())
    return ModelRegistry(loaded.models_dir)
