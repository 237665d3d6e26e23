"""One forecast of all series: by the model where it can, by the baseline where it cannot, and saying which."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import structlog

from daemon.breach.definition import RiskModel
from daemon.core.errors import BadModel, ModelNotFound
from daemon.core.forecast import Forecast, Forecaster, ForecasterKind
from daemon.core.series import STEPS_PER_HOUR, Panel, SeriesKey
from daemon.models.record import ModelRecord
from daemon.models.registry import ModelRegistry

_log = structlog.get_logger()


@dataclass(frozen=True)
class ModelLoaders:
    """How models are read: one by its id, and what comes with the package, the network only where it is needed."""

    model: Callable[[str], Forecaster]
    model_risks: Callable[[str], RiskModel]
    base: Callable[[], Forecaster]
    base_risks: Callable[[], RiskModel]


class ServingModel:
    """The model that ``models/current`` names, loaded again when another one takes its place; before it, the base.

    The base network is loaded when a series is old enough to be forecast by it.

    One that is withdrawn does not serve: the baseline does, until another one is promoted.

    Attributes:
        error: why the current model could not be loaded; empty if it could.
        record: what is on record of the loaded model's training; None if nothing is.
        withdrawn: why the loaded model, or the base, does not serve; empty if it does.
    """

    def __init__(self, registry: ModelRegistry, loaders: ModelLoaders) -> None:
        self._registry, self._loaders = registry, loaders
        self._base: Forecaster | None = None
        self._risks: RiskModel | None = None
        self._base_risks: RiskModel | None = None
        self._forecaster: Forecaster | None = None
        self._loaded = ""
        self._damaged = ""
        self._outdated = False
        self.error = ""
        self.withdrawn = ""
        self.record: ModelRecord | None = None

    @property
    def name(self) -> str:
        """Id of the loaded model; empty if there is none."""
        return self._loaded

    @property
    def forecaster(self) -> str:
        """What forecasts come from where a series allows: the id of the loaded model, or ``base``."""
        return self._loaded or ForecasterKind.BASE.value

    def refresh(self, panel: Panel) -> Forecaster | None:
        """Return the current model's forecaster; the last good one if the current one is gone or cannot be loaded.

        The base network's if there never was one and some series of ``panel`` has an hour of history; else None.
        """
        try:
            self._follow()
            self._obey()
        except BadModel as problem:
            if isinstance(problem, ModelNotFound):
                self._damaged = ""
            if str(problem) != self.error:
                self.error = str(problem)
                _log.error("model_unusable", serving=self._loaded or "base or baseline", reason=self.error)
        if self.withdrawn:
            return None
        if self._forecaster is None and self._base is None and _an_hour_old(panel):
            self._base = self._loaders.base()
        return self._forecaster or self._base

    def demote(self, why: str) -> None:
        """Let the baseline serve in place of what does now, on record and over restarts, from the next ``refresh``."""
        self._registry.demote(self.forecaster, why)
        _log.warning("model_withdrawn", model=self.forecaster, reason=why)

    def reload(self, loaders: ModelLoaders) -> None:
        """Read everything again at the next ``refresh``, by ``loaders``; what is loaded serves until that is done."""
        self._loaders, self._base, self._base_risks = loaders, None, None
        self._damaged, self._outdated = "", True

    @property
    def risks(self) -> RiskModel:
        """How likely breaches are, by the loaded model or else by what comes with the package."""
        if self._risks is not None and not self.withdrawn:
            return self._risks
        if self._base_risks is None:
            self._base_risks = self._loaders.base_risks()
        return self._base_risks

    def _follow(self) -> None:
        wanted = self._registry.current()
        if wanted is None:
            return
        self._registry.path(wanted)
        if wanted == self._loaded and not self._outdated:
            self.error = ""
        elif wanted != self._damaged:
            # a damaged one is not read again at every tick
            self._damaged = wanted
            record = self._registry.record(wanted)
            forecaster, risks = self._loaders.model(wanted), self._loaders.model_risks(wanted)
            self._forecaster, self._risks, self.record = forecaster, risks, record
            self._loaded, self._damaged, self._outdated, self.error = wanted, "", False, ""
            _log.info("model_loaded", model=wanted)

    def _obey(self) -> None:
        line = self._registry.demotion(self.forecaster)
        self.withdrawn = "" if line is None else f"withdrawn at {line.at}: {line.why}"


def _an_hour_old(panel: Panel) -> bool:
    return bool(np.isfinite(panel.values[:, : -STEPS_PER_HOUR + 1]).any())


def forecast_panel(panel: Panel, origin: int, model: Forecaster | None, baseline: Forecaster) -> Forecast:
    """Return a forecast of every series, each row naming who made it."""
    made = [model.forecast(panel, origin)] if model is not None else []
    rest = without(panel, {key for part in made for key in part.keys})
    return Forecast.concatenate(origin, [*made, baseline.forecast(rest, origin)])


def without(panel: Panel, keys: Collection[SeriesKey]) -> Panel:
    """Return ``panel`` less the series ``keys``."""
    return panel.select(np.array([row for row, key in enumerate(panel.keys) if key not in keys], dtype=np.intp))
