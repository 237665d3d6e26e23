"""The newest snapshot and its exposition, shared by all requests."""

from collections.abc import Mapping

from daemon.api.exposition import EMPTY, Exposition, expose
from daemon.config.schema import ExpositionConfig
from daemon.core.clock import Clock
from daemon.core.errors import ForewarnError
from daemon.core.metric import Metric
from daemon.core.series import STEP_SECONDS
from daemon.pipeline.cycle import Snapshot

_READY_SECONDS = 2 * STEP_SECONDS


class NoTickYet(ForewarnError):
    """The requested data exists only after the first tick."""


class SnapshotCache:
    """Holds one snapshot and its exposition; both are replaced together."""

    def __init__(self, clock: Clock, metrics: Mapping[str, Metric], exposition: ExpositionConfig) -> None:
        self._clock = clock
        self.configure(metrics, exposition)
        self._shown: tuple[Snapshot | None, Exposition] = (None, EMPTY)

    def configure(self, metrics: Mapping[str, Metric], exposition: ExpositionConfig) -> None:
        """Use these from the next snapshot on."""
        self._directions = {name: metric.direction for name, metric in metrics.items()}
        self._series_budget = exposition.series_budget

    def publish(self, snapshot: Snapshot) -> None:
        """Render ``snapshot`` and replace the shown one."""
        text = expose(snapshot.forecast, snapshot.alerting, self._directions, self._series_budget)
        self._shown = (snapshot, text)

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot; None before the first tick."""
        return self._shown[0]

    def newest(self) -> Snapshot:
        """Return the newest snapshot.

        Raises:
            NoTickYet: there is none.
        """
        if self.snapshot is None:
            raise NoTickYet("no tick is complete yet")
        return self.snapshot

    @property
    def exposition(self) -> Exposition:
        """The exposition of the newest snapshot."""
        return self._shown[1]

    def problems(self) -> tuple[str, ...]:
        """Return why the service is not ready; empty if it is: if it has a forecast younger than two intervals."""
        snapshot = self.snapshot
        if snapshot is None:
            return ("no tick is complete yet",)
        if not snapshot.forecast.keys:
            return ("the last tick had no series to forecast: no source has delivered a sample within a day",)
        age = self._clock.now() - snapshot.at
        # a tick starts after its grid time and takes time, so the previous forecast may be two intervals old
        if age > _READY_SECONDS + STEP_SECONDS:
            return (f"the newest forecast is {age:.0f} s old",)
        return ()
