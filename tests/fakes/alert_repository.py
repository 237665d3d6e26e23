"""An alert repository in memory."""

from collections.abc import Mapping, Sequence

from daemon.alerting.outcomes import Prediction
from daemon.alerting.state import Alert, AlertKey, Notification, QueuedNotification
from daemon.core.errors import StoreUnavailable


class FakeAlertRepository:
    """Mirrors the ``AlertRepository`` port; passes the same conformance suite as the real one.

    Attributes:
        failure: error of every write while it is set, such as a full disk.
    """

    def __init__(self) -> None:
        self.failure: StoreUnavailable | None = None
        self._alerts: dict[AlertKey, Alert] = {}
        self._records: dict[tuple[str, str, str, int], Prediction] = {}
        self._queue: list[QueuedNotification] = []
        self._number = 0

    def alerts(self) -> dict[AlertKey, Alert]:
        """Return every alert that was written and not removed."""
        return dict(self._alerts)

    def predictions(self, since: int) -> tuple[Prediction, ...]:
        """Return the predictions without an outcome and those made at or after ``since``, oldest first."""
        kept = [each for each in self._records.values() if each.outcome is None or each.made >= since]
        return tuple(sorted(kept, key=lambda each: (each.made, each.server, each.metric, each.severity)))

    def queued(self, target: str, limit: int) -> tuple[QueuedNotification, ...]:
        """Return the oldest notifications queued for ``target``."""
        return tuple(each for each in self._queue if each.target == target)[:limit]

    def queue_length(self, target: str) -> int:
        """Return how many notifications are queued for ``target``."""
        return sum(each.target == target for each in self._queue)

    def write(
        self,
        changed: Mapping[AlertKey, Alert | None],
        records: Sequence[Prediction],
        queue: Mapping[str, Sequence[Notification]],
    ) -> None:
        """Keep everything, or nothing."""
        if self.failure is not None:
            raise self.failure
        for key, alert in changed.items():
            if alert is None:
                self._alerts.pop(key, None)
            else:
                self._alerts[key] = alert
        for record in records:
            self._records[record.server, record.metric, record.severity, record.made] = record
        for target, some in queue.items():
            for each in some:
                self._number += 1
                self._queue.append(QueuedNotification(self._number, target, each))

    def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Delete the notifications ``numbers``."""
        self._queue = [each for each in self._queue if each.target != target or each.number not in numbers]

    def shorten(self, target: str, most: int) -> int:
        """Delete the oldest until ``most`` are left."""
        queued = [each.number for each in self._queue if each.target == target]
        surplus = queued[: max(0, len(queued) - most)]
        self.delivered(target, surplus)
        return len(surplus)

    def prune(self, before: int) -> int:
        """Delete the predictions with an outcome that were made before ``before``."""
        old = [key for key, each in self._records.items() if each.made < before and each.outcome is not None]
        for key in old:
            del self._records[key]
        return len(old)
