from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

_EVERYTHING_HOURS = 24 * 9600


def backtest(
    data: Annotated[Path, typer.Option(help="Metrics file.")],
    origins: Annotated[Path | None, typer.Option(help="JSON file with a list `origins`.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First origin (ISO 8601, with zone).")] = None,
    every: Annotated[str, typer.Option(help="Distance of the origins after --from, as in 4h or 30m.")] = "4h",
    metrics: Annotated[list[str] | None, typer.Option(help="Only this metric; may be given again.")] = None,
    model: Annotated[str | None, typer.Option(help="Id of a model; default is the one that serves.")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of model directories.")] = None,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Score early warning of the configured thresholds, not the forecasts.")
    ] = False,
    no_peers: Annotated[bool, typer.Option("--no-peers", help="Leave out all peers but seasonal naive.")] = False,
    out: Annotated[Path | None, typer.Option(help="File for the forecasts, .parquet.")] = None,
    report: Annotated[Path | None, typer.Option(help="File for a report with pictures, .html.")] = None,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Forecast the past from rolling origins and score it beside what else could be run."""
    from contextlib import nullcontext

    from daemon.cli.backtest_table import print_json, print_table
    from daemon.cli.data import read_input
    from daemon.cli.origins import read_origins
    from daemon.cli.progress import progress_bar
    from daemon.domain.errors import ConfigError
    from daemon.domain.ports import Forecaster
    from daemon.files.atomic import atomic_path
    from daemon.files.forecast_file import forecast_file
    from daemon.learning.base import forecaster_of
    from daemon.learning.climatology import Climatology
    from daemon.pipeline.backtest import ServedForecaster, peers
    from daemon.pipeline.backtest import backtest as run
    from daemon.pipeline.backtest_figures import example_fans, figures
    from daemon.registry.models import ModelRegistry
    from daemon.reports.backtest import render_backtest_report

    given = read_input(config, data, models, _EVERYTHING_HOURS)
    panel = given.panel
    if metrics:
        strange = sorted(set(metrics) - {key.metric for key in panel.keys})
        if strange:
            known = ", ".join(sorted({key.metric for key in panel.keys}))
            raise ConfigError([f"--metrics: {', '.join(strange)}: not in {data}; there are: {known}"])
        panel = panel.select([row for row, key in enumerate(panel.keys) if key.metric in metrics])
    times = read_origins(origins, from_, every, panel)
    registry = ModelRegistry(given.models)
    chosen = model or registry.current()
    forecaster = forecaster_of(registry.path(chosen) if chosen else None, given.metrics, given.zone)
    others: dict[str, Forecaster] = {}
    if not no_peers:
        with progress_bar("training LightGBM") as tell:
            others = peers(panel, min(times), given.zone, tell)
    served = ServedForecaster(forecaster, Climatology(given.metrics))
    if alerts:
        from daemon.cli.alert_table import alerts_of, print_alert_tables

        with progress_bar("forecasting") as tell:
            warned = alerts_of(given, panel, times, served, registry.path(chosen) if chosen else None, others, tell)
        (print_json if json else print_alert_tables)(warned)
        return
    # both files are begun before the work, so that one that cannot be written is known at once
    with atomic_path(report) if report else nullcontext() as page, forecast_file(out) if out else nullcontext() as file:
        with progress_bar("forecasting") as tell:
            result = run(panel, times, served, others, file.add if file else lambda forecast: None, tell)
        document = figures(result, chosen or "", times)
        if page:
            fans = example_fans(document, result, served, times, given.metrics)
            page.write_text(render_backtest_report(document, fans), encoding="utf-8")
    (print_json if json else print_table)(document)
