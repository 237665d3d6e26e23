"""Prometheus' HTTP API for queries, its refusals told apart from its outages."""

import json
import re
from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

import httpx
import stamina

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import QueryRejected, SourceUnavailable
from daemon.system.http_client import (
    SecretUnreadable,
    authentication,
    failure,
    headers,
    is_loopback,
    shown_url,
    tls_context,
)

_TOO_LARGE = re.compile(r"too many (samples|points|chunks)|exceeded (the )?maximum|exceeds? the limit|timed out")
# A tick waits for its sources, and the next one fills the gap of a longer outage: so it is soon told as one.
_PATIENCE_SECONDS = 15.0
_SHOWN = 300


class QueryTooLarge(QueryRejected):
    """A query goes over a limit of the server; over less time it may not."""


class _Outage(SourceUnavailable):
    """An outage that may be over in a moment."""


class PrometheusHttp:
    """Queries to one server, until a time of the monotonic clock; range queries are retried through a short outage."""

    def __init__(self, config: PrometheusConfig, stopping: Event, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._stopping = stopping
        self._base = httpx.URL(str(config.url))
        self._client = httpx.Client(
            verify=tls_context(config.tls, f"sources: {config.name}: tls"),
            # A proxy from the environment is how some reach their Prometheus, but none leads to this machine.
            trust_env=not is_loopback(self._base),
            transport=transport,
        )

    @property
    def url(self) -> str:
        """The base URL as it may be shown."""
        return shown_url(self._base)

    def query(self, promql: str, until: float) -> list[Any]:
        """Return the vector that ``promql`` gives now, asked for once; raises as ``query_range``."""
        return self._ask("query", {"query": promql}, "vector", until, attempts=1)

    def query_range(self, promql: str, start: int, end: int, step: int, until: float) -> list[Any]:
        """Return the matrix of ``promql`` at ``start, start + step .. end`` (epoch seconds).

        Raises:
            QueryTooLarge: the server has a limit that the query goes over.
            QueryRejected: the server does not accept the query.
            SourceUnavailable: there is no usable answer before ``until``.
        """
        form = {"query": promql, "start": str(start), "end": str(end), "step": str(step)}
        return self._ask("query_range", form, "matrix", until)

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _ask(
        self, endpoint: str, form: dict[str, str], kind: str, until: float, attempts: int | None = None
    ) -> list[Any]:
        began = monotonic()
        retry_until = min(until, began + _PATIENCE_SECONDS)
        seconds = retry_until - began
        longest = jitter = seconds / 10

        def worth_another(error: Exception) -> bool:
            return isinstance(error, _Outage) and retry_until - monotonic() > longest + jitter

        data: Any = None
        for attempt in stamina.retry_context(
            on=worth_another,
            attempts=attempts,
            timeout=None,
            wait_initial=min(0.25, longest),
            wait_max=longest,
            wait_jitter=jitter,
        ):
            with attempt:
                data = self._ask_once(endpoint, form, until)
        if not isinstance(data, dict) or not isinstance(data.get("result"), list):
            raise self._unavailable("it answers, but not as Prometheus' API does", "set url to Prometheus itself")
        if data.get("resultType") != kind:
            raise QueryRejected(
                f"it gives a {data.get('resultType')}, not a {kind}; write a query that gives one series per server"
            )
        result: list[Any] = data["result"]
        return result

    def _ask_once(self, endpoint: str, form: dict[str, str], until: float) -> Any:
        if self._stopping.is_set():
            raise self._unavailable("the source is being closed", "nothing to do")
        seconds = max(0.001, min(self._config.timeout_seconds, until - monotonic()))
        # The server shall give up a little before we do: then it says so, and a shorter span can be tried.
        form = form | {"timeout": f"{max(1, int(seconds * 900))}ms"}
        url = self._base.copy_with(path=f"{self._base.path.rstrip('/')}/api/v1/{endpoint}")
        try:
            request = self._client.build_request("POST", url, data=form, headers=headers(self._config), timeout=seconds)
            auth = authentication(self._config) or httpx.USE_CLIENT_DEFAULT
            response = self._client.send(request, auth=auth, stream=True)
            try:
                body = b"".join(self._chunks(response, monotonic() + seconds))
            finally:
                response.close()
        except SecretUnreadable as error:
            raise SourceUnavailable(f"source {self._config.name}: {error}") from error
        except (httpx.LocalProtocolError, UnicodeError) as error:
            # Their text quotes the header, which may hold a secret; so the cause is cut off as well.
            raise self._unreachable(error) from None
        except httpx.TimeoutException as error:
            raise self._unavailable(
                f"no complete answer within {seconds:.3g} s", "see that it is up, or raise timeout_seconds", _Outage
            ) from error
        except httpx.RequestError as error:
            raise self._unreachable(error) from error
        return self._data(response, body)

    def _chunks(self, response: httpx.Response, limit: float) -> Iterator[bytes]:
        # httpx limits the time of each read, so a server that drips would be listened to for ever.
        for chunk in response.iter_bytes():
            yield chunk
            if monotonic() > limit:
                raise httpx.ReadTimeout("the answer takes too long", request=response.request)
            if self._stopping.is_set():
                raise httpx.ReadError("the source is being closed", request=response.request)

    def _unreachable(self, error: httpx.RequestError | UnicodeError) -> SourceUnavailable:
        reason, fix, passing = failure(error)
        return self._unavailable(reason, fix, _Outage if passing else SourceUnavailable)

    def _data(self, response: httpx.Response, body: bytes) -> Any:
        status = response.status_code
        if response.is_redirect:
            target = shown_url(response.url.join(response.headers["Location"]))
            raise self._unavailable(
                f"it redirects to {target}, perhaps to log in", "set url to where the API answers, or give credentials"
            )
        if status in (401, 403):
            raise self._unavailable(
                f"access denied ({status})", "check basic_auth, bearer_token or headers of the source"
            )
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        text = str(answer.get("error", "")) if isinstance(answer, dict) else ""
        if text and status in (400, 422, 503) and _TOO_LARGE.search(text):
            raise QueryTooLarge(f"{text[:_SHOWN]}; simplify the query, or raise the server's limit")
        if text and status in (400, 422):
            raise QueryRejected(f"Prometheus rejects it: {text[:_SHOWN]}; correct the PromQL")
        if status == 429 or status >= 500:
            detail = f": {text[:_SHOWN]}" if text else ""
            raise self._unavailable(f"it answers with status {status}{detail}", "look at its log", _Outage)
        if not response.is_success:
            raise self._unavailable(f"it answers with status {status}", "set url to the base of Prometheus' API")
        if not isinstance(answer, dict) or answer.get("status") != "success":
            raise self._unavailable(
                "it answers, but not as Prometheus' API does",
                "set url to Prometheus itself; a proxy or a login page may stand between",
            )
        return answer.get("data")

    def _unavailable(
        self, reason: str, fix: str, kind: type[SourceUnavailable] = SourceUnavailable
    ) -> SourceUnavailable:
        return kind(f"source {self._config.name}: {self.url}: {reason}; {fix}")
