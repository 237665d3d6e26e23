"""The model that serves, and one forecast of all series: by the model where it can, else by the baseline."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import structlog

from daemon.breach.definition import RiskModel
from daemon.core.errors import BadModel, ModelNotFound
from daemon.core.forecast import Forecast, Forecaster, ForecasterKind
from daemon.core.series import STEPS_PER_HOUR, Panel, SeriesKey
from daemon.models.record import ModelRecord
from daemon.models.registry import Demotion, ModelRegistry

_log = structlog.get_logger()


@dataclass(frozen=True)
class ModelLoaders:
    """How models are loaded: a trained one by its id, and those of the package."""

    model: Callable[[str], Forecaster]
    risk_model: Callable[[str], RiskModel]
    base: Callable[[], Forecaster]
    base_risk_model: Callable[[], RiskModel]


class ServingModel:
    """The model that ``models/current`` names, loaded when the name changes; before the first, the base network.

    The base network is loaded when a series has enough history for it. A demoted model does not serve: the baseline
    does, until another one is promoted.

    Attributes:
        error: why the current model could not be loaded; empty if it could.
        record: the record of the loaded model's training; None where it has none.
        demotion: of the loaded model, or of the base network; None while it serves.
    """

    def __init__(self, registry: ModelRegistry, loaders: ModelLoaders) -> None:
        self._registry, self._loaders = registry, loaders
        self._base_forecaster: Forecaster | None = None
        self._risk_model: RiskModel | None = None
        self._base_risk_model: RiskModel | None = None
        self._model_forecaster: Forecaster | None = None
        self._loaded = ""
        self._damaged = ""
        self._outdated = False
        self.error = ""
        self.demotion: Demotion | None = None
        self.record: ModelRecord | None = None

    @property
    def name(self) -> str:
        """Id of the loaded model; empty if there is none."""
        return self._loaded

    @property
    def forecaster(self) -> str:
        """The forecaster of every series that has enough history: the id of the loaded model, or ``base``."""
        return self._loaded or ForecasterKind.BASE.value

    def refresh(self, panel: Panel) -> Forecaster | None:
        """Return the forecaster of the current model, or the last good one if the current one cannot be loaded.

        Before the first model it is the base network, if a series of ``panel`` has an hour of history. It is None while
        only the baseline serves: without such a series, or after a demotion.
        """
        try:
            self._load_current()
            self.demotion = self._registry.demotion(self.forecaster)
        except BadModel as problem:
            if isinstance(problem, ModelNotFound):
                self._damaged = ""
            if str(problem) != self.error:
                self.error = str(problem)
                _log.error("model_unusable", serving=self._loaded or "base or baseline", reason=self.error)
        if self.demotion is not None:
            return None
        if self._model_forecaster is None and self._base_forecaster is None and _an_hour_old(panel):
            self._base_forecaster = self._loaders.base()
        return self._model_forecaster or self._base_forecaster

    def demote(self, why: str) -> None:
        """Record a demotion, which lasts over restarts: from the next ``refresh`` on the baseline serves instead."""
        self._registry.demote(self.forecaster, why)
        _log.warning("model_demoted", model=self.forecaster, reason=why)

    def reload(self, loaders: ModelLoaders) -> None:
        """Load everything again at the next ``refresh``, with ``loaders``; until then the loaded model serves."""
        self._loaders, self._base_forecaster, self._base_risk_model = loaders, None, None
        self._damaged, self._outdated = "", True

    @property
    def risk_model(self) -> RiskModel:
        """The risk model of the loaded model, or else of the package."""
        if self._risk_model is not None and self.demotion is None:
            return self._risk_model
        if self._base_risk_model is None:
            self._base_risk_model = self._loaders.base_risk_model()
        return self._base_risk_model

    def _load_current(self) -> None:
        wanted = self._registry.current()
        if wanted is None:
            return
        self._registry.path(wanted)
        if wanted == self._loaded and not self._outdated:
            self.error = ""
        elif wanted != self._damaged:
            # a damaged one is not loaded again at every tick
            self._damaged = wanted
            record = self._registry.record(wanted)
            forecaster, risk_model = self._loaders.model(wanted), self._loaders.risk_model(wanted)
            self._model_forecaster, self._risk_model, self.record = forecaster, risk_model, record
            self._loaded, self._damaged, self._outdated, self.error = wanted, "", False, ""
            _log.info("model_loaded", model=wanted)


def _an_hour_old(panel: Panel) -> bool:
    return bool(np.isfinite(panel.values[:, : -STEPS_PER_HOUR + 1]).any())


def forecast_panel(panel: Panel, origin: int, model: Forecaster | None, baseline: Forecaster) -> Forecast:
    """Return a forecast of every series, each row with its forecaster."""
    made = [model.forecast(panel, origin)] if model is not None else []
    rest = without(panel, {key for part in made for key in part.keys})
    if rest.keys or not made:
        made.append(baseline.forecast(rest, origin))
    return Forecast.concatenate(origin, made)


def without(panel: Panel, keys: Collection[SeriesKey]) -> Panel:
    """Return ``panel`` without the series ``keys``."""
    return panel.select(np.array([row for row, key in enumerate(panel.keys) if key not in keys], dtype=np.intp))
