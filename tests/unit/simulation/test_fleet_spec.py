import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import ConfigError
from daemon.simulation.incident import KINDS, IncidentTuning
from daemon.simulation.profile import PROFILES
from daemon.simulation.spec import FleetSpec, counts_for


def test_the_default_fleet_has_twenty_servers_of_all_profiles() -> None:
    """The default counts are the shares of the profiles."""
    assert FleetSpec().counts == {name: profile.share for name, profile in PROFILES.items()}
    assert sum(FleetSpec().counts.values()) == 20


@given(st.integers(1, 500))
def test_counts_add_up(servers: int) -> None:
    """The counts of a fleet of any size have that sum."""
    assert sum(counts_for(servers).values()) == servers


def test_all_problems_are_reported_at_once() -> None:
    """Each wrong value has its own line."""
    with pytest.raises(ConfigError) as error:
        FleetSpec(
            counts={"mainframe": 1, "database": -1},
            seed=-1,
            missing_rate=1.5,
            incidents_per_server_week=9,
            month_turn_ratio=0.5,
            growth_pct_month=11,
            reboots_per_server_week=-1,
            holidays=("02-29", "13-01", "1-1"),
        )
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "counts",
        "counts.database",
        "counts",
        "seed",
        "missing_rate",
        "incidents_per_server_week",
        "reboots_per_server_week",
        "month_turn_ratio",
        "growth_pct_month",
        "holidays",
        "holidays",
    ]


def test_overrides_change_one_kind() -> None:
    """An override replaces its fields of one kind; with ``ramp_hours`` no incident is sudden."""
    assert FleetSpec().kinds == KINDS
    kinds = FleetSpec(incidents={"disk_fill": IncidentTuning(ramp_hours=(1, 2), repair_chance=0)}).kinds
    assert kinds["memory_leak"] == KINDS["memory_leak"]
    assert (kinds["disk_fill"].ramp_hours, kinds["disk_fill"].repair_chance) == ((1, 2), 0)
    assert kinds["disk_fill"].sudden_chance == 0 < KINDS["disk_fill"].sudden_chance
    assert kinds["disk_fill"].peak == KINDS["disk_fill"].peak


def test_each_wrong_incident_has_its_line() -> None:
    """Unknown kinds, values out of range, and hours of a cascade are errors."""
    wrong = {
        "memory_leek": IncidentTuning(),
        "memory_leak": IncidentTuning(weight=-1, repair_chance=2),
        "disk_fill": IncidentTuning(ramp_hours=(3, 2)),
        "slow_io": IncidentTuning(hold_hours=(1, 61), sudden_chance=-0.1),
        "runaway_job": IncidentTuning(ramp_hours=(0, 2), recovery_hours=(1, 25)),
        "cascade": IncidentTuning(ramp_hours=(1, 2)),
    }
    with pytest.raises(ConfigError) as error:
        FleetSpec(incidents=wrong)
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "incidents",
        "incidents.memory_leak.weight",
        "incidents.memory_leak.repair_chance",
        "incidents.disk_fill.ramp_hours",
        "incidents.slow_io.sudden_chance",
        "incidents.slow_io.hold_hours",
        "incidents.runaway_job.ramp_hours",
        "incidents.runaway_job.recovery_hours",
        "incidents.cascade",
    ]
