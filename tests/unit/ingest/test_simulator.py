import numpy as np
import pytest

from daemon.core.errors import QueryRejected
from daemon.core.series import STEP_SECONDS
from daemon.ingest.ports import Source
from daemon.ingest.replay import SimulatorSource
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec

NOON = 1_767_614_400  # 2026-01-05T12:00:00Z


@pytest.fixture
def fleet() -> Fleet:
    """A fleet that loses one sample in five."""
    return Fleet(FleetSpec(counts={"ml_compute": 1, "generic": 1}, missing_rate=0.2))


def test_it_is_a_source_of_one_stream(fleet: Fleet) -> None:
    """The adapter has what the port asks for."""
    source: Source = SimulatorSource("lab", fleet, backfill_seconds=3600)
    assert (source.name, source.streams, source.backfill_seconds) == ("lab", ("fleet",), 3600)
    source.close()


def test_it_delivers_what_the_fleet_had(fleet: Fleet) -> None:
    """The samples are the finite values of the fleet's panel, with profiles; a lost one does not arrive."""
    samples = SimulatorSource("lab", fleet, 0).fetch("fleet", NOON, NOON + 11 * STEP_SECONDS)
    panel = fleet.panel(NOON, NOON + 11 * STEP_SECONDS)
    assert len(samples) == np.isfinite(panel.values).sum() < panel.values.size
    assert np.isfinite(samples.values).all()
    assert samples.profiles == {"ml-compute-01": "ml_compute", "generic-01": "generic"}
    np.testing.assert_array_equal(samples.to_panel().between(NOON, panel.end).values, panel.values)


def test_an_unknown_stream_is_refused(fleet: Fleet) -> None:
    """Asking for a stream that it does not have names both."""
    with pytest.raises(QueryRejected, match=r"'lab' has no stream 'cpu', only 'fleet'"):
        SimulatorSource("lab", fleet, 0).fetch("cpu", NOON, NOON)


def test_what_is_told_is_announced_before_it_is_made() -> None:
    """So that a scenario that is posted meanwhile begins after it, and not within."""
    happened: list[object] = []

    def scenarios() -> tuple[()]:
        happened.append("made")
        return ()

    source = SimulatorSource("lab", Fleet(FleetSpec(counts={"generic": 1}), scenarios), 0, happened.append)
    source.fetch("fleet", NOON, NOON + 3600)
    assert happened == [NOON + 3600, "made"]
