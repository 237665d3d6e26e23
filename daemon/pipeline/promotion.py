"""Measuring a new model against what serves, on time that it was not trained on."""

import numpy as np
import structlog

from daemon.domain.errors import BadModel
from daemon.domain.gate import Verdict, judge
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS
from daemon.domain.ports import Forecaster
from daemon.domain.scores import coverage, scaled_pinball
from daemon.learning.artifact import load_forecaster
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
    forecasters: dict[str, Forecaster] = {"candidate": model.forecaster("candidate"), "naive": SeasonalNaive({})}
    if serving is not None:
        both = score({**forecasters, "serving": serving}, model.panel, origins)
        loss = _loss(both, "serving")
        if np.isfinite(loss):
            return judge(_loss(both, "candidate"), name, loss, _coverage(both, model))
    alone = score(forecasters, model.panel, origins)
    return judge(_loss(alone, "candidate"), name, None, _coverage(alone, model))


def _loss(scores: Scores, name: str) -> float:
    """Return scaled pinball loss relative to seasonal naive's.

    Means over series, and no mean of their ratios: naive is all but perfect where a series only grows steadily.
    """
    naive = scaled_pinball(scores.sums["naive"], scores.scale)
    return scaled_pinball(scores.sums[name], scores.scale) / naive if naive > 0 else float("nan")


def _coverage(scores: Scores, model: TrainedModel) -> float:
    return coverage(scores.sums["candidate"].select(_varying(model)))["80"]


def _serving(registry: ModelRegistry, model: TrainedModel) -> tuple[str | None, Forecaster | None]:
    """Return the id and the forecaster of the model that serves; one that cannot be loaded is no forecaster."""
    name = None
    try:
        name = registry.current()
        return name, None if name is None else load_forecaster(registry.path(name), model.metrics)
    except BadModel as problem:
        _log.warning("serving_model_unusable", model=name, reason=str(problem))
        return name, None


def _varying(model: TrainedModel) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    first, last = model.held_out
    values = model.panel.between(first + STEP_SECONDS, max(last, first + HORIZON_STEPS * STEP_SECONDS)).values
    with np.errstate(invalid="ignore"):
        lowest, highest = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
        varying: np.ndarray[tuple[int], np.dtype[np.bool_]] = highest > lowest
    return varying
