"""Early warning by the packaged models over a day of ticks, on series that cause false alarms in other tools."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest

from daemon.alerting.engine import Alerting, AlertingInput
from daemon.alerting.outcomes import Outcome, Prediction
from daemon.alerting.state import AlertName
from daemon.breach.model import base_breach_model
from daemon.config.alerting import AlertingConfig
from daemon.core.metric import Metric, Thresholds
from daemon.core.series import STEP_SECONDS, DataState, Panel, SeriesKey, ServerState
from daemon.forecasting.baselines import Climatology
from daemon.models.serving import forecast_panel
from daemon.network.artifact import base_forecaster
from tests.fakes.alert_repository import FakeAlertRepository

METRICS = {"disk": Metric(name="disk", unit="%", minimum=0, maximum=100, thresholds=Thresholds(critical=85))}
START = 1_767_225_600  # 2026-01-01T00:00:00Z
DAYS = 15
STEPS = np.arange(DAYS * 288)
HOUR_OF_DAY = STEPS % 288 / 12
FIRST = (DAYS - 1) * 288
EVERY_STEPS = 2

Path = npt.NDArray[np.float64]


def noise(size: float) -> Path:
    return np.random.default_rng(3).normal(0, size, len(STEPS))


def at_noon(level: float) -> Path:
    return np.where((HOUR_OF_DAY >= 12) & (HOUR_OF_DAY < 14), level, 40) + noise(1)


def with_a_gap() -> Path:
    """Breach every noon; no data from 8 to 10 on the last day."""
    path = at_noon(95)
    path[FIRST + 96 : FIRST + 120] = np.nan
    return path


SERVERS: dict[str, Path] = {
    "flat and noisy": 70 + noise(4),
    "log rotation": 35 + 40 * (STEPS % 72) / 72 + noise(0.5),
    "nightly batch": np.where((HOUR_OF_DAY >= 2) & (HOUR_OF_DAY < 4), 80, 30) + noise(1),
    "constant at 100": np.full(len(STEPS), 100.0),
    "counter reset": (STEPS * 0.09) % 80,
    "every noon": at_noon(95),
    "gap": with_a_gap(),
}


@dataclass
class Changes:
    """The steps of the day at which an alert fired and resolved, and its records in the prediction log."""

    fired: list[int] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)
    records: tuple[Prediction, ...] = ()


@pytest.fixture(scope="module")
def day() -> Mapping[str, Changes]:
    """Run a day of ticks with the packaged network and breach model, one every ten minutes."""
    keys = tuple(SeriesKey(server, "disk") for server in SERVERS)
    panel = Panel(keys, START, np.stack(list(SERVERS.values())).clip(0, 100).astype(np.float32))
    network, risks = base_forecaster(METRICS, ZoneInfo("UTC")), base_breach_model()
    servers = [
        ServerState(name=server, profile="generic", state=DataState.KNOWN, metrics=("disk",), newest=0)
        for server in SERVERS
    ]
    alerting = Alerting(FakeAlertRepository(), METRICS, AlertingConfig(), float)
    changes = {server: Changes() for server in SERVERS}
    firing: set[str] = set()
    for step in range(FIRST, len(STEPS), EVERY_STEPS):
        at = START + step * STEP_SECONDS
        known = panel.between(START, at)
        forecast = forecast_panel(known, at, network, Climatology(METRICS))
        result = alerting.run(
            AlertingInput(at=at, forecast=forecast, panel=known, servers=servers, healthy=True), risks
        )
        now = {
            key.server
            for key, alert in result.alerts.items()
            if alert.is_firing and key.name is AlertName.PREDICTED_BREACH
        }
        for server in now - firing:
            changes[server].fired.append(step - FIRST)
        for server in firing - now:
            changes[server].resolved.append(step - FIRST)
        firing = now
    for server, each in changes.items():
        each.records = tuple(record for record in result.predictions if record.server == server)
    return changes


@pytest.mark.parametrize(
    "server", ["flat and noisy", "log rotation", "nightly batch", "constant at 100", "counter reset"]
)
def test_no_alert_fires_without_a_breach_to_come(server: str, day: Mapping[str, Changes]) -> None:
    """Noise, a rising sawtooth, a harmless daily peak, a disk that has been full for weeks, a counter reset."""
    assert (day[server].fired, day[server].records) == ([], ())


@pytest.mark.parametrize("server", ["every noon", "gap"])
def test_an_alert_fires_hours_before_the_breach_and_resolves_after_it(server: str, day: Mapping[str, Changes]) -> None:
    """It fires once in the morning, also with two hours without data, and resolves once after the breach."""
    (fired,), (resolved,) = day[server].fired, day[server].resolved
    assert 4 * 12 <= fired <= 8 * 12
    assert 14 * 12 <= resolved <= 16 * 12
    (record,) = day[server].records
    assert record.outcome is Outcome.HIT
    assert record.lead_seconds == (144 - fired) * STEP_SECONDS
