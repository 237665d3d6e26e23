import numpy as np
import pytest

from daemon.config.sources import FleetConfig, SimulatorConfig
from daemon.core.errors import QueryRejected
from daemon.core.series import STEP_SECONDS
from daemon.ingest.ports import Source
from daemon.ingest.replay import SimulatorSource, fleet_spec
from daemon.simulation.fleet import Fleet
from tests.panels import panel_of

NOON = 1_767_614_400  # 2026-01-05T12:00:00Z


@pytest.fixture
def config() -> SimulatorConfig:
    """A fleet of two servers in which one sample in five is missing."""
    none = dict.fromkeys(FleetConfig.model_fields, 0)
    return SimulatorConfig.model_validate(
        {
            "name": "lab",
            "type": "simulator",
            "servers": none | {"ml_compute": 1, "generic": 1},
            "missing_rate": 0.2,
            "backfill_hours": 1,
        }
    )


def test_it_is_a_source_of_one_stream(config: SimulatorConfig) -> None:
    """The name and the backfill come from the configuration."""
    source: Source = SimulatorSource(config)
    assert (source.name, source.streams, source.backfill_seconds) == ("lab", ("fleet",), 3600)
    source.close()


def test_it_delivers_the_samples_of_the_fleet(config: SimulatorConfig) -> None:
    """The samples are the finite values of the fleet's panel, with profiles; a missing one is left out."""
    samples = SimulatorSource(config).fetch("fleet", NOON, NOON + 11 * STEP_SECONDS)
    panel = Fleet(fleet_spec(config)).panel(NOON, NOON + 11 * STEP_SECONDS)
    assert len(samples) == np.isfinite(panel.values).sum() < panel.values.size
    assert np.isfinite(samples.values).all()
    assert samples.profiles == {"ml-compute-01": "ml_compute", "generic-01": "generic"}
    np.testing.assert_array_equal(panel_of(samples).between(NOON, panel.end).values, panel.values)


def test_an_unknown_stream_is_refused(config: SimulatorConfig) -> None:
    """The error names the stream and the one that exists."""
    with pytest.raises(QueryRejected, match=r"'lab' has no stream 'cpu', only 'fleet'"):
        SimulatorSource(config).fetch("cpu", NOON, NOON)


def test_a_delivery_is_announced_before_the_samples_are_computed(config: SimulatorConfig) -> None:
    """A scenario that is posted in between starts after the delivered samples."""
    calls: list[object] = []

    def scenarios() -> tuple[()]:
        calls.append("computed")
        return ()

    source = SimulatorSource(config, scenarios, calls.append)
    source.fetch("fleet", NOON, NOON + 3600)
    assert calls == [NOON + 3600, "computed"]
