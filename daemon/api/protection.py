"""What every request passes before it is served, and every answer gets: who may ask, how much, and from where."""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from daemon.api.authentication import Authentication, CredentialsUnreadable
from daemon.api.client_limits import ClientLimits, client_name
from daemon.api.refusals import error_answer
from daemon.api.telemetry import PrometheusTelemetry
from daemon.api.web_access import WebAccess

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

_log = structlog.get_logger()


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
