"""Early warning on the past, as a table."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from daemon.cli.data import Input
from daemon.cli.tables import table_console
from daemon.domain.ports import Forecaster
from daemon.domain.risk import thresholded
from daemon.domain.series import Panel


def alerts_of(
    given: Input,
    panel: Panel,
    origins: Sequence[int],
    served: Forecaster,
    model: Path | None,
    others: Mapping[str, Forecaster],
    on_progress: Callable[[float], None],
) -> dict[str, Any]:
    """Return the figures of early warning on ``panel``, by the model in a folder or what comes with the package.

    Raises:
        ConfigError: no metric of the history has a threshold in the configuration.
    """
    from daemon.domain.errors import ConfigError
    from daemon.learning.breach.base import BASE_FOLDER
    from daemon.learning.breach.comparison import compare
    from daemon.learning.calibration_file import read_breach_model
    from daemon.learning.seasonal_naive import SeasonalNaive
    from daemon.pipeline.alert_backtest import alert_document
    from daemon.pipeline.backtest import REFERENCE

    rows = [row for row, key in enumerate(panel.keys) if key.metric in thresholded(given.metrics)]
    if not rows:
        names = ", ".join(sorted({key.metric for key in panel.keys}))
        raise ConfigError([f"--alerts: none of {names} has a warning or a critical threshold; name one in --config"])
    breach_model = read_breach_model(model or BASE_FOLDER)
    peers = {REFERENCE: SeasonalNaive({}), **others}
    compared = compare(panel.select(rows), origins, served, breach_model, peers, given.metrics, on_progress)
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
