"""Taking up a changed configuration while the service runs, or keeping the one before."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from daemon.config.loading import load_config
from daemon.config.schema import Config
from daemon.domain.errors import ConfigError, ForewarnError

_FIXED = (
    "data_dir",
    "store.url",
    "clock",
    "http.listen",
    "http.bearer_token_file",
    "http.web_config_file",
    "http.allow_unauthenticated",
    "http.requests_per_minute",
    "http.failed_logins_per_minute",
)

_log = structlog.get_logger()


class ConfigReload:
    """Reads the configuration file again, and lets the service follow it if all of it can be used."""

    def __init__(
        self,
        path: Path,
        config: Config,
        follow: Callable[[Config], None],
        began: Callable[[], None],
        ended: Callable[[bool], None],
    ) -> None:
        """Prepare reloads.

        Args:
            path: the file.
            config: what was read from it at the start.
            follow: changes the running service; raises and changes nothing where it cannot.
            began: called before each reload.
            ended: called after it with whether it succeeded.
        """
        self._path, self._config = path, config
        self._follow, self._began, self._ended = follow, began, ended
        self._reloading = threading.Lock()

    def run(self) -> None:
        """Follow the file as it is now.

        Raises:
            ForewarnError: it cannot be used; the service goes on by the configuration that it has.
        """
        succeeded = False
        with self._reloading:
            self._began()
            try:
                config = load_config(self._path)
                fixed = [
                    f"{self._path}: {key}: cannot change while running; restart the service"
                    for key in _changed(self._config, config)
                ]
                if fixed:
                    raise ConfigError(fixed)
                self._follow(config)
                self._config, succeeded = config, True
                _log.info("config_reloaded", file=str(self._path))
            except ForewarnError as error:
                _log.error("config_refused", file=str(self._path), reason=str(error))
                raise
            finally:
                self._ended(succeeded)


def _changed(before: Config, after: Config) -> Iterator[str]:
    """Yield the keys of what is built once and cannot be exchanged under a running service."""
    for key in _FIXED:
        old, new = before, after
        for name in key.split("."):
            old, new = getattr(old, name), getattr(new, name)
        if old != new:
            yield key
