"""What a backtest measured, as one document: the table, the JSON and the report all show it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, as_text
from daemon.domain.metric import Metric
from daemon.domain.ports import Forecaster
from daemon.domain.scores import (
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
from daemon.domain.series import Float32, Float64, Panel, SeriesKey
from daemon.pipeline.backtest import MODEL, REFERENCE, Backtest, missing_text
from daemon.reports.fans import Fan

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
    return Fan(key.server, key.metric, origin, past, _after(panel, origin), paths, unit, note)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
