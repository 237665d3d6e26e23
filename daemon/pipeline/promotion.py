"""Measuring a new model against what serves, on time that it was not trained on."""

from collections.abc import Mapping

import numpy as np
import structlog

from daemon.domain.errors import BadModel
from daemon.domain.gate import Verdict, judge
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS
from daemon.domain.metric import Metric
from daemon.domain.ports import Forecaster
from daemon.domain.scores import coverage, relative_loss
from daemon.learning.artifact import load_forecaster
from daemon.learning.base import base_forecaster
from daemon.learning.evaluation import held_out_origins, score
from daemon.learning.seasonal_naive import SeasonalNaive
from daemon.learning.training import TrainedModel
from daemon.registry.models import ModelRegistry

BASE = "base"
_log = structlog.get_logger()


def verdict_of(model: TrainedModel, registry: ModelRegistry) -> Verdict:
    """Return whether ``model`` may serve: it is scored beside what serves on the windows that both can forecast."""
    name, serving = _serving(registry, model)
    origins = held_out_origins(*model.held_out)
    candidate, naive = model.forecaster("candidate"), SeasonalNaive({})
    forecasters: dict[str, Forecaster] = {"candidate": candidate, "naive": naive}
    if serving is not None:
        both = score({**forecasters, "serving": serving}, model.panel, origins)
        loss = relative_loss(both.sums["serving"], both.sums["naive"])
        if np.isfinite(loss):
            candidate_loss = relative_loss(both.sums["candidate"], both.sums["naive"])
            return judge(candidate_loss, name, loss, coverage(both.sums["candidate"].select(_varying(model)))["80"])
    alone = score(forecasters, model.panel, origins)
    candidate_loss = relative_loss(alone.sums["candidate"], alone.sums["naive"])
    return judge(candidate_loss, name, None, coverage(alone.sums["candidate"].select(_varying(model)))["80"])


def _serving(registry: ModelRegistry, model: TrainedModel) -> tuple[str | None, Forecaster | None]:
    """Return the id and the forecaster of what serves; one that cannot be loaded is no forecaster."""
    name = BASE
    metrics: Mapping[str, Metric] = model.metrics
    try:
        current = registry.current()
        name = current or BASE
        if current is None:
            return BASE, base_forecaster(metrics, model.zone)
        return current, load_forecaster(registry.path(current), metrics)
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
