"""A backtest of forecasts: rolling origins on a history, the served forecaster beside its peers.

``backtest`` scores. ``backtest_document`` makes the figures of the JSON output and the report. ``example_fans``
forecasts the best and the worst series again for the charts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from daemon.core.forecast import Forecast, Forecaster
from daemon.core.metric import Metric
from daemon.core.scoring import Sums, accuracy, series_ratio
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, Float32, Float64, Panel, SeriesKey, as_text
from daemon.forecasting.baselines import Climatology, HourOfWeek, SeasonalNaive
from daemon.forecasting.evaluation import Scores, rows_by, score
from daemon.forecasting.point_rules import point_peers
from daemon.models.serving import forecast_panel
from daemon.network.boosting import fit_boosting
from daemon.reports.backtest import BacktestDocument, ExampleSeries, RatioHistogram
from daemon.reports.charts import Fan

MODEL = "forewarn"
REFERENCE = "seasonal naive, day"
CLIMATOLOGY = "climatology, hour of day"
LIGHTGBM = "LightGBM quantile regression"
STOCK_TFT = "stock TFT"
_EXAMPLES = 3
_PAST_STEPS = 12 * STEPS_PER_HOUR
# a quarter to four times, in steps of a tenth of a doubling; the outer bins hold what lies beyond
_RATIO_EDGES = 2 ** np.linspace(-2, 2, 41)

Progress = Callable[[float], None]
"""Called with the finished share of the work, 0 to 1."""


@dataclass(frozen=True)
class ServedForecaster:
    """The forecaster as the service runs it: the model where it can forecast, the baseline elsewhere."""

    model: Forecaster | None
    baseline: Forecaster

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return a forecast of every series with history."""
        return forecast_panel(panel, origin, self.model, self.baseline)


@dataclass(frozen=True)
class Backtest:
    """The result of a backtest.

    Attributes:
        scores: by forecaster.
        missing: origin and series of each forecast that the tested forecaster could not make.
    """

    scores: Scores
    missing: tuple[tuple[int, SeriesKey], ...]


def default_peers(panel: Panel, until: int, zone: ZoneInfo, on_progress: Progress) -> dict[str, Forecaster]:
    """Return the peers of every backtest by name; LightGBM is trained on ``panel`` up to ``until`` (epoch seconds).

    Raises:
        PeerUnavailable: LightGBM is not installed.
    """
    boosting = fit_boosting(panel.between(panel.start, until), zone, on_progress=on_progress)
    return {
        CLIMATOLOGY: Climatology({}),
        "climatology, hour of week": HourOfWeek(),
        **point_peers(),
        LIGHTGBM: boosting,
    }


def stock_tft_peer(panel: Panel, until: int, zone: ZoneInfo, on_progress: Progress) -> dict[str, Forecaster]:
    """Return the stock TFT by name, trained for minutes on ``panel`` up to ``until`` (epoch seconds)."""
    from daemon.network.stock_tft import fit_stock_tft  # noqa: PLC0415 - its library takes seconds to import

    return {STOCK_TFT: fit_stock_tft(panel.between(panel.start, until), zone, on_progress=on_progress)}


def backtest(
    panel: Panel,
    origins: Iterable[int],
    model: ServedForecaster,
    *,
    others: Mapping[str, Forecaster],
    on_forecast: Callable[[Forecast], None],
    on_progress: Progress,
) -> Backtest:
    """Score the forecasts of ``model``, seasonal naive and ``others`` from each origin.

    Args:
        panel: the history, before and after the origins.
        origins: epoch seconds.
        model: the forecaster that is tested.
        others: its peers by name.
        on_forecast: called with each forecast of ``model``.
        on_progress: called after each origin.
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
    """Return a sentence on the forecasts that could not be made; empty without any."""
    if not missing:
        return ""
    origin, key = missing[0]
    return (
        f"{len(missing)} forecasts could not be made: no sample in the 7 days before the origin; "
        f"the first is {key.server} {key.metric} at {as_text(origin)}"
    )


def backtest_document(result: Backtest, model: str, origins: Sequence[int]) -> BacktestDocument:
    """Return all figures of a backtest.

    Args:
        result: scores of the backtest.
        model: id of the tested model; empty for the base network or the baseline.
        origins: epoch seconds, ascending.
    """
    reference, keys = result.scores.sums[REFERENCE], result.scores.panel.keys
    ours, scale = result.scores.sums[MODEL], result.scores.scale
    ratio = series_ratio(ours, reference)
    best, worst = extremes(ratio, ours.count.sum(axis=1))
    return BacktestDocument(
        model=model,
        tested=MODEL,
        reference=REFERENCE,
        origins=len(origins),
        first_origin=as_text(origins[0]),
        last_origin=as_text(origins[-1]),
        series=len(keys),
        forecasters={name: accuracy(sums, reference, scale) for name, sums in result.scores.sums.items()},
        metrics={
            name: accuracy(ours.select(rows), reference.select(rows), scale[rows])
            for name, rows in rows_by([key.metric for key in keys]).items()
        },
        series_relative_loss=_histogram(ratio),
        best=tuple(_example(ours, ratio, keys, row) for row in best),
        worst=tuple(_example(ours, ratio, keys, row) for row in worst),
        missing=len(result.missing),
        missing_text=missing_text(result.missing),
    )


def extremes(ratio: Float64, count: Float64) -> tuple[list[int], list[int]]:
    """Return the rows with the lowest and with the highest ratio, up to three each and none in both.

    Args:
        ratio: ``(series,)``; NaN is left out.
        count: ``(series,)`` number of values; of two equal ratios the one with more values comes first.
    """
    known = np.flatnonzero(np.isfinite(ratio))
    rising = known[np.lexsort((-count[known], ratio[known]))].tolist()
    falling = known[np.lexsort((-count[known], -ratio[known]))].tolist()
    best = rising[: min(_EXAMPLES, (len(known) + 1) // 2)]
    return best, [row for row in falling if row not in best][:_EXAMPLES]


def example_fans(
    document: BacktestDocument,
    result: Backtest,
    model: Forecaster,
    origins: Sequence[int],
    metrics: Mapping[str, Metric],
) -> dict[str, list[Fan]]:
    """Return one forecast of each of the best and of the worst series, under ``best`` and ``worst``.

    They are forecast a second time: the backtest knows them only at its end, and does not keep all forecasts.

    Args:
        document: names the series.
        result: of the backtest.
        model: the forecaster that was tested.
        origins: epoch seconds; a series is forecast from the one after which the most values were observed.
        metrics: units by metric name.
    """
    row_of = {key: row for row, key in enumerate(result.scores.panel.keys)}
    missing = set(result.missing)

    def fan_of(example: ExampleSeries) -> Fan:
        key = SeriesKey(example.server, example.metric)
        panel = result.scores.panel.select([row_of[key]])
        origin = _fullest(panel, [origin for origin in origins if (origin, key) not in missing])
        unit = metrics[key.metric].unit if key.metric in metrics else ""
        note = f"Relative loss {example.relative_loss:.3f} over {example.values:,} values."
        return _fan(panel, model, origin, unit, note)

    return {"best": [fan_of(each) for each in document.best], "worst": [fan_of(each) for each in document.worst]}


def _histogram(ratio: Float64) -> RatioHistogram:
    known = ratio[np.isfinite(ratio)]
    counts, _ = np.histogram(np.clip(known, _RATIO_EDGES[0], _RATIO_EDGES[-1]), _RATIO_EDGES)
    return RatioHistogram(
        edges=tuple(_RATIO_EDGES.round(4).tolist()),
        counts=tuple(counts.tolist()),
        better=int((known < 1).sum()),
        compared=len(known),
    )


def _example(ours: Sums, ratio: Float64, keys: tuple[SeriesKey, ...], row: int) -> ExampleSeries:
    return ExampleSeries(
        server=keys[row].server,
        metric=keys[row].metric,
        relative_loss=float(ratio[row]),
        values=int(ours.count[row].sum()),
    )


def _fullest(panel: Panel, origins: Sequence[int]) -> int:
    """Return the origin after which the most values were observed; of several the newest."""
    return max(origins, key=lambda origin: (int(np.isfinite(_after(panel, origin)).sum()), origin))


def _after(panel: Panel, origin: int) -> Float32:
    after: Float32 = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values[0]
    return after


def _fan(panel: Panel, model: Forecaster, origin: int, unit: str, note: str) -> Fan:
    key = panel.keys[0]
    past = panel.between(origin - (_PAST_STEPS - 1) * STEP_SECONDS, origin).values[0]
    paths = model.forecast(panel, origin).paths[0]
    return Fan(
        server=key.server,
        metric=key.metric,
        origin=origin,
        past=past,
        actual=_after(panel, origin),
        paths=paths,
        unit=unit,
        note=note,
    )
