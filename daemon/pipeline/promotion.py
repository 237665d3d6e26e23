"""Measuring a new model against what serves, on time that it was not trained on."""

import numpy as np
import numpy.typing as npt
import structlog

from daemon.domain.errors import BadModel
from daemon.domain.forecast import ForecastSource
from daemon.domain.gate import Verdict, judge
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS
from daemon.domain.ports import Forecaster
from daemon.domain.scores import coverage, scaled_pinball
from daemon.domain.series import Panel
from daemon.learning.artifact import load_forecaster
from daemon.learning.climatology import Climatology
from daemon.learning.evaluation import Scores, held_out_origins, score
from daemon.learning.seasonal_naive import SeasonalNaive
from daemon.learning.training import TrainedModel
from daemon.registry.models import ModelRegistry

_log = structlog.get_logger()


def verdict_of(model: TrainedModel, registry: ModelRegistry) -> Verdict:
    """Return whether ``model`` may serve: it is scored beside what serves on the windows that both can forecast.

    The base network is nothing to beat: training starts from it and keeps it where no epoch is better.
    """
    name, serving = _serving(registry, model)
    origins = held_out_origins(*model.held_out)
    varying = _varying(model.panel, origins)
    forecasters: dict[str, Forecaster] = {"candidate": model.forecaster("candidate"), "naive": SeasonalNaive({})}
    if serving is not None:
        both = score({**forecasters, "serving": serving}, model.panel, origins)
        loss = _loss(both, "serving")
        if np.isfinite(loss):
            return judge(_loss(both, "candidate"), name, loss, _coverage(both, varying))
    alone = score(forecasters, model.panel, origins)
    return judge(_loss(alone, "candidate"), name, None, _coverage(alone, varying))


def _loss(scores: Scores, name: str) -> float:
    """Return scaled pinball loss relative to seasonal naive's.

    Means over series, and no mean of their ratios: naive is all but perfect where a series only grows steadily.
    """
    naive = scaled_pinball(scores.sums["naive"], scores.scale)
    return scaled_pinball(scores.sums[name], scores.scale) / naive if naive > 0 else float("nan")


def _coverage(scores: Scores, rows: npt.NDArray[np.bool_]) -> float:
    return coverage(scores.sums["candidate"].select(rows))["80"]


def _serving(registry: ModelRegistry, model: TrainedModel) -> tuple[str | None, Forecaster | None]:
    """Return the id and the forecaster of the model that serves; one that cannot be loaded is no forecaster.

    Where it, or the base network, was withdrawn, the baseline serves.
    """
    name = None
    try:
        name = registry.current()
        if registry.withdrawal(name or ForecastSource.BASE.value) is not None:
            return ForecastSource.BASELINE.value, Climatology(model.metrics)
        return name, None if name is None else load_forecaster(registry.path(name), model.metrics)
    except BadModel as problem:
        _log.warning("serving_model_unusable", model=name, reason=str(problem))
        return name, None


def _varying(panel: Panel, origins: range) -> npt.NDArray[np.bool_]:
    """Return which series are not constant over the steps that forecasts from ``origins`` are scored on."""
    last = max(origins, default=origins.start) + HORIZON_STEPS * STEP_SECONDS
    values = panel.between(origins.start + STEP_SECONDS, last).values
    varying: npt.NDArray[np.bool_] = np.fmax.reduce(values, axis=1) > np.fmin.reduce(values, axis=1)
    return varying
