"""Delivery of alerts to an Alertmanager."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from daemon.alerting.state import Notification
from daemon.config.alerting import AlertmanagerConfig
from daemon.core.errors import NotificationRejected, NotifierUnavailable
from daemon.system.http_client import Answer, HttpClient, HttpUnavailable, Retries

# undelivered alerts stay queued until the next tick; the retries bridge a short outage only
_RETRIES = Retries(attempts=3, patience_seconds=8.0)
_LONGEST_ANSWER_BYTES = 65_536


def alert_document(notification: Notification) -> dict[str, Any]:
    """Return ``notification`` as a ``postableAlert`` of Alertmanager's OpenAPI specification."""
    document: dict[str, Any] = {
        "labels": dict(notification.labels),
        "annotations": dict(notification.annotations),
        "startsAt": _rfc3339(notification.starts_at),
        "endsAt": _rfc3339(notification.ends_at),
    }
    # an empty text is not a valid URI
    if notification.generator_url:
        document["generatorURL"] = notification.generator_url
    return document


def _rfc3339(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AlertmanagerNotifier:
    """Alertmanager's API v2 behind the `Notifier` port.

    Raises:
        ConfigError: a certificate file cannot be used.
    """

    def __init__(self, config: AlertmanagerConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._name = config.name
        self._http = HttpClient(
            config,
            label=f"alertmanager {config.name}",
            key=f"alerting.alertmanagers: {config.name}",
            api="Alertmanager",
            error_text=lambda document: document.get("message") if isinstance(document, dict) else document,
            retries=_RETRIES,
            longest_answer_bytes=_LONGEST_ANSWER_BYTES,
            transport=transport,
        )

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._name

    def send(self, notifications: Sequence[Notification]) -> None:
        """Send the alerts and return once Alertmanager has accepted them.

        Raises:
            NotifierUnavailable: it cannot be reached, or denies access; it may have accepted none of them.
            NotificationRejected: it rejects the content of at least one alert. It may have accepted the others.
        """
        content = json.dumps([alert_document(notification) for notification in notifications]).encode()
        try:
            answer = self._http.post(
                "/api/v2/alerts", lambda _: content, media_type="application/json", reject=self._reject
            )
            # another service or a login portal answers with a page; to take it for success would lose the alerts
            if "html" in answer.media_type:
                raise self._http.unavailable("it answers with a web page", "set url to Alertmanager itself")
        except HttpUnavailable as error:
            raise NotifierUnavailable(str(error)) from error

    def close(self) -> None:
        """Release the connections; a later ``send`` fails."""
        self._http.close()

    def _reject(self, answer: Answer, text: str) -> None:
        if answer.status == 413:
            raise self._rejected("the request is too large (413)", "raise the limit of the proxy in front of it")
        # a text in JSON is Alertmanager's; any proxy may answer 400 or 422 without one
        if text and answer.status in (400, 422):
            raise self._rejected(f"it rejects an alert: {text}", "correct the label or annotation that it names")

    def _rejected(self, reason: str, fix: str) -> NotificationRejected:
        return NotificationRejected(str(self._http.unavailable(reason, fix)))
