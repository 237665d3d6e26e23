"""Loads the configuration file and the web configuration that it names."""

from importlib.resources import files
from pathlib import Path

from daemon.config.document import read_text, validated, with_absolute_paths
from daemon.config.schema import Config
from daemon.config.web import load_web_config
from daemon.core.errors import ConfigError


def default_text() -> str:
    """Return the commented configuration that ships with the package."""
    return (files("daemon.config") / "default.yaml").read_text(encoding="utf-8")


def load_config(path: Path) -> Config:
    """Return the configuration in ``path``; relative paths in it are resolved against its directory.

    Raises:
        ConfigError: the file cannot be read or is not valid; contains every problem with key path, value and fix.
    """
    text = read_text(path, "name a file with --config, or create one with forewarn init")
    config = parse_config(text, str(path), path.absolute().parent)
    if config.http.web_config_file is not None:
        web = load_web_config(config.http.web_config_file)
        if not (config.http.is_protected or web.authenticates):
            where = f"{path}: http.listen: {config.http.listen} is not loopback"
            fix = "add basic_auth_users, or client_auth_type: RequireAndVerifyClientCert"
            raise ConfigError([f"{where}, and {config.http.web_config_file} requires no authentication; {fix}"])
    return config


def parse_config(text: str, name: str, folder: Path) -> Config:
    """Return the configuration in ``text``.

    Args:
        text: YAML.
        name: name of the text in errors.
        folder: directory that relative paths are resolved against.

    Raises:
        ConfigError: as ``load_config``.
    """
    return with_absolute_paths(validated(Config, text, name, "keys such as sources: and metrics:"), folder)
