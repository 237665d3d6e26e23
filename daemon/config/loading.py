"""The configuration file: from YAML to what the program works with."""

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
    """Return the configuration in ``path``, relative paths in it resolved against its folder.

    Raises:
        ConfigError: the file cannot be read or used; names every problem with key path, value and fix.
    """
    text = read_text(path, "name a file with --config, or make one with forewarn init")
    config = parse_config(text, str(path), path.absolute().parent)
    if config.http.web_config_file is not None:
        web = load_web_config(config.http.web_config_file)
        if not (config.http.is_protected or web.authenticates):
            where = f"{path}: http.listen: {config.http.listen} is not loopback"
            fix = "add basic_auth_users, or client_auth_type: RequireAndVerifyClientCert"
            raise ConfigError([f"{where}, and {config.http.web_config_file} asks nobody who they are; {fix}"])
    return config


def parse_config(text: str, name: str, folder: Path) -> Config:
    """Return the configuration in ``text``.

    Args:
        text: YAML.
        name: what to call it in errors.
        folder: what relative paths in it are relative to.

    Raises:
        ConfigError: as ``load_config``.
    """
    return with_absolute_paths(validated(Config, text, name, "keys such as sources: and metrics:"), folder)
