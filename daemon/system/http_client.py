"""How a configured HTTP server is reached: TLS and credentials, and why it cannot be."""

import ssl
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import NamedTuple, TypeVar

import httpx
from pydantic import SecretStr

from daemon.config.alerting import AlertmanagerConfig
from daemon.config.section import TlsConfig
from daemon.config.sources import PrometheusConfig
from daemon.core.errors import ConfigError, ForewarnError
from daemon.core.file_access import reason_of

_Result = TypeVar("_Result")
_GLANCE_SECONDS = 0.1


def run_interruptibly(work: Callable[[], _Result], stopping: Event, seconds: float) -> _Result:
    """Return what ``work`` returns, or raise what it raises, but do not outwait ``stopping`` or ``seconds``.

    Raises:
        InterruptedError: ``stopping`` was set first.
        TimeoutError: the time was up first.
    """
    # A socket that is being read cannot be closed from elsewhere, and name resolution cannot be ended at all:
    # so another thread blocks, and it is left behind. As a daemon it does not hold up the end of the process.
    outcome: Future[_Result] = Future()
    context = copy_context()

    def body() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
            outcome.set_exception(error)

    Thread(target=body, name="interruptible", daemon=True).start()
    limit = monotonic() + seconds
    while not wait([outcome], _GLANCE_SECONDS).done:
        if stopping.is_set():
            raise InterruptedError("stopped while waiting")
        if monotonic() > limit:
            raise TimeoutError(f"no result within {seconds:g} s")
    return outcome.result()


Server = PrometheusConfig | AlertmanagerConfig


class SecretUnreadable(ForewarnError):
    """A file with a secret cannot be read; names the key and the file."""


class Failure(NamedTuple):
    """Why a request failed, what to do about it, and whether it may be over in a moment."""

    reason: str
    fix: str
    passing: bool = False


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


def tls_context(tls: TlsConfig, where: str) -> ssl.SSLContext:
    """Return the TLS settings towards a server, which stand at the key ``where``.

    Raises:
        ConfigError: a certificate file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = reason_of(error, "name a PEM file", tls.ca_file)
        raise ConfigError([f"{where}.ca_file: {tls.ca_file}: {reason}"]) from error
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            reason = reason_of(error, "name a PEM certificate and its key", tls.cert_file, tls.key_file)
            raise ConfigError([f"{where}.cert_file: {tls.cert_file}: {reason}"]) from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def headers(server: Server) -> dict[str, str]:
    """Return the request headers; secrets in files are read now, so that a rotated one is taken up.

    Raises:
        SecretUnreadable: the file with the token cannot be read.
    """
    named = {name: value.get_secret_value() for name, value in server.headers.items()}
    token = _secret("bearer_token", server.bearer_token, server.bearer_token_file)
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    return named


def authentication(server: Server) -> httpx.BasicAuth | None:
    """Return the basic authentication, if there is one; as ``headers`` for the rest."""
    basic = server.basic_auth
    if basic is None:
        return None
    password = _secret("basic_auth.password", basic.password, basic.password_file)
    return httpx.BasicAuth(basic.username, password or "")


def failure(error: httpx.RequestError | UnicodeError) -> Failure:
    """Tell why a request got no answer.

    Raise what is made of it ``from None`` if ``error`` is a LocalProtocolError or a UnicodeError: their text quotes
    the header, which may hold a secret.
    """
    if isinstance(error, httpx.LocalProtocolError | UnicodeError):
        return Failure(
            "a request header or credential has characters that HTTP does not allow",
            "look for line breaks and non-ASCII letters in headers and tokens",
        )
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Failure(
            f"its certificate is not trusted: {cause.verify_message}",
            "set tls.ca_file to the authority that signed it",
        )
    if isinstance(cause, ssl.SSLError):
        return Failure(f"TLS failed: {cause.reason or cause}", "see that the port speaks TLS; check its tls settings")
    if isinstance(error, httpx.DecodingError):
        return Failure("its answer is garbled", "look for a proxy between", passing=True)
    reason = str(error) or type(error).__name__
    return Failure(f"cannot be reached: {reason}", "see that it is up and that url is right", passing=True)


def _secret(key: str, value: SecretStr | None, file: Path | None) -> str | None:
    if file is None:
        return value.get_secret_value() if value is not None else None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnreadable(
            f"{key}_file: {file}: {reason_of(error, 'make it a text file that the user of forewarn can read')}"
        ) from error
