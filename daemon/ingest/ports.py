"""The ports that adapters implement and use cases are written against."""

from collections.abc import Mapping
from typing import Protocol

from daemon.core.series import Panel, Samples


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
