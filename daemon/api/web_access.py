"""The web configuration while the service runs: read again when it changes, or a certificate does."""

import ssl
from pathlib import Path

import structlog

from daemon.config.web import WebConfig, load_web_config, server_context
from daemon.domain.errors import ConfigError

_log = structlog.get_logger()


class WebAccess:
    """Users, headers and TLS as the file says now; while that cannot be used, as it said before."""

    def __init__(self, path: Path | None) -> None:
        """Read ``path``; without one there are no users, no headers and no TLS.

        Raises:
            ConfigError: it cannot be used.
        """
        self._path = path
        self._config = WebConfig() if path is None else load_web_config(path)
        self._seen = self._changed_at()
        tls = self._config.tls_server_config
        self._context = None if tls is None else server_context(tls, str(path))
        #: What a listener is made with; each handshake uses the certificates that are there then.
        self.context = self._context
        if self.context is not None:
            self.context.sni_callback = self._with_present_certificates

    def now(self) -> WebConfig:
        """Return the configuration."""
        changed_at = self._changed_at()
        if changed_at != self._seen and self._path is not None:
            self._seen = changed_at
            try:
                self._config = load_web_config(self._path)
                tls = self._config.tls_server_config
                if tls is not None and self._context is not None:
                    self._context = server_context(tls, str(self._path))
                _log.info("web_config_reloaded", file=str(self._path))
            except ConfigError as error:
                _log.error("web_config_refused", file=str(self._path), reason=str(error))
        return self._config

    def _with_present_certificates(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        self.now()
        if self._context is not None:
            connection.context = self._context

    def _changed_at(self) -> tuple[int, ...]:
        tls = self._config.tls_server_config
        certificates = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls is not None else ()
        return tuple(_modified(path) for path in (self._path, *certificates) if path is not None)


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
