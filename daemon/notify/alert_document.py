"""An alert in the form of Alertmanager's API v2."""

from datetime import UTC, datetime
from typing import Any

from daemon.domain.notification import Notification


def alert_document(notification: Notification) -> dict[str, Any]:
    """Return ``notification`` as a ``postableAlert`` of Alertmanager's OpenAPI specification."""
    document: dict[str, Any] = {
        "labels": dict(notification.labels),
        "annotations": dict(notification.annotations),
        "startsAt": _rfc3339(notification.starts_at),
        "endsAt": _rfc3339(notification.ends_at),
    }
    # An empty one would not be a valid URI.
    if notification.generator_url:
        document["generatorURL"] = notification.generator_url
    return document


def _rfc3339(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
