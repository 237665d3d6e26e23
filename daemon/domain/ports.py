"""The ports that adapters implement and use cases are written against."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from daemon.domain.alerts import Identity
from daemon.domain.forecast import Forecast
from daemon.domain.ledger import Prediction
from daemon.domain.live_scores import KeptForecast, LiveScore
from daemon.domain.notification import Alert, Notification, Queued
from daemon.domain.retraining import Outcome, TrainingRun
from daemon.domain.risk import Cut, Risk, Severity, Watch
from daemon.domain.series import Panel, Samples


class Clock(Protocol):
    """Where the time comes from; an accelerated or a stopped one serves demos and tests."""

    @property
    def speed(self) -> float:
        """Seconds of this clock per second of the wall clock."""
        ...

    def now(self) -> float:
        """Return the current time in epoch seconds (UTC)."""
        ...


class Source(Protocol):
    """Something that metrics can be asked of, stream by stream.

    A stream is what can fail on its own: a query of Prometheus, or the whole of a simulator.
    """

    @property
    def name(self) -> str:
        """The name from the configuration; unique among the sources."""
        ...

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams, each with a watermark of its own."""
        ...

    @property
    def backfill_seconds(self) -> int:
        """How far before now a gap is still worth asking for."""
        ...

    @property
    def overlap_seconds(self) -> int:
        """How much before the watermark is asked for again, because samples may still arrive there."""
        ...

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the samples of ``stream`` at the grid times ``start .. end`` (epoch seconds, both included).

        Raises:
            SourceUnavailable: the source as a whole cannot serve now.
            QueryRejected: this stream cannot be served; others may.
        """
        ...

    def close(self) -> None:
        """Release what the source holds; a fetch under way may fail."""
        ...


class Forecaster(Protocol):
    """Something that forecasts a panel."""

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return quantile paths from ``origin``, using no column after it, for the series that it can serve."""
        ...


class RiskModel(Protocol):
    """Something that knows how likely thresholds are to be passed."""

    def risks(self, forecast: Forecast, panel: Panel, watched: Sequence[Watch]) -> tuple[Risk, ...]:
        """Return what is known of each of ``watched`` at the origin of ``forecast``, using no column after it."""
        ...

    def cut(self, metric: str, severity: Severity) -> Cut:
        """Return from which probability on an alert is raised."""
        ...


class Store(Protocol):
    """The history of all samples, shared with other processes."""

    def append(self, samples: Samples, watermarks: Mapping[tuple[str, str], int] | None = None) -> int:
        """Write ``samples`` and move the watermarks of ``(source, stream)``, all in one transaction.

        Returns:
            How many samples were new or changed a value.

        Raises:
            StoreUnavailable: nothing was written.
            ValueError: a sample is not finite or not on the grid; nothing was written.
        """
        ...

    def watermarks(self) -> dict[tuple[str, str], int]:
        """Return the newest grid time that each ``(source, stream)`` has delivered."""
        ...

    def read(self, start: int, end: int) -> Panel:
        """Return every series that has a sample at the grid times ``start .. end`` (both included)."""
        ...

    def span(self) -> tuple[int, int] | None:
        """Return the oldest and the newest grid time that has a sample; None while there is none."""
        ...

    def changes(self, since: int, start: int, end: int) -> tuple[Samples, int]:
        """Return the samples of every grid time in ``start .. end`` that was written after revision ``since``.

        Revision 0 is before everything. The second result is the revision to ask from next time; it covers grid
        times after ``end`` too, so a caller that moves ``end`` along leaves nothing out only if ``end`` is far ahead.
        """
        ...

    def prune(self, before: int) -> int:
        """Delete the samples older than ``before`` and series left empty; return how many grid times went."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


class AlertBook(Protocol):
    """What is known of alerts, kept over restarts and shared with other processes: alerts, ledger, and queues."""

    def alerts(self) -> dict[Identity, Alert]:
        """Return every alert that was written and not removed."""
        ...

    def predictions(self, since: int) -> tuple[Prediction, ...]:
        """Return the predictions that are not judged yet and those made at or after ``since``, oldest first."""
        ...

    def queued(self, target: str, limit: int) -> tuple[Queued, ...]:
        """Return the oldest notifications, at most ``limit``, that wait for ``target``."""
        ...

    def write(
        self,
        changed: Mapping[Identity, Alert | None],
        lines: Sequence[Prediction],
        queue: Mapping[str, Sequence[Notification]],
    ) -> None:
        """Write a tick's changes in one transaction.

        Args:
            changed: what each changed alert is now; None removes it.
            lines: new or changed lines of the ledger.
            queue: notifications to be queued, by target.

        Raises:
            StoreUnavailable: nothing was written.
        """
        ...

    def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Delete the notifications ``numbers`` of the queue of ``target``."""
        ...

    def shorten(self, target: str, most: int) -> int:
        """Delete the oldest notifications that wait for ``target`` but ``most``; return how many went."""
        ...

    def prune(self, before: int) -> int:
        """Delete the judged predictions made before ``before`` (epoch seconds); return how many went."""
        ...


class VerificationBook(Protocol):
    """Forecasts that wait for their time, and what those before came to, kept over restarts."""

    def kept(self) -> tuple[KeptForecast, ...]:
        """Return the forecasts that wait, oldest first."""
        ...

    def scores(self, since: int) -> tuple[LiveScore, ...]:
        """Return the scores of origins at or after ``since`` (epoch seconds), oldest first."""
        ...

    def write(self, kept: Sequence[KeptForecast], done: Sequence[int], scores: Sequence[LiveScore]) -> None:
        """Keep more forecasts, let go of those of the origins ``done``, and add ``scores``, in one transaction.

        Raises:
            StoreUnavailable: nothing was written.
        """
        ...

    def prune(self, before: int) -> int:
        """Delete the scores of origins before ``before`` (epoch seconds); return how many went."""
        ...


class Notifier(Protocol):
    """Somebody who routes alerts."""

    @property
    def name(self) -> str:
        """What tells it from the others, in logs and metrics; holds no secret."""
        ...

    def send(self, notifications: Sequence[Notification]) -> None:
        """Hand over the alerts; when it returns they were taken.

        Raises:
            NotifierUnavailable: none was taken, or it is not known; trying again later may help.
            NotificationRejected: they were refused and will be again.
        """
        ...

    def close(self) -> None:
        """Release what the notifier holds."""
        ...


class Trainer(Protocol):
    """Somebody who trains, one run at a time, beside the service."""

    def start(self, run: TrainingRun, folder: Path, threads: int, deadline_seconds: float, memory_mb: int) -> None:
        """Begin ``run``; what it finds in ``folder`` from an earlier attempt it goes on with.

        Args:
            run: what to train.
            folder: its own; it exists.
            threads: at most so many.
            deadline_seconds: wall time after which it is ended.
            memory_mb: memory, in MiB, at which it is.
        """
        ...

    def told(self) -> tuple[dict[str, Any], ...]:
        """Return what the run has said so far: ``record`` of each epoch; last ``epoch`` and ``epoch_share``."""
        ...

    def outcome(self) -> Outcome | None:
        """Return how the run ended, ``running`` if ``close`` cut it off; None while it is under way."""
        ...

    def cancel(self) -> None:
        """Ask the run to end; ``outcome`` says so once it has."""
        ...

    def close(self) -> None:
        """End the run under way, so that it can be resumed."""
        ...
