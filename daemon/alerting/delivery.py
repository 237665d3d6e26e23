"""Telling those who route alerts: what changed, in order, and again at each tick what still fires."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

import structlog

from daemon.alerting.outcomes import AlertRepository
from daemon.alerting.state import Notification, Notifier, Queued
from daemon.core.clock import Clock
from daemon.core.errors import NotificationRejected, NotifierUnavailable
from daemon.core.series import STEP_SECONDS
from daemon.core.telemetry import Telemetry

_HELD_TICKS = 4
# on an accelerated clock ticks are short, and a restart must not outlast what was told
_HELD_SECONDS_AT_LEAST = 300.0
_AT_ONCE = 1000

_log = structlog.get_logger()


class Delivery:
    """Hands notifications to every target; what one cannot take stays queued for it, on disk."""

    def __init__(
        self,
        *,
        repository: AlertRepository,
        notifiers: Sequence[Notifier],
        queue_limit: int,
        clock: Clock,
        telemetry: Telemetry,
        wall_now: Callable[[], float],
    ) -> None:
        self._repository, self._notifiers, self._queue_limit = repository, notifiers, queue_limit
        self._clock, self._telemetry, self._wall_now = clock, telemetry, wall_now

    def run(self, firing: Sequence[Notification]) -> None:
        """Tell every target what waits for it, an alert's oldest news first, and all that fires beside that."""
        if not self._notifiers:
            return
        with ThreadPoolExecutor(len(self._notifiers)) as threads:
            # each with the context of the tick, so that its log lines bear the tick's id
            told = [threads.submit(copy_context().run, self._tell, each, firing) for each in self._notifiers]
        for each in told:
            each.result()

    def _tell(self, notifier: Notifier, firing: Sequence[Notification]) -> None:
        dropped = self._repository.shorten(notifier.name, self._queue_limit)
        if dropped:
            self._telemetry.notifications(notifier.name, "dropped", dropped)
            _log.error("notifications_dropped", target=notifier.name, count=dropped, limit=self._queue_limit)
        waiting = _oldest_of_each(self._repository.queued(notifier.name, _AT_ONCE))
        queued_labels = {_key(each.notification) for each in waiting}
        again = [each for each in firing if _key(each) not in queued_labels]
        batch = [*(each.notification for each in waiting), *again]
        if batch and self._sent(notifier, [self._held(each) for each in batch]):
            self._repository.delivered(notifier.name, [each.number for each in waiting])
        self._telemetry.queued(notifier.name, len(self._repository.queued(notifier.name, self._queue_limit)))

    def _held(self, notification: Notification) -> Notification:
        """Say until when an alert that fires is to be believed without further news: over three ticks ahead."""
        if notification.ends_at:
            return notification
        ticks = _HELD_TICKS * STEP_SECONDS / self._clock.speed
        return replace(notification, ends_at=self._wall_now() + max(ticks, _HELD_SECONDS_AT_LEAST))

    def _sent(self, notifier: Notifier, batch: Sequence[Notification]) -> bool:
        try:
            notifier.send(batch)
        except NotifierUnavailable as problem:
            self._telemetry.notifications(notifier.name, "failed", len(batch))
            _log.warning("notifier_unavailable", target=notifier.name, count=len(batch), reason=str(problem))
            return False
        except NotificationRejected as problem:
            if len(batch) > 1:
                # one of them is at fault, and the others must not wait for it
                return min(self._sent(notifier, [each]) for each in batch)
            self._telemetry.notifications(notifier.name, "rejected", 1)
            _log.error("notification_rejected", target=notifier.name, labels=batch[0].labels, reason=str(problem))
            return True
        self._telemetry.notifications(notifier.name, "sent", len(batch))
        return True


def _oldest_of_each(queue: Sequence[Queued]) -> list[Queued]:
    """Return the oldest news of each alert: that it fired is told before that it ended, a tick later."""
    oldest: dict[tuple[tuple[str, str], ...], Queued] = {}
    for each in queue:
        oldest.setdefault(_key(each.notification), each)
    return list(oldest.values())


def _key(notification: Notification) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(notification.labels.items()))
