"""A book of alerts in memory."""

from collections.abc import Mapping, Sequence

from daemon.alerting.outcomes import Prediction
from daemon.alerting.state import Alert, AlertKey, Notification, Queued
from daemon.core.errors import StoreUnavailable


class FakeAlertRepository:
    """Mirrors the ``AlertRepository`` port; passes the same conformance suite as the real one.

    Attributes:
        failure: what every write raises while it is set, as a store does whose disk is full.
    """

    def __init__(self) -> None:
        self.failure: StoreUnavailable | None = None
        self._alerts: dict[AlertKey, Alert] = {}
        self._lines: dict[tuple[str, str, str, int], Prediction] = {}
        self._queue: list[Queued] = []
        self._number = 0

    def alerts(self) -> dict[AlertKey, Alert]:
        """Return every alert that was written and not removed."""
        return dict(self._alerts)

    def predictions(self, since: int) -> tuple[Prediction, ...]:
        """Return what is open or not older than ``since``, oldest first."""
        kept = [line for line in self._lines.values() if line.outcome is None or line.made >= since]
        return tuple(sorted(kept, key=lambda line: (line.made, line.server, line.metric, line.severity)))

    def queued(self, target: str, limit: int) -> tuple[Queued, ...]:
        """Return the oldest that wait for ``target``."""
        return tuple(each for each in self._queue if each.target == target)[:limit]

    def write(
        self,
        changed: Mapping[AlertKey, Alert | None],
        lines: Sequence[Prediction],
        queue: Mapping[str, Sequence[Notification]],
    ) -> None:
        """Keep all of it, or nothing."""
        if self.failure is not None:
            raise self.failure
        for alert_key, alert in changed.items():
            if alert is None:
                self._alerts.pop(alert_key, None)
            else:
                self._alerts[alert_key] = alert
        for line in lines:
            self._lines[line.server, line.metric, line.severity, line.made] = line
        for target, some in queue.items():
            for each in some:
                self._number += 1
                self._queue.append(Queued(self._number, target, each))

    def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Forget those."""
        self._queue = [each for each in self._queue if each.target != target or each.number not in numbers]

    def shorten(self, target: str, most: int) -> int:
        """Forget the oldest but ``most``."""
        waiting = [each.number for each in self._queue if each.target == target]
        gone = waiting[: max(0, len(waiting) - most)]
        self.delivered(target, gone)
        return len(gone)

    def prune(self, before: int) -> int:
        """Forget what was judged and is older than ``before``."""
        old = [key for key, line in self._lines.items() if line.made < before and line.outcome is not None]
        for key in old:
            del self._lines[key]
        return len(old)
