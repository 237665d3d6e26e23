"""A notifier that remembers what it was told."""

from collections.abc import Sequence

from daemon.alerting.state import Notification
from daemon.core.errors import NotificationRejected, NotifierUnavailable


class FakeNotifier:
    """Mirrors the ``Notifier`` port; passes the same conformance suite as the real one.

    Attributes:
        told: every batch that was taken.
        down: whether it cannot be reached.
        refuses: names of servers whose alerts it rejects, and with them the whole batch.
    """

    def __init__(self, name: str = "am") -> None:
        self.name = name
        self.told: list[tuple[Notification, ...]] = []
        self.down = False
        self.refuses: frozenset[str] = frozenset()
        self._closed = False

    def send(self, notifications: Sequence[Notification]) -> None:
        """Take the batch."""
        if self.down or self._closed:
            raise NotifierUnavailable(f"{self.name}: is {'closed' if self._closed else 'down'}")
        if any(each.labels.get("server") in self.refuses for each in notifications):
            raise NotificationRejected(f"{self.name}: bad labels")
        self.told.append(tuple(notifications))

    def close(self) -> None:
        """Take nothing more."""
        self._closed = True
