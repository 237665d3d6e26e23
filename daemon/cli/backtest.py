import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from daemon.breach.definition import thresholded
from daemon.cli.app import ConfigOption, JsonOption, table_console
from daemon.cli.data import Input
from daemon.core.errors import ConfigError
from daemon.core.file_access import reason_of
from daemon.core.forecast import Forecaster
from daemon.core.scoring import BUCKETS
from daemon.core.series import STEP_SECONDS, Panel, as_text, ceil_to_grid, floor_to_grid, parse_time


def alerts_of(
    given: Input,
    panel: Panel,
    origins: Sequence[int],
    *,
    served: Forecaster,
    model: Path | None,
    others: Mapping[str, Forecaster],
    on_progress: Callable[[float], None],
) -> dict[str, Any]:
    """Return the figures of early warning on ``panel``, by the model in a folder or what comes with the package.

    Raises:
        ConfigError: no metric of the history has a threshold in the configuration.
    """
    from daemon.backtest.alerts import alert_document, compare
    from daemon.backtest.forecasts import REFERENCE
    from daemon.breach.model import BASE_FOLDER, read_breach_model
    from daemon.core.errors import ConfigError
    from daemon.forecasting.baselines import SeasonalNaive

    rows = [row for row, key in enumerate(panel.keys) if key.metric in thresholded(given.metrics)]
    if not rows:
        names = ", ".join(sorted({key.metric for key in panel.keys}))
        raise ConfigError([f"--alerts: none of {names} has a warning or a critical threshold; name one in --config"])
    breach_model = read_breach_model(model or BASE_FOLDER)
    peers = {REFERENCE: SeasonalNaive({}), **others}
    compared = compare(
        panel.select(rows),
        origins,
        served,
        model=breach_model,
        others=peers,
        metrics=given.metrics,
        on_progress=on_progress,
    )
    return {"model": model.name if model else "", "alerts": alert_document(compared, breach_model)}


def print_alert_tables(document: Mapping[str, Any]) -> None:
    """Print a table for each metric and severity, the best average precision first."""
    console = table_console()
    for kind in document["alerts"]:
        cut = kind["cut"]
        reached = "" if cut["reached"] else "; it does not reach the target precision"
        table = Table(
            title=f"{kind['metric']}, {kind['severity']}: {kind['breaches']} of {kind['windows']} windows before one",
            caption=f"cut {cut['probability']:.2f}, chosen on {cut['chosen_on']}{reached}",
        )
        table.add_column("", no_wrap=True)
        for column in _COLUMNS:
            table.add_column(column, justify="right")
        approaches = kind["approaches"]
        for name in sorted(approaches, key=lambda one: -(approaches[one]["average_precision"] or 0)):
            table.add_row(name, *_cells(approaches[name]))
        console.print(table)


_COLUMNS = (
    "average precision",
    "90 % interval",
    "precision",
    "breaches caught",
    "false alarms per server and week",
    "median lead",
    "caught at 1 false alarm",
)


def _cells(found: dict[str, Any]) -> list[str]:
    low, high = found["average_precision_interval"]
    lead = found["median_lead_seconds"]
    return [
        _number(found["average_precision"], 3),
        "" if low is None else f"{low:.2f} to {high:.2f}",
        _percent(found["precision"]),
        _percent(found["incident_recall"]),
        _number(found["false_alarms_per_server_week"], 2),
        "" if lead is None else f"{lead / 3600:.1f} h",
        _percent(found["incident_recall_at_one_false_alarm_per_server_week"]),
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def print_table(document: Mapping[str, Any]) -> None:
    """Print one table of forecasters, best first, and one of metrics."""
    console = table_console()
    tested = document["model"] or "baseline"
    title = f"{tested} from {document['origins']} origins, {document['from']} to {document['to']}"
    table = Table(title=title)
    for name in ("forecaster", "rel. loss", "scaled pinball", "WQL", "MASE", "50 %", "80 %", "96 %", *BUCKETS):
        table.add_column(name, justify="left" if name == "forecaster" else "right")
    for name, scores in sorted(document["forecasters"].items(), key=lambda item: item[1]["relative_loss"] or math.inf):
        cells = [scores["relative_loss"], scores["scaled_pinball"], scores["weighted_quantile_loss"], scores["mase"]]
        covered = [f"{share:.1%}" if share is not None else "" for share in scores["coverage"].values()]
        horizons = scores["relative_loss_by_horizon"].values()
        table.add_row(name, *map(_cell, cells), *covered, *map(_cell, horizons))
    console.print(table)
    metrics = Table(title=f"{document['tested']} by metric, pinball loss relative to {document['reference']}")
    for name in ("metric", "rel. loss", "80 %"):
        metrics.add_column(name, justify="left" if name == "metric" else "right")
    for name, scores in document["metrics"].items():
        share = scores["coverage"]["80"]
        metrics.add_row(name, _cell(scores["relative_loss"]), "" if share is None else f"{share:.1%}")
    console.print(metrics)
    if document["missing"]:
        typer.echo(document["missing_text"], err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """Print the figures as one document."""
    typer.echo(json.dumps(document, allow_nan=False))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def read_origins(file: Path | None, first: str | None, every: str, panel: Panel) -> list[int]:
    """Return the origins (epoch seconds) of a JSON file, or those from a first one on, that lie in ``panel``.

    Raises:
        ConfigError: the options or the file cannot be used, or no origin lies inside the data.
    """
    if (file is None) == (first is None):
        raise ConfigError(["give either --origins FILE or --from TIME"])
    times = _from_file(file) if file is not None else _regular(str(first), every, panel)
    inside = sorted({time for time in times if panel.start < time < panel.end})
    if not inside:
        raise ConfigError([f"no origin lies inside the data, {as_text(panel.start)} to {as_text(panel.end)}"])
    return inside


def _from_file(path: Path) -> list[int]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["origins"]
        return [floor_to_grid(parse_time(str(text))) for text in listed]
    except OSError as error:
        raise ConfigError([f"--origins {path}: cannot be read: {reason_of(error)}"]) from error
    except (ValueError, KeyError, TypeError) as error:
        form = '{"origins": ["2026-03-01T12:00:00Z", …]}'
        raise ConfigError([f"--origins {path}: expected {form}: {error}"]) from error


def _regular(first: str, every: str, panel: Panel) -> list[int]:
    match = re.fullmatch(r"(\d+)([mhd])", every)
    step = int(match[1]) * _UNITS[match[2]] if match else 0
    if step < STEP_SECONDS or step % STEP_SECONDS:
        raise ConfigError([f"--every {every}: write a multiple of 5 minutes, as in 30m, 4h or 1d"])
    try:
        begin = ceil_to_grid(parse_time(first))
    except ValueError as error:
        raise ConfigError([f"--from: {error}"]) from error
    return list(range(begin, panel.end, step))


_EVERYTHING_HOURS = 24 * 9600


def backtest(
    data: Annotated[Path, typer.Option(help="Metrics file.")],
    origins: Annotated[Path | None, typer.Option(help="JSON file with a list `origins`.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First origin (ISO 8601, with zone).")] = None,
    *,
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
    config: ConfigOption = None,
) -> None:
    """Forecast the past from rolling origins and score it beside what else could be run."""
    from contextlib import nullcontext

    from daemon.backtest.forecasts import ServedForecaster, example_fans, figures, peers
    from daemon.backtest.forecasts import backtest as run
    from daemon.cli.app import progress_bar
    from daemon.cli.data import read_input
    from daemon.core.errors import ConfigError
    from daemon.core.forecast import Forecaster
    from daemon.forecasting.baselines import Climatology
    from daemon.ingest.metrics_file import forecast_file
    from daemon.models.registry import ModelRegistry
    from daemon.network.artifact import forecaster_of
    from daemon.reports.backtest import render_backtest_report
    from daemon.system.files import atomic_path

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
        with progress_bar("forecasting") as tell:
            alerting = alerts_of(
                given,
                panel,
                times,
                served=served,
                model=registry.path(chosen) if chosen else None,
                others=others,
                on_progress=tell,
            )
        (print_json if json else print_alert_tables)(alerting)
        return
    # both files are begun before the work, so that one that cannot be written is known at once
    with atomic_path(report) if report else nullcontext() as page, forecast_file(out) if out else nullcontext() as file:
        with progress_bar("forecasting") as tell:
            result = run(
                panel,
                times,
                served,
                others=others,
                on_forecast=file.add if file else lambda forecast: None,
                on_progress=tell,
            )
        document = figures(result, chosen or "", times)
        if page:
            fans = example_fans(document, result, served, times, given.metrics)
            page.write_text(render_backtest_report(document, fans), encoding="utf-8")
    (print_json if json else print_table)(document)
