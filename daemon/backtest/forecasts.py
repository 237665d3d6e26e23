"""Rolling origins on a history: the model beside what a user could run instead."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from daemon.core.forecast import Forecast, Forecaster
from daemon.core.metric import Metric
from daemon.core.scoring import (
    BUCKETS,
    Sums,
    bucket,
    coverage,
    mase,
    relative_loss,
    reliability,
    scaled_pinball,
    series_ratio,
    weighted_quantile_loss,
)
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, Float32, Float64, Panel, SeriesKey, as_text
from daemon.forecasting.baselines import Climatology, HourOfWeek, SeasonalNaive
from daemon.forecasting.evaluation import Scores, score
from daemon.forecasting.point_rules import point_peers
from daemon.models.serving import forecast_panel
from daemon.network.boosting import fit_boosting
from daemon.reports.charts import Fan

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
    *,
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


_EXAMPLES = 3
_PAST_STEPS = 12 * STEPS_PER_HOUR
# a quarter to four times, in steps of a tenth of a doubling; what lies beyond counts in the last of them
_RATIO_EDGES = 2 ** np.linspace(-2, 2, 41)


def figures(result: Backtest, model: str, origins: Sequence[int]) -> dict[str, Any]:
    """Return all figures; None where one cannot be computed.

    Args:
        result: of the backtest.
        model: id of the model that was tested; empty for the baseline.
        origins: epoch seconds, in their order.
    """
    reference, keys = result.scores.sums[REFERENCE], result.scores.panel.keys
    of_metric = {name: np.array([key.metric == name for key in keys]) for name in sorted({key.metric for key in keys})}
    ours, scale = result.scores.sums[MODEL], result.scores.scale
    best, worst = extremes(series_ratio(ours, reference), ours.count.sum(axis=1))
    return {
        "model": model,
        "tested": MODEL,
        "reference": REFERENCE,
        "origins": len(origins),
        "from": as_text(origins[0]),
        "to": as_text(origins[-1]),
        "series": len(keys),
        "forecasters": {name: _figures(sums, reference, scale) for name, sums in result.scores.sums.items()},
        "metrics": {
            name: _figures(ours.select(rows), reference.select(rows), scale[rows]) for name, rows in of_metric.items()
        },
        "series_relative_loss": _histogram(series_ratio(ours, reference)),
        "best": [_series(ours, reference, keys, row) for row in best],
        "worst": [_series(ours, reference, keys, row) for row in worst],
        "missing": len(result.missing),
        "missing_text": missing_text(result.missing),
    }


def extremes(ratio: Float64, count: Float64) -> tuple[list[int], list[int]]:
    """Return the rows with the lowest and with the highest ratio, up to three each and none twice.

    Args:
        ratio: ``(series,)``; NaN takes no part.
        count: ``(series,)`` of two like ratios the one of more values comes first.
    """
    known = np.flatnonzero(np.isfinite(ratio))
    rising = known[np.lexsort((-count[known], ratio[known]))].tolist()
    falling = known[np.lexsort((-count[known], -ratio[known]))].tolist()
    best = rising[: min(_EXAMPLES, (len(known) + 1) // 2)]
    return best, [row for row in falling if row not in best][:_EXAMPLES]


def example_fans(
    document: Mapping[str, Any],
    result: Backtest,
    model: Forecaster,
    origins: Sequence[int],
    metrics: Mapping[str, Metric],
) -> dict[str, list[Fan]]:
    """Return a forecast of each of the best and of the worst series of ``document``, made anew.

    Anew, as which they are is known only at the end, and all forecasts until then would not fit into memory.
    """
    row_of = {key: row for row, key in enumerate(result.scores.panel.keys)}
    missing = set(result.missing)
    made: dict[str, list[Fan]] = {}
    for kind in ("best", "worst"):
        made[kind] = []
        for entry in document[kind]:
            key = SeriesKey(entry["server"], entry["metric"])
            panel = result.scores.panel.select([row_of[key]])
            offered = [origin for origin in origins if (origin, key) not in missing]
            unit = metrics[key.metric].unit if key.metric in metrics else ""
            note = f"Relative loss {entry['relative_loss']:.3f} over {entry['values']:,} values."
            made[kind].append(_fan(panel, model, _fullest(panel, offered), unit, note))
    return made


def _figures(sums: Sums, reference: Sums, scale: Float64) -> dict[str, Any]:
    return {
        "relative_loss": _known(relative_loss(sums, reference)),
        "scaled_pinball": _known(scaled_pinball(sums, scale)),
        "weighted_quantile_loss": _known(weighted_quantile_loss(sums)),
        "mase": _known(mase(sums, scale)),
        "coverage": {name: _known(share) for name, share in coverage(sums).items()},
        "reliability": {level: _known(share) for level, share in reliability(sums).items()},
        "relative_loss_by_horizon": {
            name: _known(relative_loss(bucket(sums, name), bucket(reference, name))) for name in BUCKETS
        },
    }


def _histogram(ratio: Float64) -> dict[str, Any]:
    known = ratio[np.isfinite(ratio)]
    counts, _ = np.histogram(np.clip(known, _RATIO_EDGES[0], _RATIO_EDGES[-1]), _RATIO_EDGES)
    return {
        "edges": _RATIO_EDGES.round(4).tolist(),
        "counts": counts.tolist(),
        "better": int((known < 1).sum()),
        "compared": len(known),
    }


def _series(ours: Sums, reference: Sums, keys: tuple[SeriesKey, ...], row: int) -> dict[str, Any]:
    rows = np.array([row])
    return {
        "server": keys[row].server,
        "metric": keys[row].metric,
        "relative_loss": float(series_ratio(ours.select(rows), reference.select(rows))[0]),
        "values": int(ours.count[row].sum()),
    }


def _fullest(panel: Panel, origins: Sequence[int]) -> int:
    """Return the newest of the origins after which the most values are known."""
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


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
