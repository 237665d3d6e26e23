"""A verification repository in memory."""

from collections.abc import Sequence

from daemon.core.errors import StoreUnavailable
from daemon.forecasting.verification import LiveScore, PendingVerification


class FakeVerificationRepository:
    """Implements the ``VerificationRepository`` protocol; passes the same conformance suite as the real adapter.

    Attributes:
        failure: error that every write raises while it is set, like that of a full disk.
    """

    def __init__(self) -> None:
        self.failure: StoreUnavailable | None = None
        self._pending: dict[int, PendingVerification] = {}
        self._scores: dict[tuple[int, str, str, str], LiveScore] = {}

    def pending(self) -> tuple[PendingVerification, ...]:
        """Return the pending forecasts, oldest first."""
        return tuple(self._pending[origin] for origin in sorted(self._pending))

    def scores(self, since: int) -> tuple[LiveScore, ...]:
        """Return the scores of origins at or after ``since``, oldest first."""
        return tuple(self._scores[key] for key in sorted(self._scores) if key[0] >= since)

    def write(self, pending: Sequence[PendingVerification], done: Sequence[int], scores: Sequence[LiveScore]) -> None:
        """Write everything, or nothing while ``failure`` is set."""
        if self.failure is not None:
            raise self.failure
        for origin in done:
            self._pending.pop(origin, None)
        self._pending |= {each.origin: each for each in pending}
        self._scores |= {(each.origin, each.forecaster, each.metric, each.horizon): each for each in scores}

    def prune(self, before: int) -> int:
        """Delete the scores of origins before ``before``; return their number."""
        old = [key for key in self._scores if key[0] < before]
        for key in old:
            del self._scores[key]
        return len(old)
