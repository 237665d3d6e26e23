"""Rolling origins on a history: the model beside what a user could run instead."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from daemon.domain.forecast import Forecast
from daemon.domain.grid import as_text
from daemon.domain.ports import Forecaster
from daemon.domain.series import Panel, SeriesKey
from daemon.learning.climatology import Climatology
from daemon.learning.evaluation import Scores, score
from daemon.learning.peers.boosting import fit_boosting
from daemon.learning.peers.hour_of_week import HourOfWeek
from daemon.learning.peers.points import point_peers
from daemon.learning.seasonal_naive import SeasonalNaive
from daemon.pipeline.forecasting import forecast_panel

MODEL = "forewarn"
REFERENCE = "seasonal naive, day"


@dataclass(frozen=True)
class ServedForecaster:
    """What the service would serve: the model where it can, the baseline where it cannot."""

    model: Forecaster | None
    baseline: Forecaster

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return a forecast of every series that has any history."""
        return forecast_panel(panel, origin, self.model, self.baseline)


@dataclass(frozen=True)
class Backtest:
    """Scores by forecaster, and the forecasts that could not be made: ``(origin, series)``."""

    scores: Scores
    missing: tuple[tuple[int, SeriesKey], ...]


def peers(panel: Panel, until: int, zone: ZoneInfo, on_progress: Callable[[float], None]) -> dict[str, Forecaster]:
    """Return the peers; LightGBM is trained on ``panel`` up to ``until``.

    Raises:
        PeerUnavailable: LightGBM is not installed.
    """
    boosting = fit_boosting(panel.between(panel.start, until), zone, on_progress=on_progress)
    return {
        "climatology, hour of day": Climatology({}),
        "climatology, hour of week": HourOfWeek(),
        **point_peers(),
        "LightGBM quantile regression": boosting,
    }


def backtest(
    panel: Panel,
    origins: Iterable[int],
    model: ServedForecaster,
    others: Mapping[str, Forecaster],
    on_forecast: Callable[[Forecast], None],
    on_progress: Callable[[float], None],
) -> Backtest:
    """Forecast ``panel`` from each origin (epoch seconds) with ``model``, seasonal naive and ``others``.

    Args:
        panel: the history, before and after the origins.
        origins: times to forecast from.
        model: what is tested.
        others: what it is compared with.
        on_forecast: called with each forecast of ``model``.
        on_progress: called with the share that is done.
    """
    times = sorted(origins)
    missing: list[tuple[int, SeriesKey]] = []

    def made(name: str, forecast: Forecast) -> None:
        if name != MODEL:
            return
        on_forecast(forecast)
        forecast_keys = set(forecast.keys)
        missing.extend((forecast.origin, key) for key in panel.keys if key not in forecast_keys)
        on_progress((times.index(forecast.origin) + 1) / len(times))

    forecasters: dict[str, Forecaster] = {MODEL: model, REFERENCE: SeasonalNaive({}), **others}
    return Backtest(score(forecasters, panel, times, made), tuple(missing))


def missing_text(missing: tuple[tuple[int, SeriesKey], ...]) -> str:
    """Return in a sentence which forecasts could not be made; empty if all were."""
    if not missing:
        return ""
    origin, key = missing[0]
    return (
        f"{len(missing)} forecasts could not be made, for want of any sample in the 7 days before the origin; "
        f"the first is {key.server} {key.metric} at {as_text(origin)}"
    )
