"""A notifier that keeps what it accepted."""

from collections.abc import Sequence

from daemon.alerting.state import Notification
from daemon.core.errors import NotificationRejected, NotifierUnavailable


class FakeNotifier:
    """Mirrors the ``Notifier`` port; passes the same conformance suite as the real one.

    Attributes:
        accepted: every accepted batch.
        down: whether it cannot be reached.
        rejects: names of servers whose alerts it rejects, and with them the whole batch.
    """

    def __init__(self, name: str = "am") -> None:
        self.name = name
        self.accepted: list[tuple[Notification, ...]] = []
        self.down = False
        self.rejects: frozenset[str] = frozenset()
        self._closed = False

    def send(self, notifications: Sequence[Notification]) -> None:
        """Accept the batch."""
        if self.down or self._closed:
            raise NotifierUnavailable(f"{self.name}: is {'closed' if self._closed else 'down'}")
        if any(each.labels.get("server") in self.rejects for each in notifications):
            raise NotificationRejected(f"{self.name}: bad labels")
        self.accepted.append(tuple(notifications))

    def close(self) -> None:
        """Take nothing more."""
        self._closed = True
