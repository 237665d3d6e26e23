"""The ports of the ingest: ``Source``, where metrics come from, and ``Store``, where they are kept."""

from collections.abc import Mapping
from typing import Protocol

from daemon.core.series import Panel, Samples


class Source(Protocol):
    """A source of metrics, divided into streams that can fail independently.

    A query of a Prometheus source is a stream; a simulator or a file has one stream, and a push source has none.
    """

    @property
    def name(self) -> str:
        """The name from the configuration; unique among the sources."""
        ...

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams; the store has a watermark for each of them."""
        ...

    @property
    def backfill_seconds(self) -> int:
        """How far before now gaps are fetched, in seconds."""
        ...

    @property
    def overlap_seconds(self) -> int:
        """How far before the watermark samples are fetched again, in seconds, because some arrive late."""
        ...

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the samples of ``stream`` at the grid times ``start .. end``; missing samples are left out.

        Args:
            stream: one of ``streams``.
            start: first grid time, in epoch seconds (UTC).
            end: last grid time, included.

        Raises:
            SourceUnavailable: the source as a whole cannot be fetched now.
            QueryRejected: this stream cannot be fetched; the others may.
        """
        ...

    def close(self) -> None:
        """Release connections and files; a running fetch may fail with ``SourceUnavailable``."""
        ...


class Store(Protocol):
    """The history of all samples; several processes can use it at once.

    Every method raises StoreUnavailable if the database cannot be read or written. Times are epoch seconds (UTC) on
    the grid.
    """

    def append(self, samples: Samples, watermarks: Mapping[tuple[str, str], int] | None = None) -> int:
        """Write ``samples`` and move the watermarks of ``(source, stream)`` forward, in one transaction.

        Returns:
            Number of samples that were new or changed a value.

        Raises:
            StoreUnavailable: nothing was written.
            ValueError: a sample is not finite or not on the grid; nothing was written.
        """
        ...

    def watermarks(self) -> dict[tuple[str, str], int]:
        """Return the newest fetched grid time of each ``(source, stream)``."""
        ...

    def read(self, start: int, end: int) -> Panel:
        """Return the panel of every series with a sample at the grid times ``start .. end`` (both included)."""
        ...

    def span(self) -> tuple[int, int] | None:
        """Return the oldest and the newest grid time with a sample; None if the store is empty."""
        ...

    def changes(self, since: int, start: int, end: int) -> tuple[Samples, int]:
        """Return the samples at the grid times ``start .. end`` that were written after a revision.

        Args:
            since: the revision; 0 is before the first write.
            start: first grid time.
            end: last grid time, included. The new revision also covers writes after ``end``, so a caller that advances
                ``end`` must keep it ahead of every write.

        Returns:
            The samples, and the revision for the next call.
        """
        ...

    def prune(self, before: int) -> int:
        """Delete samples older than ``before``, and series without samples; return the number of deleted grid times."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...
