"""The one HTTP client: TLS and credentials from the configuration, retries through a short outage, redacted errors.

A caller is named in every error text and gives the words of its API; secrets in files are read at each request, and
no text contains one.
"""

import json
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import copy_context
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any, TypeVar

import httpx
import stamina
from pydantic import SecretStr

from daemon.config.section import HttpClientConfig, TlsConfig
from daemon.core.errors import ConfigError, ForewarnError
from daemon.core.file_access import reason_of

_POLL_SECONDS = 0.1
_LONGEST_ERROR_TEXT = 300

_Result = TypeVar("_Result")


class HttpUnavailable(ForewarnError):
    """A request got no usable answer; ``temporary`` if the same request may succeed in a moment."""

    def __init__(self, text: str, *, temporary: bool = False) -> None:
        super().__init__(text)
        self.temporary = temporary


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often and for how long a request is repeated during an outage.

    Attributes:
        attempts: highest number of requests; None is no limit.
        patience_seconds: no attempt starts later than this after the first one.
        first_wait_seconds: wait before the second attempt; each further wait is twice as long, up to a tenth of the
            patience, and each has a random addition of up to this time.
    """

    attempts: int | None
    patience_seconds: float
    first_wait_seconds: float = 0.25


@dataclass(frozen=True)
class Answer:
    """An answer to a request: its status, its media type and its body."""

    status: int
    media_type: str
    body: bytes

    def document(self) -> Any:
        """Return the JSON document in the body; None where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class HttpClient:
    """Posts to one configured server until it answers, refuses, or the time is over."""

    def __init__(
        self,
        config: HttpClientConfig,
        *,
        label: str,
        key: str,
        api: str,
        error_text: Callable[[Any], Any],
        retries: Retries,
        longest_answer_bytes: int | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare the client; the first request opens a connection.

        Args:
            config: the section of the server.
            label: name of the server in error texts, as in ``source main``.
            key: path of the section in the configuration file, for errors in it.
            api: whose API it is, as in ``Prometheus``.
            error_text: returns the API's own error text from the JSON of an answer; anything else than a text is none.
            retries: of a request whose failure is temporary.
            longest_answer_bytes: the rest of a longer answer is not read; None is no limit.
            transport: replaces the network in tests.

        Raises:
            ConfigError: a certificate file cannot be used.
        """
        self._config, self._label, self._api = config, label, api
        self._error_text, self._retries, self._longest_answer_bytes = error_text, retries, longest_answer_bytes
        self._closing = Event()
        self._base = httpx.URL(str(config.url))
        self._client = httpx.Client(
            verify=_tls_context(config.tls, f"{key}: tls"),
            # a proxy from the environment may lead to the server, but never to this machine
            trust_env=not _is_loopback(self._base),
            transport=transport,
        )

    @property
    def url(self) -> str:
        """The base URL without user, password and query."""
        return _redacted(self._base)

    def post(
        self,
        path: str,
        body: Callable[[float], bytes],
        *,
        media_type: str,
        reject: Callable[[Answer, str], None],
        until: float = float("inf"),
        attempts: int | None = None,
    ) -> Answer:
        """Return the answer to a POST, which has a status of success.

        Args:
            path: path of the endpoint below the base URL.
            body: returns the content, given the seconds that the request may take.
            media_type: of the content.
            reject: raises the caller's own error where the answer, with the API's error text, refuses the content.
            until: time of the monotonic clock at which the last attempt has to be complete.
            attempts: replaces the configured number.

        Raises:
            HttpUnavailable: there is no usable answer.
        """
        started = monotonic()
        retry_until = min(until, started + self._retries.patience_seconds)
        longest_wait = max(0.0, retry_until - started) / 10
        first_wait = min(self._retries.first_wait_seconds, longest_wait)

        def is_worth_another(error: Exception) -> bool:
            time_is_left = retry_until - monotonic() > longest_wait + first_wait
            return (
                isinstance(error, HttpUnavailable) and error.temporary and time_is_left and not self._closing.is_set()
            )

        for attempt in stamina.retry_context(
            on=is_worth_another,
            attempts=attempts or self._retries.attempts,
            timeout=None,
            wait_initial=first_wait,
            wait_max=longest_wait,
            wait_jitter=first_wait,
        ):
            with attempt:
                return self._post_once(path, body, media_type, reject, until)
        raise AssertionError("the retries end with an answer or an error")

    def unavailable(self, reason: str, fix: str, *, temporary: bool = False) -> HttpUnavailable:
        """Return the error that this server cannot be used, with its label and URL."""
        return HttpUnavailable(f"{self._label}: {self.url}: {reason}; {fix}", temporary=temporary)

    def run_interruptibly(self, work: Callable[[], _Result], seconds: float) -> _Result:
        """Return the result of ``work``, or raise its error, but wait no longer than ``seconds`` or until ``close``.

        Raises:
            InterruptedError: the client was closed first.
            TimeoutError: the time was over first.
        """
        # A socket that is being read cannot be closed from another thread, and name resolution cannot be ended at
        # all: so another thread blocks, and stays behind. As a daemon it does not hold up the end of the process.
        outcome: Future[_Result] = Future()
        context = copy_context()

        def run() -> None:
            try:
                outcome.set_result(context.run(work))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
                outcome.set_exception(error)

        Thread(target=run, name="interruptible", daemon=True).start()
        limit = monotonic() + seconds
        while not wait([outcome], _POLL_SECONDS).done:
            if self._closing.is_set():
                raise InterruptedError("closed while waiting")
            if monotonic() > limit:
                raise TimeoutError(f"no result within {seconds:g} s")
        return outcome.result()

    def close(self) -> None:
        """End requests under way and release the connections; later requests fail."""
        self._closing.set()
        self._client.close()

    def _post_once(
        self,
        path: str,
        body: Callable[[float], bytes],
        media_type: str,
        reject: Callable[[Answer, str], None],
        until: float,
    ) -> Answer:
        if self._closing.is_set():
            raise self.unavailable("it is being closed", "nothing to do")
        answer = self._send(path, body, media_type, max(0.001, min(self._config.timeout_seconds, until - monotonic())))
        if answer.status in (401, 403):
            raise self.unavailable(f"access denied ({answer.status})", "check its basic_auth, bearer_token or headers")
        text = self._error_text_of(answer)
        reject(answer, text)
        if answer.status == 429 or answer.status >= 500:
            detail = f": {text}" if text else ""
            raise self.unavailable(f"it answers with status {answer.status}{detail}", "look at its log", temporary=True)
        if not 200 <= answer.status < 300:
            raise self.unavailable(
                f"it answers with status {answer.status}", f"set url to the base of {self._api}'s API"
            )
        return answer

    def _send(self, path: str, body: Callable[[float], bytes], media_type: str, seconds: float) -> Answer:
        url = self._base.copy_with(path=f"{self._base.path.rstrip('/')}{path}")
        try:
            response = self._client.send(
                self._client.build_request(
                    "POST",
                    url,
                    content=body(seconds),
                    headers={**self._headers(), "Content-Type": media_type},
                    timeout=seconds,
                ),
                auth=self._basic_auth() or httpx.USE_CLIENT_DEFAULT,
                stream=True,
            )
            try:
                content = b"".join(self._chunks(response, monotonic() + seconds))
            finally:
                response.close()
        except (httpx.LocalProtocolError, UnicodeError):
            # their text quotes the header, which may hold a secret; so the cause is left out as well
            raise self.unavailable(
                "a request header or credential has characters that HTTP does not allow",
                "look for line breaks and non-ASCII letters in headers and tokens",
            ) from None
        except httpx.TimeoutException as error:
            raise self.unavailable(
                f"no complete answer within {seconds:.3g} s",
                "check that it is running, or raise timeout_seconds",
                temporary=True,
            ) from error
        except httpx.RequestError as error:
            raise self._unreachable(error) from error
        if response.is_redirect:
            target = _redacted(response.url.join(response.headers["Location"]))
            raise self.unavailable(
                f"it redirects to {target}, perhaps to a login page",
                "set url to the address of the API, or set credentials",
            )
        return Answer(response.status_code, response.headers.get("Content-Type", ""), content)

    def _chunks(self, response: httpx.Response, limit: float) -> Iterator[bytes]:
        length = 0
        for chunk in response.iter_bytes():
            yield chunk
            # httpx limits the time of each read, so a server that sends byte by byte would never time out
            if monotonic() > limit:
                raise httpx.ReadTimeout("the answer takes too long", request=response.request)
            if self._closing.is_set():
                raise httpx.ReadError("the client is being closed", request=response.request)
            length += len(chunk)
            if self._longest_answer_bytes is not None and length > self._longest_answer_bytes:
                return

    def _error_text_of(self, answer: Answer) -> str:
        text = self._error_text(answer.document())
        return " ".join(text.split())[:_LONGEST_ERROR_TEXT] if isinstance(text, str) else ""

    def _headers(self) -> dict[str, str]:
        headers = {name: value.get_secret_value() for name, value in self._config.headers.items()}
        token = self._secret("bearer_token", self._config.bearer_token, self._config.bearer_token_file)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _basic_auth(self) -> httpx.BasicAuth | None:
        basic = self._config.basic_auth
        if basic is None:
            return None
        password = self._secret("basic_auth.password", basic.password, basic.password_file)
        return httpx.BasicAuth(basic.username, password or "")

    def _secret(self, key: str, value: SecretStr | None, file: Path | None) -> str | None:
        """Return a secret; the file is read at each request, so that a rotated secret is used at once."""
        if file is None:
            return value.get_secret_value() if value is not None else None
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_of(error, "make it a text file that the user of forewarn can read")
            raise HttpUnavailable(f"{self._label}: {key}_file: {file}: {reason}") from error

    def _unreachable(self, error: httpx.RequestError) -> HttpUnavailable:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self.unavailable(
                f"its certificate is not trusted: {cause.verify_message}",
                "set tls.ca_file to the authority that signed it",
            )
        if isinstance(cause, ssl.SSLError):
            return self.unavailable(
                f"TLS failed: {cause.reason or cause}", "check that the port uses TLS, and its tls settings"
            )
        if isinstance(error, httpx.DecodingError):
            return self.unavailable("its answer cannot be decoded", "check for a proxy in front of it", temporary=True)
        return self.unavailable(
            f"cannot be reached: {str(error) or type(error).__name__}",
            "check that it is running and that url is right",
            temporary=True,
        )


def _redacted(url: httpx.URL) -> str:
    """Return ``url`` without user, password and query, which may be secrets."""
    return str(url.copy_with(username="", password="", query=None, fragment=None))


def _is_loopback(url: httpx.URL) -> bool:
    if url.host == "localhost" or url.host.endswith(".localhost"):
        return True
    try:
        return ip_address(url.host).is_loopback
    except ValueError:
        return False


def _tls_context(tls: TlsConfig, key: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = reason_of(error, "name a PEM file", tls.ca_file)
        raise ConfigError([f"{key}.ca_file: {tls.ca_file}: {reason}"]) from error
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            reason = reason_of(error, "name a PEM certificate and its key", tls.cert_file, tls.key_file)
            raise ConfigError([f"{key}.cert_file: {tls.cert_file}: {reason}"]) from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
