"""Delivery of alerts to every target: one queue of changes on disk; firing alerts are re-sent at each tick.

Decision: the queue is the only record of what a target has not accepted. A change (an alert fires or resolves) is
queued for each target in the transaction that makes it, and leaves the queue when that target accepts or rejects it. So
an alert that begins and ends during an outage is delivered afterwards, in order, also across restarts.

Alertmanager forgets an alert that is not re-sent, so each tick also sends every firing alert without a queued change.
These messages need no record: a lost one is repeated at the next tick. An alert whose only queued change is that it
fired, and which still fires, is sent with its present text instead of the queued one.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

import structlog

from daemon.alerting.outcomes import AlertRepository
from daemon.alerting.state import Notification, Notifier, QueuedNotification
from daemon.config.alerting import AlertingConfig
from daemon.core.clock import Clock
from daemon.core.errors import NotificationRejected, NotifierUnavailable
from daemon.core.series import STEP_SECONDS
from daemon.core.telemetry import Telemetry

_VALID_TICKS = 4
# ticks of an accelerated clock are short, and a restart must not take longer than a message is valid
_VALID_SECONDS_AT_LEAST = 300.0
_MOST_AT_ONCE = 1000

_log = structlog.get_logger()


class Delivery:
    """Sends to all targets in parallel; a target that is down delays no other."""

    def __init__(
        self,
        *,
        repository: AlertRepository,
        notifiers: Sequence[Notifier],
        config: AlertingConfig,
        clock: Clock,
        telemetry: Telemetry,
        wall_now: Callable[[], float],
    ) -> None:
        self._repository, self._notifiers, self._config = repository, notifiers, config
        self._clock, self._telemetry, self._wall_now = clock, telemetry, wall_now

    def run(self, firing: Sequence[Notification]) -> None:
        """Send queued changes, oldest first per alert, and re-send ``firing`` alerts."""
        if not self._notifiers:
            return
        with ThreadPoolExecutor(len(self._notifiers)) as threads:
            # each with the context of the tick, so that its log lines have the tick's id
            deliveries = [threads.submit(copy_context().run, self._deliver, each, firing) for each in self._notifiers]
        for delivery in deliveries:
            delivery.result()

    def _deliver(self, notifier: Notifier, firing: Sequence[Notification]) -> None:
        target = notifier.name
        dropped = self._repository.shorten(target, self._config.queue_limit)
        if dropped:
            self._telemetry.notifications(target, "dropped", dropped)
            _log.error("notifications_dropped", target=target, count=dropped, limit=self._config.queue_limit)
        queue = self._repository.queued(target, _MOST_AT_ONCE)
        due = _oldest_changes(queue, firing)
        queued = {each.identity for each in due.values()}
        batch = [*due.values(), *(each for each in firing if each.identity not in queued)]
        if batch and self._accepted(notifier, [self._valid(each) for each in batch]):
            self._repository.delivered(target, list(due))
        self._telemetry.queued(target, self._repository.queue_length(target))

    def _valid(self, notification: Notification) -> Notification:
        """Return a firing notification with the time until which it is valid: more than three ticks ahead."""
        if notification.ends_at:
            return notification
        seconds = _VALID_TICKS * STEP_SECONDS / self._clock.speed
        return replace(notification, ends_at=self._wall_now() + max(seconds, _VALID_SECONDS_AT_LEAST))

    def _accepted(self, notifier: Notifier, batch: Sequence[Notification]) -> bool:
        """Send ``batch``; return whether the target has accepted or rejected each notification of it."""
        try:
            notifier.send(batch)
        except NotifierUnavailable as problem:
            self._telemetry.notifications(notifier.name, "failed", len(batch))
            _log.warning("notifier_unavailable", target=notifier.name, count=len(batch), reason=str(problem))
            return False
        except NotificationRejected as problem:
            if len(batch) > 1:
                # one of them is invalid, and must not block the others
                return min(self._accepted(notifier, [each]) for each in batch)
            self._telemetry.notifications(notifier.name, "rejected", 1)
            _log.error("notification_rejected", target=notifier.name, labels=batch[0].labels, reason=str(problem))
            return True
        self._telemetry.notifications(notifier.name, "sent", len(batch))
        return True


def _oldest_changes(queue: Sequence[QueuedNotification], firing: Sequence[Notification]) -> dict[int, Notification]:
    """Return the oldest queued change of each alert by its number: one per tick, so that "fired" arrives first."""
    changes: dict[tuple[tuple[str, str], ...], list[QueuedNotification]] = {}
    for each in queue:
        changes.setdefault(each.notification.identity, []).append(each)
    present = {each.identity: each for each in firing}
    due = {}
    for identity, (oldest, *later) in changes.items():
        still_firing = not later and not oldest.notification.ends_at and identity in present
        due[oldest.number] = present[identity] if still_firing else oldest.notification
    return due
