"""A book of verification in memory."""

from collections.abc import Sequence

from daemon.core.errors import StoreUnavailable
from daemon.forecasting.verification import LiveScore, PendingVerification


class FakeVerificationRepository:
    """Mirrors the ``VerificationRepository`` port; passes the same conformance suite as the real one.

    Attributes:
        failure: what every write raises while it is set, as a store does whose disk is full.
    """

    def __init__(self) -> None:
        self.failure: StoreUnavailable | None = None
        self._kept: dict[int, PendingVerification] = {}
        self._scores: dict[tuple[int, str, str, str], LiveScore] = {}

    def kept(self) -> tuple[PendingVerification, ...]:
        """Return what waits, oldest first."""
        return tuple(self._kept[origin] for origin in sorted(self._kept))

    def scores(self, since: int) -> tuple[LiveScore, ...]:
        """Return what is not older than ``since``, oldest first."""
        return tuple(self._scores[key] for key in sorted(self._scores) if key[0] >= since)

    def write(self, kept: Sequence[PendingVerification], done: Sequence[int], scores: Sequence[LiveScore]) -> None:
        """Keep all of it, or nothing."""
        if self.failure is not None:
            raise self.failure
        for origin in done:
            self._kept.pop(origin, None)
        self._kept |= {each.origin: each for each in kept}
        self._scores |= {(each.origin, each.forecaster, each.metric, each.horizon): each for each in scores}

    def prune(self, before: int) -> int:
        """Forget what is older than ``before``."""
        old = [key for key in self._scores if key[0] < before]
        for key in old:
            del self._scores[key]
        return len(old)
