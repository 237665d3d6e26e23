"""``POST /api/v1/metrics``: checks and stores pushed metrics."""

from collections import Counter

import structlog
from fastapi import HTTPException

from daemon.api.answers import PushDocument, RejectionDocument
from daemon.config.schema import Config
from daemon.config.sources import PushConfig
from daemon.core.clock import Clock
from daemon.core.errors import BadPush
from daemon.core.telemetry import Telemetry
from daemon.ingest.ingest import Ingest
from daemon.ingest.push import parse_push

_MAXIMUM_REJECTIONS = 100
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
#: The body of a push for OpenAPI; a record that does not match is rejected, not the whole body.
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
    """Stores the valid samples of a pushed document and reports the rejected ones."""

    def __init__(
        self,
        *,
        source: PushConfig,
        config: Config,
        ingest: Ingest,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._source, self._config, self._ingest = source.name, config, ingest
        self._clock, self._telemetry = clock, telemetry

    @property
    def max_body_bytes(self) -> int:
        """Limit of the body, in bytes."""
        return self._config.http.max_body_bytes

    def take(self, document: object) -> PushDocument:
        """Store the valid samples of ``document``.

        Raises:
            HTTPException: 400 if the document as a whole, or every record in it, is not valid.
            StoreUnavailable: nothing was stored.
        """
        now = int(self._clock.now())
        try:
            result = parse_push(document, now, self._config.metrics, now - self._config.store.retention_seconds)
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
                400, f"every record was rejected; record {first.index}, {first.field}: {first.detail} ({first.reason})"
            )
        self._ingest.accept(self._source, result.samples)
        shown = [RejectionDocument.model_validate(each) for each in result.rejected[:_MAXIMUM_REJECTIONS]]
        return PushDocument(accepted=len(result.samples), rejected=len(result.rejected), rejections=shown)
