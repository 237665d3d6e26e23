"""A metrics file that is delivered as the clock passes its timestamps."""

from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.core.errors import QueryRejected
from daemon.core.series import Panel, Samples
from daemon.ingest.metrics_file import read_metrics_file
from daemon.simulation.fleet import Fleet

SIMULATOR_STREAM = "fleet"


class SimulatorSource:
    """A simulated fleet behind the `Source` port: as far back as anyone asks, and never out of reach.

    ``told`` learns, before they are, up to which time samples are given away: what changes the fleet comes after it.
    """

    def __init__(
        self, name: str, fleet: Fleet, backfill_seconds: int, told: Callable[[int], None] = lambda until: None
    ) -> None:
        self._name, self._told = name, told
        self._fleet = fleet
        self._backfill_seconds = backfill_seconds

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._name

    @property
    def profiles(self) -> Mapping[str, str]:
        """The servers of the fleet, each with its profile."""
        return self._fleet.profiles

    @property
    def streams(self) -> tuple[str, ...]:
        """The one stream: a simulator fails as a whole or not at all."""
        return (SIMULATOR_STREAM,)

    @property
    def backfill_seconds(self) -> int:
        """How far before now a gap is still worth asking for."""
        return self._backfill_seconds

    @property
    def overlap_seconds(self) -> int:
        """Nothing: what a simulator has said does not change."""
        return 0

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the samples of the fleet at the grid times ``start .. end`` (epoch seconds, both included).

        Raises:
            QueryRejected: ``stream`` is not the simulator's.
        """
        if stream != SIMULATOR_STREAM:
            raise QueryRejected(f"source {self._name!r} has no stream {stream!r}, only {SIMULATOR_STREAM!r}")
        self._told(end)
        return Samples.from_panel(self._fleet.panel(start, end))

    def close(self) -> None:
        """Release nothing: a simulator holds no connection."""


REPLAY_STREAM = "file"


class ReplaySource:
    """A metrics file behind the `Source` port; it is read whole when it is made, so a bad file is known at once.

    Raises:
        BadMetricsFile: the file is not there or not of the documented form.
    """

    def __init__(self, name: str, path: Path, backfill_seconds: int) -> None:
        self._name = name
        self._backfill_seconds = backfill_seconds
        self._panel: Panel = read_metrics_file(path)

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._name

    @property
    def streams(self) -> tuple[str, ...]:
        """The one stream: a file is readable as a whole or not at all."""
        return (REPLAY_STREAM,)

    @property
    def backfill_seconds(self) -> int:
        """How far before now a gap is still worth asking for."""
        return self._backfill_seconds

    @property
    def overlap_seconds(self) -> int:
        """Nothing: what a file says does not change."""
        return 0

    @property
    def first(self) -> int:
        """The file's oldest grid time, in epoch seconds (UTC)."""
        return self._panel.start

    @property
    def last(self) -> int:
        """The file's newest grid time, in epoch seconds (UTC)."""
        return self._panel.end

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the file's samples at the grid times ``start .. end`` (epoch seconds, both included).

        Before the file's first time and after its last there are none.

        Raises:
            QueryRejected: ``stream`` is not the file's.
        """
        if stream != REPLAY_STREAM:
            raise QueryRejected(f"source {self._name!r} has no stream {stream!r}, only {REPLAY_STREAM!r}")
        start, end = max(start, self.first), min(end, self.last)
        return Samples.from_panel(self._panel.between(start, end)) if start <= end else Samples.empty()

    def close(self) -> None:
        """Release nothing: the file is closed since it was read."""
