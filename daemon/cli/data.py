"""The inputs of a command: its configuration, its models, and its history from a metrics file or the store."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer

from daemon.core.errors import ConfigError, NotEnoughHistory
from daemon.core.file_access import is_present, may, permission_denied, user_name
from daemon.core.levels import LevelName
from daemon.core.metric import Metric
from daemon.core.series import STEP_SECONDS, Panel, ProfileRules, floor_to_grid, parse_time
from daemon.models.registry import ModelRegistry

if TYPE_CHECKING:
    from daemon.config.schema import Config

VARIABLE = "FOREWARN_CONFIG"
LOCAL_CONFIG = Path("config.yaml")
SYSTEM_CONFIG = Path("/etc/forewarn/config.yaml")
_EMPTY_STORE = "the store is empty; start the service first, or import a metrics file"


def find_config(option: Path | None) -> Path | None:
    """Return the configuration file: ``--config``, ``$FOREWARN_CONFIG``, ``./config.yaml``, or the one in ``/etc``.

    Raises:
        ConfigError: the file of the option or of the variable does not exist.
    """
    named = os.environ.get(VARIABLE)
    for name, path in (("--config", option), (f"${VARIABLE}", Path(named) if named else None)):
        if path is None:
            continue
        if not is_present(path):
            raise ConfigError(
                [f"{name} {path}: does not exist; name an existing file, or create one with forewarn init"]
            )
        return path
    return next((path for path in (LOCAL_CONFIG, SYSTEM_CONFIG) if is_present(path)), None)


def config_file(option: Path | None) -> Path:
    """Return the configuration file; report it on stderr unless ``--config`` names it.

    Raises:
        ConfigError: there is no configuration file.
    """
    file = find_config(option)
    if file is None:
        searched = f"${VARIABLE} is not set, and neither {LOCAL_CONFIG} nor {SYSTEM_CONFIG} exists"
        raise ConfigError(
            [f"no configuration: {searched}; name a file with --config, or create one with forewarn init"]
        )
    if option is None:
        typer.echo(f"forewarn: using the configuration {file}", err=True)
    return file


def configuration(option: Path | None, *, required: bool = True) -> "Config":
    """Return the configuration of a command, from the file of ``find_config``.

    Args:
        option: value of ``--config``.
        required: fail without a file; otherwise the defaults of the package apply.

    Raises:
        ConfigError: there is no configuration file, or it is not valid.
    """
    from daemon.config.loading import default_text, load_config, parse_config

    if required or find_config(option) is not None:
        return load_config(config_file(option))
    return parse_config(default_text(), "default.yaml", Path.cwd())


def require_owner(*directories: Path) -> None:
    """Refuse to continue if one of the directories belongs to another user; a missing directory is accepted.

    A directory of root that this user may write to, such as a volume of Kubernetes with an ``fsGroup``, is accepted,
    because root can read every file.

    Raises:
        ConfigError: names the directory, its owner, the user, and the command line to use instead.
    """
    for directory in directories:
        try:
            owner = directory.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            raise ConfigError([f"{directory}: {permission_denied(directory)}"]) from error
        shared = owner == 0 and may(directory, os.W_OK | os.X_OK)
        if owner != os.geteuid() and not shared:
            raise ConfigError(
                [
                    f"{directory} is owned by {user_name(owner)}, and this command runs as "
                    f"{user_name(os.geteuid())}, whose files the service may not be able to read; "
                    f"run: {command_as(user_name(owner))}"
                ]
            )


def require_models_owner(models: Path, data_dir: Path | None) -> None:
    """Refuse to write models as another user than the owner of ``models``, and of ``data_dir`` if it contains them."""
    inside = data_dir is not None and models.absolute().is_relative_to(data_dir.absolute())
    require_owner(*([data_dir] if inside and data_dir is not None else []), models)


def command_as(user: str) -> str:
    """Return the command line, quoted for a shell, that runs this command as ``user``."""
    program, *arguments = sys.argv
    found = shutil.which("forewarn")
    elsewhere = Path(program).name == "forewarn" and (found is None or not Path(found).samefile(program))
    named = os.environ.get(VARIABLE)
    if named and not any(argument.startswith(("-c", "--config")) for argument in arguments):
        # sudo does not pass the environment on
        arguments += ["--config", named]
    return shlex.join(["sudo", "-u", user, program if elsewhere else "forewarn", *arguments])


def registry_of(folder: Path | None, option: Path | None, *, writes: bool = False) -> ModelRegistry:
    """Return the registry of the models in ``folder``, or of the configuration if it is None.

    Args:
        folder: value of ``--models``.
        option: value of ``--config``.
        writes: the command changes the serving model, so it must run as the owner of the models.

    Raises:
        ConfigError: the configuration is not valid, or the models belong to another user.
    """
    data_dir = None
    if folder is None:
        config = configuration(option, required=False)
        folder, data_dir = config.models_dir, config.data_dir
    else:
        find_config(option)
    if writes:
        require_models_owner(folder, data_dir)
    return ModelRegistry(folder)


@dataclass(frozen=True, kw_only=True)
class Input:
    """A history, and the configuration that applies to it."""

    panel: Panel
    metrics: Mapping[str, Metric]
    zone: ZoneInfo
    models: Path
    level: LevelName
    seed: int
    target_precision: float


def read_input(
    option: Path | None,
    data: Path | None,
    models: Path | None,
    hours: float,
    until: str | None = None,
    *,
    trains: bool = False,
) -> Input:
    """Return the last ``hours`` of ``data``, or of the configured store if ``data`` is None.

    A metrics file does not need a configuration; if there is one, it gives metrics, time zone and defaults.

    Args:
        option: value of ``--config``.
        data: metrics file.
        models: value of ``--models``.
        hours: length of the history.
        until: last time of the history, ISO 8601 with time zone.
        trains: the command writes a model, so it must run as the owner of the models.

    Raises:
        ConfigError: the configuration or ``until`` is not valid, or the models belong to another user.
        BadMetricsFile: ``data`` cannot be read.
        NotEnoughHistory: the store is empty.
    """
    loaded = configuration(option, required=data is None)
    if trains:
        require_models_owner(models or loaded.models_dir, loaded.data_dir)
    end = None if until is None else _parse_until(until)
    panel = _from_file(data, hours, end) if data is not None else _from_store(loaded.store_url, hours, end)
    rules = ProfileRules((rule.pattern, rule.profile) for rule in loaded.profiles)
    return Input(
        panel=rules.completed(panel),
        metrics=loaded.domain_metrics(),
        zone=loaded.zone,
        models=models or loaded.models_dir,
        level=loaded.training.level,
        seed=loaded.training.seed,
        target_precision=loaded.alerting.target_precision,
    )


def _parse_until(text: str) -> int:
    try:
        return floor_to_grid(parse_time(text))
    except ValueError as error:
        raise ConfigError([f"--until: {error}"]) from error


def _from_file(path: Path, hours: float, end: int | None) -> Panel:
    from daemon.ingest.metrics_file import read_metrics_file

    panel = read_metrics_file(path)
    last = panel.end if end is None else min(end, panel.end)
    first = max(panel.start, _first(last, hours))
    if last < first:
        raise NotEnoughHistory(f"{path}: there is no sample before --until")
    return panel.between(first, last)


def _from_store(url: str, hours: float, end: int | None) -> Panel:
    from daemon.store.engine import is_created
    from daemon.store.history import SqlStore

    if not is_created(url):
        # to open it would create it, perhaps as a user whose files the service cannot read
        raise NotEnoughHistory(_EMPTY_STORE)
    store = SqlStore(url)
    try:
        span = store.span()
        if span is None:
            raise NotEnoughHistory(_EMPTY_STORE)
        last = span[1] if end is None else min(end, span[1])
        return store.read(max(span[0], _first(last, hours)), last)
    finally:
        store.close()


def _first(last: int, hours: float) -> int:
    return last - (int(hours * 3600) // STEP_SECONDS - 1) * STEP_SECONDS
