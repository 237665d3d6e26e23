"""``forewarn simulate``, ``export`` and ``import``: the commands that write and read metrics files."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.app import EVERYTHING_HOURS, ConfigOption
from daemon.config.sources import FleetConfig, SimulatorConfig

_TEN_YEARS_HOURS = 87_600
_SIMULATOR, _FLEET = SimulatorConfig(name="simulator", type="simulator"), FleetConfig()
_Count = typer.Option(min=0, help="Number of servers of this profile.")


def simulate(
    out: Annotated[Path, typer.Option(help="Directory for server_metrics.parquet, incidents.parquet and fleet.json.")],
    hours: Annotated[float, typer.Option(min=1, max=_TEN_YEARS_HOURS, help="Length in hours.")] = 168,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same fleet and history.")] = _SIMULATOR.seed,
    *,
    start: Annotated[str, typer.Option(help="First time (ISO 8601, with time zone).")] = "2026-01-05T00:00:00Z",
    incidents_per_server_week: Annotated[
        float,
        typer.Option(min=0, max=5, help="Mean number of incidents, without those that spread."),
    ] = _SIMULATOR.incidents_per_server_week,
    num_ml_compute: Annotated[int, _Count] = _FLEET.ml_compute,
    num_database: Annotated[int, _Count] = _FLEET.database,
    num_web_api: Annotated[int, _Count] = _FLEET.web_api,
    num_conductor_mgmt: Annotated[int, _Count] = _FLEET.conductor_mgmt,
    num_data_ingest: Annotated[int, _Count] = _FLEET.data_ingest,
    num_risk_analytics: Annotated[int, _Count] = _FLEET.risk_analytics,
    num_generic: Annotated[int, _Count] = _FLEET.generic,
) -> None:
    """Write the metrics of a simulated fleet to a file, with its incidents as ground truth."""
    from daemon.cli.app import progress_bar
    from daemon.core.errors import ConfigError
    from daemon.core.series import STEP_SECONDS, ceil_to_grid, parse_time
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


def export(
    file: Annotated[Path, typer.Argument(help="Metrics file to write, .parquet or .csv.")],
    hours: Annotated[
        float,
        typer.Option(min=0.1, max=EVERYTHING_HOURS, help="Hours to export, up to the newest sample."),
    ] = EVERYTHING_HOURS,
    config: ConfigOption = None,
) -> None:
    """Write the history to a metrics file."""
    from daemon.cli.data import read_input
    from daemon.core.series import as_text
    from daemon.ingest.metrics_file import write_metrics_file

    panel = read_input(config, None, None, hours).panel
    write_metrics_file(file, panel)
    typer.echo(f"{file}: {len(panel.keys)} series, {as_text(panel.start)} to {as_text(panel.end)}")


def import_(
    file: Annotated[Path, typer.Argument(help="Metrics file to read, .parquet or .csv.")],
    config: ConfigOption = None,
) -> None:
    """Import a metrics file into the store."""
    from daemon.cli.data import config_file, require_owner
    from daemon.config.loading import load_config
    from daemon.core.series import Samples
    from daemon.ingest.metrics_file import read_metrics_file
    from daemon.store.history import SqlStore

    chosen = config_file(config)
    loaded = load_config(chosen)
    require_owner(loaded.data_dir)
    panel = read_metrics_file(file)
    known = panel.select([row for row, key in enumerate(panel.keys) if key.metric in loaded.metrics])
    unknown = sorted({key.metric for key in panel.keys} - set(loaded.metrics))
    store = SqlStore(loaded.store_url)
    try:
        written = store.append(Samples.from_panel(known))
    finally:
        store.close()
    typer.echo(f"{file}: {written} samples new or changed")
    if unknown:
        typer.echo(f"left out, because they are not under metrics: in {chosen}: {', '.join(unknown)}", err=True)
