"""Sources without a network: the simulated fleet, and a metrics file that is delivered as the clock advances."""

from collections.abc import Callable, Mapping, Sequence

from daemon.config.sources import ReplayConfig, SimulatorConfig
from daemon.core.errors import QueryRejected
from daemon.core.series import Panel, Samples
from daemon.ingest.metrics_file import read_metrics_file
from daemon.simulation.fleet import Fleet
from daemon.simulation.incident import IncidentTuning
from daemon.simulation.scenario import Scenario
from daemon.simulation.spec import FleetSpec

SIMULATOR_STREAM = "fleet"
REPLAY_STREAM = "file"


class SimulatorSource:
    """A simulated fleet behind the `Source` port; it is always available, for any time."""

    def __init__(
        self,
        config: SimulatorConfig,
        scenarios: Callable[[], Sequence[Scenario]] = tuple,
        delivering: Callable[[int], None] = lambda until: None,
    ) -> None:
        """Build the fleet.

        Args:
            config: the section of the source.
            scenarios: returns the scenarios that change the fleet.
            delivering: called before samples up to a grid time (epoch seconds) are delivered; a later scenario must
                not change them.
        """
        self._config, self._delivering = config, delivering
        self._fleet = Fleet(fleet_spec(config), scenarios)

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._config.name

    @property
    def profiles(self) -> Mapping[str, str]:
        """The servers of the fleet, each with its profile."""
        return self._fleet.profiles

    @property
    def streams(self) -> tuple[str, ...]:
        """One stream: a simulator cannot fail in part."""
        return (SIMULATOR_STREAM,)

    @property
    def backfill_seconds(self) -> int:
        """How far before now gaps are fetched."""
        return int(self._config.backfill_hours * 3600)

    @property
    def overlap_seconds(self) -> int:
        """0: delivered samples do not change."""
        return 0

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the samples of the fleet at the grid times ``start .. end`` (epoch seconds, both included).

        Raises:
            QueryRejected: ``stream`` is not the stream of a simulator.
        """
        if stream != SIMULATOR_STREAM:
            raise QueryRejected(f"source {self.name!r} has no stream {stream!r}, only {SIMULATOR_STREAM!r}")
        self._delivering(end)
        return Samples.from_panel(self._fleet.panel(start, end))

    def close(self) -> None:
        """Do nothing: a simulator holds no connection."""


def fleet_spec(config: SimulatorConfig) -> FleetSpec:
    """Return the fleet that a section describes; every other key of the section is a field of the same name."""
    settings = config.model_dump(exclude={"name", "type", "backfill_hours", "servers", "holidays", "incidents"})
    return FleetSpec(
        counts=config.servers.model_dump(),
        holidays=tuple(config.holidays),
        incidents={kind: IncidentTuning(**changes.model_dump()) for kind, changes in config.incidents.items()},
        **settings,
    )


class ReplaySource:
    """A metrics file behind the `Source` port; it is read completely at the start, so a bad file is an error then.

    Raises:
        BadMetricsFile: the file does not exist or does not have the documented form.
    """

    def __init__(self, config: ReplayConfig) -> None:
        self._config = config
        self._panel: Panel = read_metrics_file(config.path)

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._config.name

    @property
    def streams(self) -> tuple[str, ...]:
        """One stream: a file cannot fail in part."""
        return (REPLAY_STREAM,)

    @property
    def backfill_seconds(self) -> int:
        """How far before now gaps are fetched."""
        return int(self._config.backfill_hours * 3600)

    @property
    def overlap_seconds(self) -> int:
        """0: the samples of a file do not change."""
        return 0

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Return the samples of the file at the grid times ``start .. end`` (epoch seconds, both included).

        Raises:
            QueryRejected: ``stream`` is not the stream of a file.
        """
        if stream != REPLAY_STREAM:
            raise QueryRejected(f"source {self.name!r} has no stream {stream!r}, only {REPLAY_STREAM!r}")
        start, end = max(start, self._panel.start), min(end, self._panel.end)
        return Samples.from_panel(self._panel.between(start, end)) if start <= end else Samples.empty()

    def close(self) -> None:
        """Do nothing: the file is closed after it is read."""
