from pathlib import Path
from typing import get_args

from daemon.config.loading import default_text, parse_config
from daemon.config.sources import IncidentName, SimulatorConfig
from daemon.ingest.replay import fleet_spec
from daemon.simulation.incident import KINDS, IncidentTuning
from daemon.simulation.spec import FleetSpec

METRICS = "metrics: {cpu: {}}\n"


def configured(entries: str) -> SimulatorConfig:
    """Return a simulator of the configuration."""
    text = f"sources: [{{name: a, type: simulator{entries}}}]\n{METRICS}"
    source = parse_config(text, "x.yaml", Path("/")).sources[0]
    assert isinstance(source, SimulatorConfig)
    return source


def test_the_configuration_knows_every_kind() -> None:
    """The schema has exactly the kinds of the simulator."""
    assert get_args(IncidentName) == tuple(KINDS)


def test_what_is_not_configured_is_as_the_fleet_has_it() -> None:
    """The defaults of the schema, of the shipped file and of the simulator are the same."""
    assert fleet_spec(configured("")) == FleetSpec()
    shipped = parse_config(default_text(), "config.yaml", Path("/")).sources[0]
    assert isinstance(shipped, SimulatorConfig)
    assert fleet_spec(shipped) == FleetSpec()


def test_every_key_reaches_the_fleet() -> None:
    """Servers, seed, rates, the calendar and changes to incidents arrive."""
    servers = ", ".join(f"{name}: 0" for name in FleetSpec().counts if name != "generic")
    spec = fleet_spec(
        configured(
            f", seed: 3, servers: {{{servers}, generic: 5}}, incidents_per_server_week: 1.5, incidents: {{disk_fill: "
            "{weight: 2, ramp_hours: [1, 2], hold_hours: [3, 4], recovery_hours: [5, 6], repair_chance: 0.5, "
            "sudden_chance: 0.25}}"
        )
    )
    assert {name: count for name, count in spec.counts.items() if count} == {"generic": 5}
    assert (spec.seed, spec.incidents_per_server_week) == (3, 1.5)
    calendar = fleet_spec(configured(", growth_pct_month: -2, month_turn_ratio: 3, holidays: ['02-29', '12-24']"))
    assert (calendar.growth_pct_month, calendar.month_turn_ratio) == (-2, 3)
    assert calendar.holidays == ("02-29", "12-24")
    gaps = fleet_spec(configured(", reboots_per_server_week: 4, outages_per_server_week: 3, missing_rate: 0.1"))
    assert (gaps.reboots_per_server_week, gaps.outages_per_server_week, gaps.missing_rate) == (4, 3, 0.1)
    assert spec.incidents == {
        "disk_fill": IncidentTuning(
            weight=2, ramp_hours=(1, 2), hold_hours=(3, 4), recovery_hours=(5, 6), repair_chance=0.5, sudden_chance=0.25
        )
    }
