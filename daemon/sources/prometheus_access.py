"""How to get at a Prometheus server: address, TLS and credentials."""

import ssl
from ipaddress import ip_address
from pathlib import Path

import httpx
from pydantic import SecretStr

from daemon.config.sources import PrometheusConfig
from daemon.domain.errors import ConfigError, SourceUnavailable


def shown_url(url: httpx.URL) -> str:
    """Return ``url`` for messages: without user, password and query, which may be secrets."""
    return str(url.copy_with(username="", password="", query=None, fragment=None))


def is_loopback(url: httpx.URL) -> bool:
    """Say whether ``url`` leads to this machine itself."""
    if url.host == "localhost" or url.host.endswith(".localhost"):
        return True
    try:
        return ip_address(url.host).is_loopback
    except ValueError:
        return False


def tls_context(config: PrometheusConfig) -> ssl.SSLContext:
    """Return the TLS settings towards the server.

    Raises:
        ConfigError: a certificate file cannot be used.
    """
    tls = config.tls
    where = f"sources: {config.name}: tls"
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{where}.ca_file: {tls.ca_file}: {_reason(error)}; name a PEM file"]) from error
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                [f"{where}.cert_file: {tls.cert_file}: {_reason(error)}; name a PEM certificate and its key"]
            ) from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def headers(config: PrometheusConfig) -> dict[str, str]:
    """Return the request headers; secrets in files are read now, so that a rotated one is taken up.

    Raises:
        SourceUnavailable: a file with a secret cannot be read.
    """
    named = {name: value.get_secret_value() for name, value in config.headers.items()}
    token = _secret(config, "bearer_token", config.bearer_token, config.bearer_token_file)
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    return named


def authentication(config: PrometheusConfig) -> httpx.BasicAuth | None:
    """Return the basic authentication, if there is one; as ``headers`` for the rest."""
    basic = config.basic_auth
    if basic is None:
        return None
    password = _secret(config, "basic_auth.password", basic.password, basic.password_file)
    return httpx.BasicAuth(basic.username, password or "")


def _secret(config: PrometheusConfig, key: str, value: SecretStr | None, file: Path | None) -> str | None:
    if file is None:
        return value.get_secret_value() if value is not None else None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnavailable(
            f"source {config.name}: {key}_file: {file}: {_reason(error)}; "
            "make it a text file that forewarn's user can read"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return getattr(error, "strerror", None) or str(error)
