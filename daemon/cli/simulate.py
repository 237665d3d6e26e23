from pathlib import Path
from typing import Annotated

import typer

_TEN_YEARS_HOURS = 87_600
_Count = typer.Option(min=0, help="Servers of this profile.")


def simulate(
    out: Annotated[Path, typer.Option(help="Folder for server_metrics.parquet, incidents.parquet and fleet.json.")],
    hours: Annotated[float, typer.Option(min=1, max=_TEN_YEARS_HOURS, help="Span to simulate.")] = 168,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same fleet and history.")] = 0,
    start: Annotated[str, typer.Option(help="First time (ISO 8601, with zone).")] = "2026-01-05T00:00:00Z",
    incidents_per_server_week: Annotated[
        float, typer.Option(min=0, max=5, help="Mean number of incidents; those that spread come on top.")
    ] = 0.35,
    num_ml_compute: Annotated[int, _Count] = 4,
    num_database: Annotated[int, _Count] = 3,
    num_web_api: Annotated[int, _Count] = 4,
    num_conductor_mgmt: Annotated[int, _Count] = 1,
    num_data_ingest: Annotated[int, _Count] = 3,
    num_risk_analytics: Annotated[int, _Count] = 3,
    num_generic: Annotated[int, _Count] = 2,
) -> None:
    """Simulate a fleet into a metrics file, with its incidents as ground truth."""
    from daemon.cli.progress import progress_bar
    from daemon.domain.errors import ConfigError
    from daemon.domain.grid import STEP_SECONDS, ceil_to_grid, parse_time
    from daemon.simulation.dataset import write_simulation
    from daemon.simulation.fleet import Fleet
    from daemon.simulation.spec import FleetSpec

    counts = {
        "ml_compute": num_ml_compute,
        "database": num_database,
        "web_api": num_web_api,
        "conductor_mgmt": num_conductor_mgmt,
        "data_ingest": num_data_ingest,
        "risk_analytics": num_risk_analytics,
        "generic": num_generic,
    }
    try:
        first = ceil_to_grid(parse_time(start))
    except ValueError as error:
        raise ConfigError([f"--start: {error}"]) from error
    fleet = Fleet(FleetSpec(counts=counts, seed=seed, incidents_per_server_week=incidents_per_server_week))
    last = first + int(hours * 3600) - STEP_SECONDS
    with progress_bar("simulating") as report:
        write_simulation(fleet, first, last, out, report)
    typer.echo(f"{out}: {sum(counts.values())} servers, {hours:g} h from {start}, seed {seed}")
