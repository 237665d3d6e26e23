"""What is raised and what is not: a day of ticks of servers that other tools cry wolf over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest

from daemon.alerting.engine import Alerting, AlertRules, Tick
from daemon.alerting.outcomes import Outcome, Prediction
from daemon.alerting.state import AlertName, Phase
from daemon.breach.model import base_breach_model
from daemon.core.metric import Metric, Thresholds
from daemon.core.series import STEP_SECONDS, Panel, SeriesKey
from daemon.core.server import ServerState
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
    """Breach every noon; on the last day without data from 8 to 10."""
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
class Told:
    """What a server's alert did: at which steps of the day it began and ended to fire, and its lines in the ledger."""

    fired: list[int] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)
    lines: tuple[Prediction, ...] = ()


@pytest.fixture(scope="module")
def day() -> Mapping[str, Told]:
    """Run a day of ticks by the network and the breach model of the package, one every ten minutes."""
    keys = tuple(SeriesKey(server, "disk") for server in SERVERS)
    panel = Panel(keys, START, np.stack(list(SERVERS.values())).clip(0, 100).astype(np.float32))
    network, risks = base_forecaster(METRICS, ZoneInfo("UTC")), base_breach_model()
    servers = [
        ServerState(name=server, profile="generic", state="known", metrics=("disk",), newest=0) for server in SERVERS
    ]
    alerting = Alerting(FakeAlertRepository(), METRICS, AlertRules(), (), float)
    told = {server: Told() for server in SERVERS}
    firing: set[str] = set()
    for step in range(FIRST, len(STEPS), EVERY_STEPS):
        at = START + step * STEP_SECONDS
        known = panel.between(START, at)
        forecast = forecast_panel(known, at, network, Climatology(METRICS))
        result = alerting.run(Tick(at=at, forecast=forecast, panel=known, servers=servers, healthy=True), risks)
        now = {
            key.server
            for key, alert in result.alerts.items()
            if alert.state.phase is Phase.FIRING and key.name is AlertName.PREDICTED_BREACH
        }
        for server in now - firing:
            told[server].fired.append(step - FIRST)
        for server in firing - now:
            told[server].resolved.append(step - FIRST)
        firing = now
    for server, each in told.items():
        each.lines = tuple(line for line in result.predictions if line.server == server)
    return told


@pytest.mark.parametrize(
    "server", ["flat and noisy", "log rotation", "nightly batch", "constant at 100", "counter reset"]
)
def test_nothing_is_raised_where_nothing_will_happen(server: str, day: Mapping[str, Told]) -> None:
    """Noise, a sawtooth on its way up, a peak that never hurts, what has been full for weeks, a counter's reset."""
    assert (day[server].fired, day[server].lines) == ([], ())


@pytest.mark.parametrize("server", ["every noon", "gap"])
def test_what_happens_is_raised_hours_before_and_resolves_after(server: str, day: Mapping[str, Told]) -> None:
    """It fires once, in the morning, also through two hours without data, and resolves once when the breach is over."""
    (fired,), (resolved,) = day[server].fired, day[server].resolved
    assert 4 * 12 <= fired <= 8 * 12
    assert 14 * 12 <= resolved <= 16 * 12
    (line,) = day[server].lines
    assert line.outcome is Outcome.HIT
    assert line.lead_seconds == (144 - fired) * STEP_SECONDS
