"""What every request passes before it is served, and every answer gets: who may ask, how much, and from where."""

import base64
import binascii
import hashlib
import hmac
import math
import secrets
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import bcrypt
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import ClientDisconnect

from daemon.api.answers import error_answer
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.web import WebConfig, load_web_config, server_context
from daemon.core.errors import ConfigError, ForewarnError
from daemon.core.file_access import reason_of

_MOST_REMEMBERED = 256

_log = structlog.get_logger()


class CredentialsUnreadable(ForewarnError):
    """What requests are checked against cannot be read now."""


class Authentication:
    """Checks ``Authorization`` headers; takes the same time whether or not there is such a user."""

    def __init__(self, token_file: Path | None, users: Callable[[], Mapping[str, str]]) -> None:
        """Check against these.

        Args:
            token_file: file with the bearer token, read at each request; None where there is none.
            users: gives the bcrypt hash of each user's password.
        """
        self._token_file, self._users = token_file, users
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(10))
        # bcrypt is slow on purpose, and Prometheus asks often; what passed is remembered by a keyed hash
        self._key = secrets.token_bytes(32)
        self._passed: set[bytes] = set()

    @property
    def challenges(self) -> tuple[str, ...]:
        """The schemes that can be used, for ``WWW-Authenticate``; none where everybody may ask."""
        schemes = ("Bearer",) * (self._token_file is not None)
        return (*schemes, 'Basic realm="forewarn"') if self._users() else schemes

    def allows(self, header: str) -> bool:
        """Return whether a request with this header may be served; may take a tenth of a second.

        Raises:
            CredentialsUnreadable: the token's file cannot be read.
        """
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and self._token_file is not None:
            return hmac.compare_digest(given.strip().encode(), self._token(self._token_file))
        if scheme.lower() == "basic":
            return self._is_user(given.strip())
        return False

    def _token(self, file: Path) -> bytes:
        try:
            token = file.read_text(encoding="utf-8").strip().encode()
        except (OSError, UnicodeDecodeError) as error:
            _log.error("bearer_token_unreadable", file=str(file), reason=reason_of(error))
            raise CredentialsUnreadable("http.bearer_token_file cannot be read; see the log") from error
        if not token:
            raise CredentialsUnreadable("http.bearer_token_file is empty")
        return token

    def _is_user(self, encoded: str) -> bool:
        try:
            user, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
        if not separator:
            return False
        known = self._users().get(user)
        hashed = self._nobody if known is None else known.encode()
        mark = hmac.digest(self._key, b"\0".join([user.encode(), password.encode(), hashed]), hashlib.sha256)
        if mark in self._passed:
            return True
        # bcrypt looks at no more than 72 bytes, and newer versions refuse more
        if not bcrypt.checkpw(password.encode()[:72], hashed) or known is None:
            return False
        if len(self._passed) >= _MOST_REMEMBERED:
            self._passed.clear()
        self._passed.add(mark)
        return True


_MOST_CLIENTS = 10_000
_NETWORK_BITS = 64


class ClientLimits:
    """Counts what each client does; 0 is no limit."""

    def __init__(
        self,
        requests_per_minute: int = 0,
        failed_logins_per_minute: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nobody counted.

        Args:
            requests_per_minute: of one client.
            failed_logins_per_minute: likewise.
            now: seconds of any clock that is not set back.
        """
        self._requests = _Limit(requests_per_minute, now)
        self._failed_logins = _Limit(failed_logins_per_minute, now)

    def request(self, client: str) -> int:
        """Count a request, and return the seconds that ``client`` is to wait before it is served; 0 if it may be."""
        return self._requests.count(client)

    def before_login(self, client: str) -> int:
        """Return the seconds that ``client`` is to wait before its credentials are looked at; 0 if they may be."""
        return self._failed_logins.wait(client)

    def login_failed(self, client: str) -> None:
        """Count credentials that were wrong."""
        self._failed_logins.count(client)


def client_name(address: str | None) -> str:
    """Return what a client is counted under: its address, or its network where one host has as many as it likes.

    Args:
        address: as the listener or a proxy before it gives it; None at a Unix socket.
    """
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> _NETWORK_BITS << _NETWORK_BITS))


class _Limit:
    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._item = RateLimitItemPerMinute(most) if most else None
        self._now = now
        self._limiter = FixedWindowRateLimiter(_Counters(now))

    def count(self, client: str) -> int:
        if self._item is None or self._limiter.hit(self._item, client):
            return 0
        return self._seconds_left(self._item, client)

    def wait(self, client: str) -> int:
        if self._item is None or self._limiter.test(self._item, client):
            return 0
        return self._seconds_left(self._item, client)

    def _seconds_left(self, item: RateLimitItemPerMinute, client: str) -> int:
        return max(1, math.ceil(self._limiter.get_window_stats(item, client).reset_time - self._now()))


class _Counters(Storage):
    """Counters of windows of one length, those of the newest clients.

    The library's own for memory has no bound, and starts a thread at every hit.
    """

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._lock = threading.Lock()
        # in the order of their ends, as all windows are of one length
        self._windows: dict[str, tuple[float, int]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        with self._lock:
            self._forget()
            end, count = self._windows.get(key, (self._now() + expiry, 0))
            self._windows[key] = end, count + amount
            return count + amount

    def get(self, key: str) -> int:
        with self._lock:
            self._forget()
            return self._windows.get(key, (0.0, 0))[1]

    def get_expiry(self, key: str) -> float:
        with self._lock:
            return self._windows.get(key, (self._now(), 0))[0]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        with self._lock:
            count = len(self._windows)
            self._windows.clear()
            return count

    def clear(self, key: str) -> None:
        with self._lock:
            self._windows.pop(key, None)

    def _forget(self) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest][0] > self._now() and len(self._windows) <= _MOST_CLIENTS:
                return
            del self._windows[oldest]


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


PUSH_PATH = "/api/v1/metrics"
_OPEN_PATHS = ("/healthz", "/readyz")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_MOST_BODY_BYTES = 65_536
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _TooManyFailures(Exception):
    """A client's credentials were wrong so often that they are not looked at for a while."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


def add_authentication(
    app: FastAPI, authentication: Authentication, limits: ClientLimits, telemetry: PrometheusTelemetry
) -> None:
    """Serve only whom ``authentication`` allows, but the health checks to everybody."""

    def allows(client: str, header: str) -> bool:
        seconds = limits.before_login(client) if header else 0
        if seconds:
            raise _TooManyFailures(seconds)
        allowed = authentication.allows(header)
        if header and not allowed:
            limits.login_failed(client)
        return allowed

    @app.middleware("http")
    async def authenticate(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        challenges = authentication.challenges
        if request.url.path in _OPEN_PATHS or not challenges:
            return await proceed(request)
        try:
            allowed = await run_in_threadpool(allows, _client(request), request.headers.get("Authorization", ""))
        except CredentialsUnreadable as error:
            return error_answer(503, "the request cannot be served now", str(error))
        except _TooManyFailures as error:
            telemetry.request_refused("failed_logins")
            return _too_many("credentials were wrong more often than http.failed_logins_per_minute", error.seconds)
        if allowed:
            return await proceed(request)
        telemetry.request_refused("unauthenticated")
        response = error_answer(401, "authentication needed", f"send Authorization: {' or '.join(challenges)}")
        for scheme in challenges:
            response.headers.append("WWW-Authenticate", scheme)
        return response


def add_hardening(
    app: FastAPI,
    access: WebAccess,
    authentication: Authentication,
    limits: ClientLimits,
    telemetry: PrometheusTelemetry,
) -> None:
    """Refuse what no client of ours sends, show nothing of a bug, and set the headers of every answer."""

    @app.middleware("http")
    async def harden(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = _refusal(request, bool(authentication.challenges), limits)
        if refusal is not None:
            reason, response = refusal
            telemetry.request_refused(reason)
        else:
            try:
                response = await proceed(request)
            except ClientDisconnect:
                response = error_answer(400, "the body is not whole", "the client left before it was")
            except Exception as error:  # noqa: BLE001 - the boundary of one request
                where = {"method": request.method, "path": request.url.path}
                _log.error("request_failed", **where, error=str(error), exc_info=True)
                response = error_answer(500, "internal error", "the log has the event request_failed")
        for name, value in {**_HEADERS, **access.now().http_server_config.headers}.items():
            response.headers.setdefault(name, value)
        return response


def _refusal(request: Request, authenticated: bool, limits: ClientLimits) -> tuple[str, Response] | None:
    """Return why the request is refused, as the metric has it, and the answer; None if it is not."""
    seconds = 0 if request.url.path in _OPEN_PATHS else limits.request(_client(request))
    if seconds:
        return "requests", _too_many("this client has asked more often than http.requests_per_minute", seconds)
    if _from_elsewhere(request, authenticated):
        return "other_site", error_answer(403, "refused", "a page of another site may not change anything here")
    if _too_large(request):
        text = f"the body has more than {_MOST_BODY_BYTES} bytes, or does not say how many"
        return "too_large", error_answer(413, "refused", text)
    return None


def _client(request: Request) -> str:
    return client_name(request.client.host if request.client is not None else None)


def _too_many(reason: str, seconds: int) -> Response:
    detail = f"{reason}; try again in {seconds} s"
    return error_answer(429, "too many requests", detail, {"Retry-After": str(seconds)})


def _from_elsewhere(request: Request, authenticated: bool) -> bool:
    """Say whether a browser sends this for a page of another site, which must not change anything.

    Such a site may have its name point to this machine (DNS rebinding): where nobody is asked who they are, a browser
    has to know this service by its address.
    """
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    if request.method in _SAFE_METHODS or origin is None:
        return False
    return origin.partition("://")[2] != host or not (authenticated or _is_address(host))


def _is_address(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    try:
        return name == "localhost" or bool(ip_address(name.strip("[]")))
    except ValueError:
        return False


def _too_large(request: Request) -> bool:
    """Say whether a body is too large; pushes have a limit of their own, which is kept while they are read."""
    if request.url.path == PUSH_PATH:
        return False
    length = request.headers.get("Content-Length", "0")
    return "Transfer-Encoding" in request.headers or not length.isdigit() or int(length) > _MOST_BODY_BYTES
