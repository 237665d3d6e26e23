import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.errors import ConfigError
from daemon.simulation.profile import PROFILES
from daemon.simulation.spec import FleetSpec, counts_for


def test_the_default_fleet_has_twenty_servers_of_all_profiles() -> None:
    """The default counts are those of the profiles' shares."""
    assert FleetSpec().counts == {name: profile.share for name, profile in PROFILES.items()}
    assert sum(FleetSpec().counts.values()) == 20


@given(st.integers(1, 500))
def test_counts_add_up(servers: int) -> None:
    """A fleet of any size has exactly so many servers."""
    assert sum(counts_for(servers).values()) == servers


def test_all_problems_are_told_at_once() -> None:
    """Each wrong value has its own line."""
    with pytest.raises(ConfigError) as error:
        FleetSpec(counts={"mainframe": 1, "database": -1}, seed=-1, missing_rate=1.5, incidents_per_server_week=9)
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "counts",
        "counts.database",
        "counts",
        "seed",
        "missing_rate",
        "incidents_per_server_week",
    ]
