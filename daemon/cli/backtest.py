"""``forewarn backtest``: forecasts or early warning on the past, with their tables and the JSON output."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel
from rich.table import Table

from daemon.breach.definition import thresholded
from daemon.cli.app import EVERYTHING_HOURS, ConfigOption, JsonOption, ModelOption, ModelsOption, table_console
from daemon.cli.data import Input
from daemon.core.errors import ConfigError
from daemon.core.file_access import reason_of
from daemon.core.forecast import Forecaster
from daemon.core.scoring import BUCKETS, INTERVALS
from daemon.core.series import STEP_SECONDS, Panel, as_text, ceil_to_grid, floor_to_grid, parse_time

if TYPE_CHECKING:
    # both take half a second to import, and --help on the whole program imports this module
    from daemon.backtest.alerts import AlertBacktestDocument, ApproachFigures
    from daemon.reports.backtest import BacktestDocument

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_ALERT_COLUMNS = (
    "average precision",
    "90 % interval",
    "precision",
    "breaches caught",
    "false alarms per server and week",
    "median lead",
    "caught at 1 false alarm",
)


class ExtraPeer(StrEnum):
    """A peer that takes long to train, and runs only on request."""

    TFT = "tft"


def backtest(
    data: Annotated[Path, typer.Option(help="Metrics file.")],
    origins: Annotated[Path | None, typer.Option(help="JSON file with a list `origins`.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First origin (ISO 8601, with zone).")] = None,
    *,
    every: Annotated[str, typer.Option(help="Time between origins after --from, for example 4h or 30m.")] = "4h",
    metrics: Annotated[list[str] | None, typer.Option(help="Only this metric; may be repeated.")] = None,
    model: ModelOption = None,
    models: ModelsOption = None,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Score early warning of the configured thresholds, not the forecasts.")
    ] = False,
    no_peers: Annotated[
        bool, typer.Option("--no-peers", help="Leave out the default peers except seasonal naive.")
    ] = False,
    peers: Annotated[
        list[ExtraPeer] | None,
        typer.Option(
            help="Add this peer. tft: stock TemporalFusionTransformer of pytorch-forecasting, "
            "trained on the data before the first origin for up to 10 minutes."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the forecasts, .parquet.")] = None,
    report: Annotated[Path | None, typer.Option(help="File for an HTML report with charts, .html.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Forecast the past from rolling origins and compare the scores with those of other forecasters."""
    from contextlib import nullcontext

    from daemon.backtest.forecasts import ServedForecaster, backtest_document, example_fans
    from daemon.backtest.forecasts import backtest as run_backtest
    from daemon.cli.app import progress_bar
    from daemon.cli.data import read_input
    from daemon.forecasting.baselines import Climatology
    from daemon.ingest.metrics_file import forecast_file
    from daemon.models.registry import ModelRegistry
    from daemon.network.artifact import forecaster_of
    from daemon.reports.backtest import render_backtest_report
    from daemon.system.files import atomic_path

    given = read_input(config, data, models, EVERYTHING_HOURS)
    panel = given.panel if not metrics else _only(metrics, given.panel, data)
    times = read_origins(origins, from_, every, panel)
    registry = ModelRegistry(given.models)
    chosen = model or registry.current()
    forecaster = forecaster_of(registry.path(chosen) if chosen else None, given.metrics, given.zone)
    others = _trained_peers(given, panel, min(times), default=not no_peers, extra=peers or ())
    served = ServedForecaster(forecaster, Climatology(given.metrics))
    if alerts:
        with progress_bar("forecasting") as on_progress:
            figures = _alert_document(
                given,
                panel,
                times,
                served=served,
                model=registry.path(chosen) if chosen else None,
                others=others,
                on_progress=on_progress,
            )
        (print_json if json else print_alert_tables)(figures)
        return
    # both files are opened first, so that a path that cannot be written is an error before the work
    with atomic_path(report) if report else nullcontext() as page, forecast_file(out) if out else nullcontext() as file:
        with progress_bar("forecasting") as on_progress:
            result = run_backtest(
                panel,
                times,
                served,
                others=others,
                on_forecast=file.add if file else lambda forecast: None,
                on_progress=on_progress,
            )
        document = backtest_document(result, chosen or "", times)
        if page:
            fans = example_fans(document, result, served, times, given.metrics)
            page.write_text(render_backtest_report(document, fans), encoding="utf-8")
    (print_json if json else print_tables)(document)


def _only(metrics: Sequence[str], panel: Panel, data: Path) -> Panel:
    unknown = sorted(set(metrics) - {key.metric for key in panel.keys})
    if unknown:
        known = ", ".join(sorted({key.metric for key in panel.keys}))
        raise ConfigError([f"--metrics: {', '.join(unknown)}: not in {data}; there are: {known}"])
    return panel.select([row for row, key in enumerate(panel.keys) if key.metric in metrics])


def _trained_peers(
    given: Input, panel: Panel, until: int, *, default: bool, extra: Sequence[ExtraPeer]
) -> dict[str, Forecaster]:
    from daemon.backtest.forecasts import default_peers, stock_tft_peer
    from daemon.cli.app import progress_bar

    peers: dict[str, Forecaster] = {}
    if default:
        with progress_bar("training LightGBM") as on_progress:
            peers |= default_peers(panel, until, given.zone, on_progress)
    if ExtraPeer.TFT in extra:
        with progress_bar("training the stock TFT") as on_progress:
            peers |= stock_tft_peer(panel, until, given.zone, on_progress)
    return peers


def read_origins(file: Path | None, first: str | None, every: str, panel: Panel) -> list[int]:
    """Return the origins (epoch seconds) inside ``panel``, from a JSON file or at regular times after ``first``.

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
        start = ceil_to_grid(parse_time(first))
    except ValueError as error:
        raise ConfigError([f"--from: {error}"]) from error
    return list(range(start, panel.end, step))


def _alert_document(
    given: Input,
    panel: Panel,
    origins: Sequence[int],
    *,
    served: Forecaster,
    model: Path | None,
    others: Mapping[str, Forecaster],
    on_progress: Callable[[float], None],
) -> "AlertBacktestDocument":
    """Return the figures of early warning with the breach model in ``model``, or of the base network without one.

    Raises:
        ConfigError: no metric of the history has a threshold in the configuration.
    """
    from daemon.backtest.alerts import alert_document, compare
    from daemon.backtest.forecasts import REFERENCE
    from daemon.breach.model import BASE_FOLDER, read_breach_model
    from daemon.forecasting.baselines import SeasonalNaive

    rows = [row for row, key in enumerate(panel.keys) if key.metric in thresholded(given.metrics)]
    if not rows:
        names = ", ".join(sorted({key.metric for key in panel.keys}))
        raise ConfigError([f"--alerts: none of {names} has a warning or a critical threshold; name one in --config"])
    breach_model = read_breach_model(model or BASE_FOLDER)
    compared = compare(
        panel.select(rows),
        origins,
        served,
        model=breach_model,
        others={REFERENCE: SeasonalNaive({}), **others},
        metrics=given.metrics,
        on_progress=on_progress,
    )
    return alert_document(compared, breach_model, model.name if model else "")


def print_json(document: BaseModel) -> None:
    """Print the figures as one JSON document; a figure that cannot be measured is null."""
    typer.echo(json.dumps(json.loads(document.model_dump_json(by_alias=True)), allow_nan=False))


def print_tables(document: "BacktestDocument") -> None:
    """Print one table of forecasters, best first, and one of metrics."""
    from daemon.reports.backtest import ranked

    console = table_console()
    tested = document.model or "base network"
    title = f"{tested} from {document.origins} origins, {document.first_origin} to {document.last_origin}"
    table = Table(title=title)
    shares = [f"{name} %" for name in INTERVALS]
    for name in ("forecaster", "rel. loss", "scaled pinball", "WQL", "MASE", *shares, *BUCKETS):
        table.add_column(name, justify="left" if name == "forecaster" else "right")
    for name, found in ranked(document.forecasters):
        losses = (found.relative_loss, found.scaled_pinball, found.weighted_quantile_loss, found.mase)
        horizons = found.relative_loss_by_horizon.values()
        cells = [*(_cell(loss, ".3f") for loss in losses), *(_cell(share, ".1%") for share in found.coverage.values())]
        table.add_row(name, *cells, *(_cell(loss, ".3f") for loss in horizons))
    console.print(table)
    metrics = Table(title=f"{document.tested} by metric, pinball loss relative to {document.reference}")
    for name in ("metric", "rel. loss", "80 %"):
        metrics.add_column(name, justify="left" if name == "metric" else "right")
    for name, found in document.metrics.items():
        metrics.add_row(name, _cell(found.relative_loss, ".3f"), _cell(found.coverage["80"], ".1%"))
    console.print(metrics)
    if document.missing:
        typer.echo(document.missing_text, err=True)


def print_alert_tables(document: "AlertBacktestDocument") -> None:
    """Print a table for each metric and severity, the best average precision first."""
    console = table_console()
    for found in document.alerts:
        decision = found.decision_threshold
        reached = "" if decision.reached else "; it does not reach the target precision"
        table = Table(
            title=f"{found.metric}, {found.severity}: {found.breaches} of {found.windows} windows before a breach",
            caption=f"decision threshold {decision.probability:.2f}, chosen on {decision.chosen_on}{reached}",
        )
        table.add_column("", no_wrap=True)
        for column in _ALERT_COLUMNS:
            table.add_column(column, justify="right")
        approaches = found.approaches.items()
        for name, figures in sorted(approaches, key=lambda item: -_or_zero(item[1].average_precision)):
            table.add_row(name, *_alert_cells(figures))
        console.print(table)


def _alert_cells(figures: "ApproachFigures") -> list[str]:
    low, high = figures.average_precision_interval
    lead_hours = figures.median_lead_seconds / 3600
    return [
        _cell(figures.average_precision, ".3f"),
        f"{low:.2f} to {high:.2f}" if isfinite(low) else "",
        _cell(100 * figures.precision, ".0f", " %"),
        _cell(100 * figures.incident_recall, ".0f", " %"),
        _cell(figures.false_alarms_per_server_week, ".2f"),
        _cell(lead_hours, ".1f", " h"),
        _cell(100 * figures.incident_recall_at_one_false_alarm_per_server_week, ".0f", " %"),
    ]


def _cell(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if isfinite(value) else ""


def _or_zero(value: float) -> float:
    return value if isfinite(value) else 0.0
