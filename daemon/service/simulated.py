from daemon.config.sources import SimulatorConfig
from daemon.simulation.incident import IncidentTuning
from daemon.simulation.spec import FleetSpec


def fleet_spec(config: SimulatorConfig) -> FleetSpec:
    """Return what the configuration says of a simulated fleet."""
    return FleetSpec(
        counts=config.servers.model_dump(),
        seed=config.seed,
        incidents_per_server_week=config.incidents_per_server_week,
        month_turn_ratio=config.month_turn_ratio,
        holidays=tuple(config.holidays),
        growth_pct_month=config.growth_pct_month,
        reboots_per_server_week=config.reboots_per_server_week,
        missing_rate=config.missing_rate,
        outages_per_server_week=config.outages_per_server_week,
        incidents={name: IncidentTuning(**one.model_dump()) for name, one in config.incidents.items()},
    )
