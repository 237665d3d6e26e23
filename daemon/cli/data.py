"""Where a command takes its history from: a metrics file, or the store of a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon.cli.app import DEFAULT_CONFIG
from daemon.core.errors import ConfigError, NotEnoughHistory
from daemon.core.levels import LevelName
from daemon.core.metric import Metric
from daemon.core.series import STEP_SECONDS, Panel, floor_to_grid, parse_time
from daemon.models.registry import ModelRegistry


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


@dataclass(frozen=True)
class Input:
    """A history and what the configuration says of it."""

    panel: Panel
    metrics: Mapping[str, Metric]
    zone: ZoneInfo
    models: Path
    level: LevelName
    seed: int
    target_precision: float


def read_input(config: Path, data: Path | None, models: Path | None, hours: float, until: str | None = None) -> Input:
    """Return the last ``hours`` of ``data``, or of the store that ``config`` names where ``data`` is None.

    A metrics file needs no configuration; where there is one, it gives ranges, time zone and defaults.

    Raises:
        ConfigError: the configuration or ``until`` cannot be used.
        BadMetricsFile: ``data`` cannot be read.
        NotEnoughHistory: the store is empty.
    """
    from daemon.config.loading import default_text, load_config, parse_config
    from daemon.core.server import ProfileRules

    explicit = config.exists() or data is None
    loaded = load_config(config) if explicit else parse_config(default_text(), "default.yaml", Path.cwd())
    end = None if until is None else _parse_until(until)
    panel = _from_file(data, hours, end) if data is not None else _from_store(loaded.store_url, hours, end)
    rules = ProfileRules((rule.pattern, rule.profile) for rule in loaded.profiles)
    return Input(
        rules.completed(panel),
        loaded.domain_metrics(),
        loaded.zone,
        models or loaded.models_dir,
        loaded.training.level,
        loaded.training.seed,
        loaded.alerting.target_precision,
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
        raise NotEnoughHistory(f"{path}: nothing lies before --until")
    return panel.between(first, last)


def _from_store(url: str, hours: float, end: int | None) -> Panel:
    from daemon.store.history import SqlStore

    store = SqlStore(url)
    try:
        span = store.span()
        if span is None:
            raise NotEnoughHistory("the store is empty; start the service first, or import a metrics file")
        last = span[1] if end is None else min(end, span[1])
        return store.read(max(span[0], _first(last, hours)), last)
    finally:
        store.close()


def _first(last: int, hours: float) -> int:
    return last - (int(hours * 3600) // STEP_SECONDS - 1) * STEP_SECONDS
