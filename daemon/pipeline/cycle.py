"""One tick: source → store → window → forecast → verify → alert → expose."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import structlog

from daemon.alerting.delivery import Delivery
from daemon.alerting.engine import Alerting, AlertingResult, Tick
from daemon.alerting.state import Phase
from daemon.core.forecast import Forecast, Forecaster, ForecastSource
from daemon.core.series import GENERIC_PROFILE, STEP_SECONDS, STEPS_PER_DAY, Panel, as_text
from daemon.core.server import ProfileRules, ServerState
from daemon.core.telemetry import Telemetry, timed
from daemon.forecasting.verification import Verification, VerificationResult
from daemon.ingest.ingest import Ingest, SourceState
from daemon.ingest.ports import Store
from daemon.ingest.window import RecentHistory
from daemon.models.record import ModelRecord
from daemon.models.registry import Demotion
from daemon.models.serving import ServingModel, forecast_panel

_STALE_STEPS = 3
_PRUNE_EVERY_SECONDS = 3_600

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that a tick found out; the edges show the newest one.

    Attributes:
        at: epoch seconds of the tick's grid time.
        made: time of the service's clock when it was done.
        forecast: of every series with a sample in the last day.
        servers: sorted by name.
        sources: how each source fared.
        model: id of the serving model; empty while the baseline serves alone.
        model_error: why the current model could not be loaded; empty if it could.
        record: what is on record of the serving model's training; None if nothing is.
        rows_by_source: how many series each source of forecasts made.
        alerting: risks, alerts and the ledger of predictions.
        verification: what earlier forecasts came to.
        demotion: of the model or the base network, instead of which the baseline serves; None while it serves.
    """

    at: int
    made: float
    forecast: Forecast
    servers: tuple[ServerState, ...] = ()
    sources: tuple[SourceState, ...] = ()
    model: str = ""
    model_error: str = ""
    record: ModelRecord | None = None
    rows_by_source: Mapping[ForecastSource, int] = field(default_factory=dict)
    alerting: AlertingResult = field(default_factory=AlertingResult)
    verification: VerificationResult = field(default_factory=VerificationResult)
    demotion: Demotion | None = None


class Cycle:
    """The work of one tick."""

    def __init__(
        self,
        *,
        ingest: Ingest,
        store: Store,
        window: RecentHistory,
        model: ServingModel,
        baseline: Forecaster,
        verification: Verification,
        alerting: Alerting,
        delivery: Delivery,
        profiles: ProfileRules,
        retention_seconds: int,
        telemetry: Telemetry,
        now: Callable[[], float],
        publish: Sequence[Callable[[Snapshot], None]],
        progress: Callable[[], None] = lambda: None,
        retrain: Callable[[Snapshot, Panel], None] = lambda snapshot, panel: None,
    ) -> None:
        self._ingest, self._store, self._window = ingest, store, window
        self._model, self._baseline, self._profiles = model, baseline, profiles
        self._verification, self._alerting, self._delivery = verification, alerting, delivery
        self._retention_seconds, self._telemetry = retention_seconds, telemetry
        self._now, self._publish, self._progress, self._retrain = now, publish, progress, retrain
        self._pruned = 0

    def run(self, at: int) -> Snapshot:
        """Take in what is new up to grid time ``at``, forecast from there, and publish the result."""
        started = time.perf_counter()
        sources = self._ingest.run(at)
        panel = self._profiles.completed(_seen_within_a_day(self._window.until(at), at))
        with self._stage("forecast"):
            forecast = forecast_panel(panel, at, self._model.refresh(panel), self._baseline)
        servers = self._server_states(panel, at)
        with self._stage("verify"):
            verification = self._verify(at, forecast, panel)
        with self._stage("alert"):
            alerting = self._alert(at, forecast, panel, servers, sources)
        snapshot = Snapshot(
            at=at,
            made=self._now(),
            forecast=forecast,
            servers=servers,
            sources=sources,
            model=self._model.name,
            model_error=self._model.error,
            record=self._model.record,
            rows_by_source={source: forecast.sources.count(source) for source in ForecastSource},
            alerting=alerting,
            verification=verification,
            demotion=self._model.demotion,
        )
        with self._stage("expose"):
            for publish in self._publish:
                publish(snapshot)
        with self._stage("notify"):
            self._delivery.run(self._alerting.firing(at))
        self._prune(at)
        with self._stage("retrain"):
            self._retrain(snapshot, panel)
        _log.info(
            "tick_done",
            at=as_text(at),
            seconds=round(time.perf_counter() - started, 3),
            servers=len(snapshot.servers),
            series=len(forecast.keys),
            forecast_by={source.value: rows for source, rows in snapshot.rows_by_source.items() if rows},
            alerts=sum(alert.state.phase is Phase.FIRING for alert in alerting.alerts.values()),
            failed_sources=[source.name for source in sources if not source.healthy],
        )
        return snapshot

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        with timed(self._telemetry, name):
            yield
        self._progress()

    def _verify(self, at: int, forecast: Forecast, panel: Panel) -> VerificationResult:
        verification = self._verification.run(at, forecast, panel, self._model.forecaster)
        if verification.fallback and self._model.demotion is None:
            self._model.demote(verification.fallback)
        return verification

    def _alert(
        self,
        at: int,
        forecast: Forecast,
        panel: Panel,
        servers: tuple[ServerState, ...],
        sources: tuple[SourceState, ...],
    ) -> AlertingResult:
        healthy = all(source.healthy for source in sources)
        record = self._model.record
        level = record.info.level.value if record is not None else ""
        tick = Tick(
            at=at, forecast=forecast, panel=panel, servers=servers, healthy=healthy, model=self._model.name, level=level
        )
        return self._alerting.run(tick, self._model.risks)

    def _server_states(self, panel: Panel, at: int) -> tuple[ServerState, ...]:
        seen = np.isfinite(panel.between(panel.start, at).values)
        newest = panel.start + (seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)) * STEP_SECONDS
        oldest = panel.start + seen.argmax(axis=1) * STEP_SECONDS
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(panel.keys):
            rows.setdefault(key.server, []).append(row)
        states = []
        for server in sorted(rows):
            own = rows[server]
            last, first = int(newest[own].max()), int(oldest[own].min())
            state = "known"
            if at - last > _STALE_STEPS * STEP_SECONDS:
                state = "stale"
            elif last - first < (STEPS_PER_DAY - 1) * STEP_SECONDS:
                state = "cold"
            profile = panel.profiles.get(server, GENERIC_PROFILE)
            metrics = tuple(sorted(panel.keys[row].metric for row in own))
            states.append(ServerState(name=server, profile=profile, state=state, metrics=metrics, newest=last))
        return tuple(states)

    def _prune(self, at: int) -> None:
        if at - self._pruned < _PRUNE_EVERY_SECONDS:
            return
        self._pruned = at
        with self._stage("prune"):
            removed = self._store.prune(at - self._retention_seconds)
        if removed:
            _log.info("history_pruned", grid_times=removed, before=as_text(at - self._retention_seconds))


def _seen_within_a_day(panel: Panel, at: int) -> Panel:
    day = panel.between(at - (STEPS_PER_DAY - 1) * STEP_SECONDS, at).values
    return panel.select(np.flatnonzero(np.isfinite(day).any(axis=1)))
