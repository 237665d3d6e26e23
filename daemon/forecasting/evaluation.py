"""What forecasters are worth from rolling origins, measured through the same path that serves."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.core.forecast import Forecast, Forecaster
from daemon.core.scoring import (
    BUCKETS,
    Sums,
    bucket,
    coverage,
    relative_loss,
    reliability,
    scaled_pinball,
    seasonal_error,
)
from daemon.core.series import GENERIC_PROFILE, HORIZON_STEPS, STEP_SECONDS, Float64, Panel
from daemon.forecasting.baselines import SeasonalNaive

_EVERY_STEPS = 48


@dataclass(frozen=True)
class Scores:
    """Sums of one forecaster over the series of a panel, and the scale that they share."""

    panel: Panel
    scale: Float64
    sums: Mapping[str, Sums]


def score(
    forecasters: Mapping[str, Forecaster],
    panel: Panel,
    origins: Iterable[int],
    on_forecast: Callable[[str, Forecast], None] = lambda name, forecast: None,
) -> Scores:
    """Score each forecaster at each origin (epoch seconds) against what came after it.

    A forecast is scored where all of the forecasters made one, so that all are measured on the same windows.
    """
    times = sorted(origins)
    row_of = {key: row for row, key in enumerate(panel.keys)}
    sums = {name: Sums.zeros(len(panel.keys)) for name in forecasters}
    for origin in times:
        made = {name: forecaster.forecast(panel, origin) for name, forecaster in forecasters.items()}
        for name, forecast in made.items():
            on_forecast(name, forecast)
        shared = set(panel.keys).intersection(*(forecast.keys for forecast in made.values()))
        actual = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values
        for name, forecast in made.items():
            chosen = np.array([row for row, key in enumerate(forecast.keys) if key in shared], dtype=np.intp)
            rows = np.array([row_of[forecast.keys[row]] for row in chosen], dtype=np.intp)
            sums[name].add(rows, actual[rows], forecast.paths[chosen])
    known_until = times[0] if times else panel.start
    return Scores(panel, seasonal_error(panel.between(panel.start, known_until).values), sums)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures of a model over a held-out span; a figure that cannot be measured is NaN.

    Attributes:
        quantile_loss: scaled pinball loss: pinball over the series' in-sample seasonal naive error, mean over series.
        skill: by metric, pinball loss relative to seasonal naive's, geometric mean over series; below 1 is better.
        skill_by_horizon: the same by metric and horizon bucket.
        coverage: share of the actual values inside each interval, by its name in percent.
        coverage_by_metric: the same by metric.
        reliability: share of the actual values at or below each quantile.
        by_profile: by profile, the number of series, the skill and the coverage.
        unknown_servers: figures of servers that were not trained on beside those of the others; None without any.
        origins: how many forecasts were scored.
    """

    quantile_loss: float
    skill: dict[str, float]
    skill_by_horizon: dict[str, dict[str, float]]
    coverage: dict[str, float]
    coverage_by_metric: dict[str, dict[str, float]]
    reliability: dict[str, float]
    by_profile: dict[str, dict[str, Any]]
    unknown_servers: dict[str, Any] | None
    origins: int


def held_out_origins(start: int, end: int) -> range:
    """Return origins every 4 h, all of whose targets lie in ``start < t <= end`` (epoch seconds)."""
    return range(start, end - HORIZON_STEPS * STEP_SECONDS + 1, _EVERY_STEPS * STEP_SECONDS)


def evaluate(forecaster: Forecaster, panel: Panel, start: int, end: int, unknown: Collection[str] = ()) -> Evaluation:
    """Score ``forecaster`` from origins every 4 h, all of whose targets lie in ``start < t <= end`` (epoch seconds).

    Servers that it was not trained on, ``unknown``, count as all others, and have figures of their own as well.
    """
    origins = held_out_origins(start, end)
    windows: Counter[str] = Counter()

    def count(name: str, forecast: Forecast) -> None:
        if name == "model":
            windows.update(key.server for key in forecast.keys if key.server in unknown)

    scores = score({"model": forecaster, "naive": SeasonalNaive({})}, panel, origins, count)
    sums, naive = scores.sums["model"], scores.sums["naive"]
    by_metric = _rows_by([key.metric for key in panel.keys])
    profiles = _rows_by([panel.profiles.get(key.server, GENERIC_PROFILE) for key in panel.keys])
    by_horizon = {name: (bucket(sums, name), bucket(naive, name)) for name in BUCKETS}
    return Evaluation(
        quantile_loss=scaled_pinball(sums, scores.scale),
        skill={name: relative_loss(sums.select(rows), naive.select(rows)) for name, rows in by_metric.items()},
        skill_by_horizon={
            name: {each: relative_loss(*(part.select(rows) for part in pair)) for each, pair in by_horizon.items()}
            for name, rows in by_metric.items()
        },
        coverage=coverage(sums),
        coverage_by_metric={name: coverage(sums.select(rows)) for name, rows in by_metric.items()},
        reliability=reliability(sums),
        by_profile={
            name: {
                "series": int(rows.sum()),
                "skill": relative_loss(sums.select(rows), naive.select(rows)),
                "coverage": coverage(sums.select(rows)),
            }
            for name, rows in profiles.items()
        },
        unknown_servers=_unknown_servers(scores, unknown, windows.total()) if unknown else None,
        origins=len(origins),
    )


def _unknown_servers(scores: Scores, unknown: Collection[str], windows: int) -> dict[str, Any]:
    strange = np.array([key.server in unknown for key in scores.panel.keys])
    sums, naive = scores.sums["model"], scores.sums["naive"]
    return {
        "servers": len(unknown),
        "names": sorted(unknown),
        "windows": windows,
        **{
            f"{known}{name}": value
            for known, rows in (("", strange), ("known_", ~strange))
            for name, value in (
                ("quantile_loss", scaled_pinball(sums.select(rows), scores.scale[rows])),
                ("skill", relative_loss(sums.select(rows), naive.select(rows))),
            )
        },
    }


def _rows_by(names: list[str]) -> dict[str, npt.NDArray[np.bool_]]:
    return {name: np.array([each == name for each in names]) for name in sorted(set(names))}
