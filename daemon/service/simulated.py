from daemon.config.sources import SimulatorConfig
from daemon.simulation.incident import IncidentTuning
from daemon.simulation.spec import FleetSpec


def fleet_spec(config: SimulatorConfig) -> FleetSpec:
    """Return what the configuration says of a simulated fleet."""
    return FleetSpec(
        counts=config.servers.model_dump(),
        seed=config.seed,
        incidents_per_server_week=config.incidents_per_server_week,
        incidents={name: IncidentTuning(**one.model_dump()) for name, one in config.incidents.items()},
    )
