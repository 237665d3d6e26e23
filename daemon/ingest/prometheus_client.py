"""Queries to Prometheus' HTTP API; an outage and a rejected query are different errors."""

import re
from typing import Any
from urllib.parse import urlencode

import httpx

from daemon.config.sources import PrometheusConfig
from daemon.core.errors import QueryRejected, SourceUnavailable
from daemon.system.http_client import Answer, HttpClient, HttpUnavailable, Retries

# a tick waits for its sources, and the next tick fills the gap of a longer outage
_RETRIES = Retries(attempts=None, patience_seconds=15.0)
_TOO_LARGE = re.compile(r"too many (samples|points|chunks)|exceeded (the )?maximum|exceeds? the limit|timed out")


class QueryTooLarge(QueryRejected):
    """A query exceeds a limit of the server; the same query over less time may not."""


class PrometheusApi:
    """The queries of one server; each is complete by a given time of the monotonic clock."""

    def __init__(self, config: PrometheusConfig, transport: httpx.BaseTransport | None = None) -> None:
        self.http = HttpClient(
            config,
            label=f"source {config.name}",
            key=f"sources: {config.name}",
            api="Prometheus",
            error_text=lambda document: document.get("error") if isinstance(document, dict) else None,
            retries=_RETRIES,
            transport=transport,
        )

    def query(self, promql: str, until: float) -> list[Any]:
        """Return the vector of ``promql`` now, without a second attempt; raises as ``query_range``."""
        return self._result("query", {"query": promql}, "vector", until, attempts=1)

    def query_range(self, promql: str, start: int, end: int, step: int, until: float) -> list[Any]:
        """Return the matrix of ``promql`` at ``start, start + step .. end`` (epoch seconds).

        Raises:
            QueryTooLarge: the query exceeds a limit of the server.
            QueryRejected: the server does not accept the query.
            SourceUnavailable: there is no usable answer before ``until``.
        """
        form = {"query": promql, "start": str(start), "end": str(end), "step": str(step)}
        return self._result("query_range", form, "matrix", until)

    def not_prometheus(self, detail: str = "") -> SourceUnavailable:
        """Return the error that the answers are not those of Prometheus."""
        reason = f"it answers, but not as Prometheus' API does{detail}"
        fix = "set url to Prometheus itself; check for a proxy or a login page in front of it"
        return SourceUnavailable(str(self.http.unavailable(reason, fix)))

    def _result(
        self, endpoint: str, form: dict[str, str], result_type: str, until: float, attempts: int | None = None
    ) -> list[Any]:
        def body(seconds: float) -> bytes:
            # the server gives up a little earlier than this client: then it reports why, and a shorter span can work
            return urlencode(form | {"timeout": f"{max(1, int(seconds * 900))}ms"}).encode()

        try:
            document = self.http.post(
                f"/api/v1/{endpoint}",
                body,
                media_type="application/x-www-form-urlencoded",
                reject=_reject,
                until=until,
                attempts=attempts,
            ).document()
        except HttpUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        data = document.get("data") if isinstance(document, dict) and document.get("status") == "success" else None
        if not isinstance(data, dict) or not isinstance(data.get("result"), list):
            raise self.not_prometheus()
        if data.get("resultType") != result_type:
            raise QueryRejected(
                f"it returns a {data.get('resultType')}, not a {result_type}; "
                "write a query that returns one series per server"
            )
        result: list[Any] = data["result"]
        return result


def _reject(answer: Answer, text: str) -> None:
    if text and answer.status in (400, 422, 503) and _TOO_LARGE.search(text):
        raise QueryTooLarge(f"{text}; simplify the query, or raise the server's limit")
    if text and answer.status in (400, 422):
        raise QueryRejected(f"Prometheus rejects it: {text}; correct the PromQL")
