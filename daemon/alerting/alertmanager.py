"""Delivery of alerts to an Alertmanager."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event
from time import monotonic
from typing import Any

import httpx
import stamina

from daemon.alerting.state import Notification
from daemon.config.alerting import AlertmanagerConfig
from daemon.core.errors import NotificationRejected, NotifierUnavailable
from daemon.system.http_client import (
    SecretUnreadable,
    authentication,
    failure,
    headers,
    is_loopback,
    shown_url,
    tls_context,
)


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


# What is not delivered waits in the queue for the next tick; here only a short outage is bridged.
_ATTEMPTS = 3
_PATIENCE_SECONDS = 8.0
_WAIT_SECONDS = 0.25
_LONGEST_ANSWER = 65_536
_SHOWN = 300


class _Outage(NotifierUnavailable):
    """An outage that may be over in a moment."""


class AlertmanagerNotifier:
    """Alertmanager's API v2 behind the `Notifier` port.

    Raises:
        ConfigError: a certificate file cannot be used.
    """

    def __init__(self, config: AlertmanagerConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._closed = Event()
        self._base = httpx.URL(str(config.url))
        self._alerts_url = self._base.copy_with(path=f"{self._base.path.rstrip('/')}/api/v2/alerts")
        self._client = httpx.Client(
            verify=tls_context(config.tls, f"alerting.alertmanagers: {config.name}: tls"),
            # A proxy from the environment may be the way to Alertmanager, but none leads to this machine.
            trust_env=not is_loopback(self._base),
            transport=transport,
        )

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._config.name

    def send(self, notifications: Sequence[Notification]) -> None:
        """Hand over the alerts; when it returns they were taken.

        Raises:
            NotifierUnavailable: it cannot be reached, or it does not let us in; none may have been taken.
            NotificationRejected: it refuses at least one of them for what is in it. It may have taken the others.
        """
        content = json.dumps([alert_document(notification) for notification in notifications]).encode()
        for attempt in stamina.retry_context(
            on=self._worth_another,
            attempts=_ATTEMPTS,
            timeout=_PATIENCE_SECONDS,
            wait_initial=_WAIT_SECONDS,
            wait_jitter=_WAIT_SECONDS,
        ):
            with attempt:
                self._send_once(content)

    def close(self) -> None:
        """Release the connections; nothing is sent any more."""
        self._closed.set()
        self._client.close()

    def _worth_another(self, error: Exception) -> bool:
        return isinstance(error, _Outage) and not self._closed.is_set()

    def _send_once(self, content: bytes) -> None:
        if self._closed.is_set():
            raise self._unavailable("it is being closed", "nothing to do")
        seconds = self._config.timeout_seconds
        try:
            named = {**headers(self._config), "Content-Type": "application/json"}
            auth = authentication(self._config)
            with self._client.stream(
                "POST", self._alerts_url, content=content, headers=named, auth=auth, timeout=seconds
            ) as response:
                body = _body(response, monotonic() + seconds)
        except SecretUnreadable as error:
            raise NotifierUnavailable(f"alertmanager {self.name}: {error}") from error
        except (httpx.LocalProtocolError, UnicodeError) as error:
            # Their text quotes the header, which may hold a secret; so the cause is cut off as well.
            raise self._unreachable(error) from None
        except httpx.TimeoutException as error:
            raise self._unavailable(
                f"no complete answer within {seconds:.3g} s", "see that it is up, or raise timeout_seconds", _Outage
            ) from error
        except httpx.RequestError as error:
            raise self._unreachable(error) from error
        self._judge(response, body)

    def _unreachable(self, error: httpx.RequestError | UnicodeError) -> NotifierUnavailable:
        reason, fix, passing = failure(error)
        return self._unavailable(reason, fix, _Outage if passing else NotifierUnavailable)

    def _judge(self, response: httpx.Response, body: bytes) -> None:
        status, text = response.status_code, _words(body)
        if response.is_success:
            # A page is what a portal or another service answers; taking it for a yes would lose the alerts.
            if "html" in response.headers.get("Content-Type", ""):
                raise self._unavailable("it answers with a web page", "set url to Alertmanager itself")
            return
        if response.is_redirect:
            target = shown_url(response.url.join(response.headers["Location"]))
            raise self._unavailable(
                f"it redirects to {target}, perhaps to log in", "set url to where the API answers, or give credentials"
            )
        if status in (401, 403):
            raise self._unavailable(f"access denied ({status})", "check its basic_auth, bearer_token or headers")
        if status == 413:
            raise self._rejected("too much at once (413)", "raise the limit of the proxy before it")
        # Words in JSON come from Alertmanager; a bare 400 or 422 can be anybody's, and says nothing of the alerts.
        if text and status in (400, 422):
            raise self._rejected(f"it rejects an alert: {text}", "correct the label or annotation that it names")
        if status == 429 or status >= 500:
            detail = f": {text}" if text else ""
            raise self._unavailable(f"it answers with status {status}{detail}", "look at its log", _Outage)
        raise self._unavailable(f"it answers with status {status}", "set url to the base of Alertmanager's API")

    def _unavailable(
        self, reason: str, fix: str, kind: type[NotifierUnavailable] = NotifierUnavailable
    ) -> NotifierUnavailable:
        return kind(self._message(reason, fix))

    def _rejected(self, reason: str, fix: str) -> NotificationRejected:
        return NotificationRejected(self._message(reason, fix))

    def _message(self, reason: str, fix: str) -> str:
        return f"alertmanager {self.name}: {shown_url(self._base)}: {reason}; {fix}"


def _body(response: httpx.Response, limit: float) -> bytes:
    # httpx limits the time of each read, so a server that drips would be listened to for ever.
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if monotonic() > limit:
            raise httpx.ReadTimeout("the answer takes too long", request=response.request)
        if len(body) > _LONGEST_ANSWER:
            break
    return body


def _words(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    text = answer.get("message") if isinstance(answer, dict) else answer
    return " ".join(text.split())[:_SHOWN] if isinstance(text, str) else ""
