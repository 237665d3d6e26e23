"""Security of the HTTP server: authentication, limits per client, TLS and users, and hardening of every answer."""

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

_MAXIMUM_REMEMBERED = 256
_MAXIMUM_CLIENTS = 10_000
_MAXIMUM_BODY_BYTES = 65_536
_NETWORK_BITS = 64

PUSH_PATH = "/api/v1/metrics"
_OPEN_PATHS = ("/healthz", "/readyz")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_log = structlog.get_logger()


class CredentialsUnreadable(ForewarnError):
    """The configured credentials cannot be read now."""


class Authentication:
    """Checks ``Authorization`` headers, in the same time for known and unknown users."""

    def __init__(self, token_file: Path | None, users: Callable[[], Mapping[str, str]]) -> None:
        """Prepare the checks.

        Args:
            token_file: file with the bearer token, read at each request; None for no token.
            users: returns the bcrypt hash of the password of each user.
        """
        self._token_file, self._users = token_file, users
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(10))
        # bcrypt is slow on purpose, and Prometheus scrapes often; valid credentials are remembered by a keyed hash
        self._key = secrets.token_bytes(32)
        self._passed: set[bytes] = set()

    @property
    def challenges(self) -> tuple[str, ...]:
        """The accepted schemes, for ``WWW-Authenticate``; empty without authentication."""
        schemes = ("Bearer",) * (self._token_file is not None)
        return (*schemes, 'Basic realm="forewarn"') if self._users() else schemes

    def allows(self, header: str) -> bool:
        """Return whether the header has valid credentials; may take a tenth of a second.

        Raises:
            CredentialsUnreadable: the file of the token cannot be read.
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
        digest = hmac.digest(self._key, b"\0".join([user.encode(), password.encode(), hashed]), hashlib.sha256)
        if digest in self._passed:
            return True
        # bcrypt uses 72 bytes at most, and newer versions reject more
        if not bcrypt.checkpw(password.encode()[:72], hashed) or known is None:
            return False
        if len(self._passed) >= _MAXIMUM_REMEMBERED:
            self._passed.clear()
        self._passed.add(digest)
        return True


class ClientLimits:
    """Limits the requests and the failed logins of each client; 0 is no limit."""

    def __init__(
        self,
        requests_per_minute: int = 0,
        failed_logins_per_minute: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without any count.

        Args:
            requests_per_minute: maximum requests of one client.
            failed_logins_per_minute: maximum failed logins of one client.
            now: returns the seconds of a monotonic clock.
        """
        self._requests = _Limit(requests_per_minute, now)
        self._failed_logins = _Limit(failed_logins_per_minute, now)

    def request(self, client: str) -> int:
        """Count a request and return the seconds until ``client`` may send it again; 0 if it is allowed."""
        return self._requests.count(client)

    def before_login(self, client: str) -> int:
        """Return the seconds until the credentials of ``client`` are checked again; 0 if they are checked now."""
        return self._failed_logins.wait(client)

    def login_failed(self, client: str) -> None:
        """Count wrong credentials."""
        self._failed_logins.count(client)


def client_name(address: str | None) -> str:
    """Return the name of a client for its limits: the IPv4 address, or the /64 network of an IPv6 address.

    Args:
        address: address of the client or of its proxy; None for a Unix socket.
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
    """Counters of time windows of one length, for the newest clients.

    The in-memory storage of the library is unbounded and starts a thread at every hit.
    """

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._lock = threading.Lock()
        # ordered by their end, because all windows have one length
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
            if self._windows[oldest][0] > self._now() and len(self._windows) <= _MAXIMUM_CLIENTS:
                return
            del self._windows[oldest]


class WebAccess:
    """Users, headers and TLS of the web configuration, read again when a file changes; an invalid file is ignored."""

    def __init__(self, path: Path | None) -> None:
        """Read ``path``; None means no users, no headers and no TLS.

        Raises:
            ConfigError: the file is not valid.
        """
        self._path = path
        self._config = WebConfig() if path is None else load_web_config(path)
        self._read_at = self._changed_at()
        tls = self._config.tls_server_config
        self._context = None if tls is None else server_context(tls, str(path))
        #: TLS settings of the server; each handshake uses the present certificates.
        self.context = self._context
        if self.context is not None:
            self.context.sni_callback = self._with_present_certificates

    def now(self) -> WebConfig:
        """Return the present configuration."""
        changed_at = self._changed_at()
        if changed_at != self._read_at and self._path is not None:
            self._read_at = changed_at
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


class _TooManyFailures(Exception):
    """A client had too many failed logins; its credentials are not checked for some seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


def add_authentication(
    app: FastAPI, authentication: Authentication, limits: ClientLimits, telemetry: PrometheusTelemetry
) -> None:
    """Require authentication for every path except the health checks."""

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
            return _too_many("more failed logins than http.failed_logins_per_minute", error.seconds)
        if allowed:
            return await proceed(request)
        telemetry.request_refused("unauthenticated")
        response = error_answer(401, "authentication required", f"send Authorization: {' or '.join(challenges)}")
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
    """Reject excessive, cross-site and large requests, hide details of bugs, and set the headers of every answer."""

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
                response = error_answer(400, "the body is incomplete", "the client disconnected before its end")
            except Exception as error:  # noqa: BLE001 - the boundary of one request
                where = {"method": request.method, "path": request.url.path}
                _log.error("request_failed", **where, error=str(error), exc_info=True)
                response = error_answer(500, "internal error", "the log has the event request_failed")
        for name, value in {**_HEADERS, **access.now().http_server_config.headers}.items():
            response.headers.setdefault(name, value)
        return response


def _refusal(request: Request, authenticated: bool, limits: ClientLimits) -> tuple[str, Response] | None:
    """Return the reason of a refusal, as the label of the metric, and the answer; None if the request is accepted."""
    seconds = 0 if request.url.path in _OPEN_PATHS else limits.request(_client(request))
    if seconds:
        return "requests", _too_many("more requests of this client than http.requests_per_minute", seconds)
    if _from_elsewhere(request, authenticated):
        return "other_site", error_answer(403, "refused", "pages of other sites must not change anything")
    if _too_large(request):
        text = f"the body has more than {_MAXIMUM_BODY_BYTES} bytes, or no Content-Length"
        return "too_large", error_answer(413, "refused", text)
    return None


def _client(request: Request) -> str:
    return client_name(request.client.host if request.client is not None else None)


def _too_many(reason: str, seconds: int) -> Response:
    detail = f"{reason}; try again in {seconds} s"
    return error_answer(429, "too many requests", detail, {"Retry-After": str(seconds)})


def _from_elsewhere(request: Request, authenticated: bool) -> bool:
    """Return whether a browser sends the request for a page of another site, which must not change anything.

    The name of such a site may resolve to this machine (DNS rebinding), so without authentication the Host header
    must be an address.
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
    """Return whether the body is too large; a push has its own limit, which is checked while it is read."""
    if request.url.path == PUSH_PATH:
        return False
    length = request.headers.get("Content-Length", "0")
    return "Transfer-Encoding" in request.headers or not length.isdigit() or int(length) > _MAXIMUM_BODY_BYTES
