"""Scores of forecasters from rolling origins, and the evaluation of a trained model on held-out time.

Forecasters are scored through the same ``forecast`` method that serves. ``core/scoring.py`` defines the scores.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from daemon.core.forecast import Forecast, Forecaster
from daemon.core.scoring import Sums, accuracy, relative_loss, scaled_pinball, seasonal_error
from daemon.core.series import GENERIC_PROFILE, HORIZON_STEPS, STEP_SECONDS, Bool, Float64, Panel
from daemon.core.training_info import ProfileFigures, UnknownServers
from daemon.forecasting.baselines import SeasonalNaive

_EVERY_STEPS = 48
_MODEL, _NAIVE = "model", "naive"


@dataclass(frozen=True)
class Scores:
    """Sums of several forecasters over the same values of a panel.

    Attributes:
        panel: the series, one per row of the sums.
        scale: ``(series,)`` seasonal naive error before the first origin.
        sums: by name of the forecaster.
    """

    panel: Panel
    scale: Float64
    sums: Mapping[str, Sums]


def score(
    forecasters: Mapping[str, Forecaster],
    panel: Panel,
    origins: Iterable[int],
    on_forecast: Callable[[str, Forecast], None] = lambda name, forecast: None,
) -> Scores:
    """Score each forecaster from each origin against the values after it.

    A series counts at an origin only if all forecasters forecast it, so that all are scored on the same values.

    Args:
        forecasters: by name.
        panel: the history, before and after the origins.
        origins: epoch seconds.
        on_forecast: called with the name of a forecaster and each of its forecasts.
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
    """Scores of a model on a held-out span; one that cannot be measured is NaN, and None in a record of figures.

    Attributes:
        quantile_loss: scaled pinball loss: pinball loss over the in-sample seasonal naive error, mean over series.
        skill: by metric, pinball loss relative to seasonal naive, geometric mean over series; below 1 is better.
        skill_by_horizon: the same by metric and horizon bucket.
        coverage: share of the observed values inside each interval, by its nominal coverage in percent.
        coverage_by_metric: the same by metric.
        reliability: share of the observed values at or below each quantile.
        by_profile: figures by profile.
        unknown_servers: figures of the held-out servers beside those of the others; None without held-out servers.
        origins: number of origins.
    """

    quantile_loss: float
    skill: dict[str, float]
    skill_by_horizon: dict[str, dict[str, float]]
    coverage: dict[str, float]
    coverage_by_metric: dict[str, dict[str, float]]
    reliability: dict[str, float]
    by_profile: dict[str, ProfileFigures]
    unknown_servers: UnknownServers | None
    origins: int


def held_out_origins(start: int, end: int) -> range:
    """Return origins every 4 h, all of whose targets lie in ``start < t <= end`` (epoch seconds)."""
    return range(start, end - HORIZON_STEPS * STEP_SECONDS + 1, _EVERY_STEPS * STEP_SECONDS)


def evaluate(forecaster: Forecaster, panel: Panel, start: int, end: int, held_out: Collection[str] = ()) -> Evaluation:
    """Score ``forecaster`` from origins every 4 h, all of whose targets lie in ``start < t <= end`` (epoch seconds).

    Args:
        forecaster: the model.
        panel: the history, from before ``start`` until ``end``.
        start: first origin.
        end: last target.
        held_out: servers that the model was not trained on; they count in every score, and have figures of their own.
    """
    origins = held_out_origins(start, end)
    windows: Counter[str] = Counter()

    def count(name: str, forecast: Forecast) -> None:
        if name == _MODEL:
            windows.update(key.server for key in forecast.keys if key.server in held_out)

    scores = score({_MODEL: forecaster, _NAIVE: SeasonalNaive({})}, panel, origins, count)
    sums, naive, scale = scores.sums[_MODEL], scores.sums[_NAIVE], scores.scale
    overall = accuracy(sums, naive, scale)
    metrics, profiles = (
        {name: (rows, accuracy(sums.select(rows), naive.select(rows), scale[rows])) for name, rows in groups.items()}
        for groups in (
            rows_by([key.metric for key in panel.keys]),
            rows_by([panel.profiles.get(key.server, GENERIC_PROFILE) for key in panel.keys]),
        )
    )
    return Evaluation(
        quantile_loss=overall.scaled_pinball,
        skill={name: found.relative_loss for name, (_, found) in metrics.items()},
        skill_by_horizon={name: found.relative_loss_by_horizon for name, (_, found) in metrics.items()},
        coverage=overall.coverage,
        coverage_by_metric={name: found.coverage for name, (_, found) in metrics.items()},
        reliability=overall.reliability,
        by_profile={
            name: ProfileFigures(series=int(rows.sum()), skill=found.relative_loss, coverage=found.coverage)
            for name, (rows, found) in profiles.items()
        },
        unknown_servers=_held_out_servers(scores, held_out, windows.total()) if held_out else None,
        origins=len(origins),
    )


def rows_by(names: list[str]) -> dict[str, Bool]:
    """Return for each distinct name, in their order, which rows have it, ``(rows,)``."""
    return {name: np.array([each == name for each in names]) for name in sorted(set(names))}


def _held_out_servers(scores: Scores, held_out: Collection[str], windows: int) -> UnknownServers:
    rows = np.array([key.server in held_out for key in scores.panel.keys])
    (loss, skill), (known_loss, known_skill) = (_loss_and_skill(scores, each) for each in (rows, ~rows))
    return UnknownServers(
        servers=len(held_out),
        names=tuple(sorted(held_out)),
        windows=windows,
        quantile_loss=loss,
        skill=skill,
        known_quantile_loss=known_loss,
        known_skill=known_skill,
    )


def _loss_and_skill(scores: Scores, rows: Bool) -> tuple[float, float]:
    sums, naive = (scores.sums[name].select(rows) for name in (_MODEL, _NAIVE))
    return scaled_pinball(sums, scores.scale[rows]), relative_loss(sums, naive)
