"""Metrics that others push."""

from collections import Counter
from collections.abc import Collection

import structlog
from fastapi import HTTPException

from daemon.api.answers import PushDocument, RejectionDocument
from daemon.core.clock import Clock
from daemon.core.errors import BadPush
from daemon.core.telemetry import Telemetry
from daemon.ingest.ingest import Ingest
from daemon.ingest.push import parse_push

_MOST_SHOWN = 100
_RECORDS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["timestamp", "server"],
        "properties": {
            "timestamp": {"type": "string", "format": "date-time", "example": "2026-03-01T12:00:00Z"},
            "server": {"type": "string", "example": "web-01"},
            "profile": {"type": ["string", "null"]},
            "metric": {"type": "string", "example": "cpu_busy_pct"},
            "value": {"type": ["number", "null"], "example": 41.5},
            "metrics": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        },
        "additionalProperties": {"type": ["number", "null"]},
    },
}
#: The body of a push, as OpenAPI describes it; each record of it is judged on its own.
BODY = {
    "description": "Records: long (`metric` and `value`), wide (each metric a field) or nested (in `metrics`).",
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [_RECORDS, {"type": "object", "required": ["records"], "properties": {"records": _RECORDS}}]
            }
        }
    },
}

_log = structlog.get_logger()


class PushEndpoint:
    """Checks a pushed document, stores what is good in it, and says what is not."""

    def __init__(
        self,
        *,
        source: str,
        ingest: Ingest,
        metrics: Collection[str],
        retention_seconds: int,
        clock: Clock,
        telemetry: Telemetry,
        max_body_bytes: int,
    ) -> None:
        self._source, self._ingest, self._metrics = source, ingest, metrics
        self._retention_seconds, self._clock, self._telemetry = retention_seconds, clock, telemetry
        self.max_body_bytes = max_body_bytes

    def take(self, document: object) -> PushDocument:
        """Store the good records of ``document``.

        Raises:
            HTTPException: 400 if the document as a whole, or every record of it, is bad.
            StoreUnavailable: nothing was stored.
        """
        now = int(self._clock.now())
        try:
            result = parse_push(document, now, self._metrics, now - self._retention_seconds)
        except BadPush as error:
            self._telemetry.rejected(self._source, "bad_push", 1)
            raise HTTPException(400, str(error)) from error
        reasons = Counter(rejection.reason for rejection in result.rejected)
        for reason, count in reasons.items():
            self._telemetry.rejected(self._source, reason, count)
        if reasons:
            _log.warning("push_partly_rejected", source=self._source, accepted=len(result.samples), **reasons)
        if reasons and not len(result.samples):
            first = result.rejected[0]
            raise HTTPException(
                400, f"no record could be taken; record {first.index}, {first.field}: {first.detail} ({first.reason})"
            )
        self._ingest.accept(self._source, result.samples)
        shown = [
            RejectionDocument(index=item.index, field=item.field, reason=item.reason, detail=item.detail)
            for item in result.rejected[:_MOST_SHOWN]
        ]
        return PushDocument(accepted=len(result.samples), rejected=len(result.rejected), rejections=shown)
