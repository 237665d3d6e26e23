"""One tick: source → store → window → forecast → alert → notify → verify → expose.

``Cycle.run`` is the sentence of the whole program: it calls one component after the other and passes the results on as
typed records. Alerts are sent before anything is rendered.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import structlog

from daemon.alerting.delivery import Delivery
from daemon.alerting.engine import Alerting, AlertingInput, AlertingResult
from daemon.core.forecast import Forecast, Forecaster, ForecasterKind
from daemon.core.series import (
    GENERIC_PROFILE,
    STEP_SECONDS,
    STEPS_PER_DAY,
    DataState,
    Panel,
    ProfileRules,
    ServerState,
    as_text,
)
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
    """The results of a tick; the API and the metrics show the newest one.

    Attributes:
        at: epoch seconds of the tick's grid time.
        made: time of the service's clock at which it was complete.
        forecast: of every series with a sample in the last day.
        servers: sorted by name.
        sources: the state of each source.
        model: id of the serving model; empty while only the baseline serves.
        model_error: why the current model could not be loaded; empty if it could.
        record: of the serving model's training; None if there is none.
        series_by_forecaster: number of series by kind of forecaster.
        alerting: risks, alerts and the prediction log.
        verification: scores of earlier forecasts.
        demotion: of the model or the base network, so that the baseline serves instead; None while it serves.
    """

    at: int
    made: float
    forecast: Forecast
    servers: tuple[ServerState, ...] = ()
    sources: tuple[SourceState, ...] = ()
    model: str = ""
    model_error: str = ""
    record: ModelRecord | None = None
    series_by_forecaster: Mapping[ForecasterKind, int] = field(default_factory=dict)
    alerting: AlertingResult = field(default_factory=AlertingResult)
    verification: VerificationResult = field(default_factory=VerificationResult)
    demotion: Demotion | None = None


@dataclass(kw_only=True)
class Cycle:
    """The work of one tick.

    Attributes:
        ingest: fetches new samples into the store.
        store: holds the history; the cycle prunes it.
        retention_seconds: age at which a sample is pruned.
        window: the recent history, in memory.
        profiles: rules that give a profile to servers whose source names none.
        model: the serving model.
        baseline: forecasts what the model cannot.
        verification: scores earlier forecasts.
        alerting: advances the alerts.
        delivery: sends them.
        publish: receivers of the snapshot, called in order after the alerts are sent.
        retrain: starts a training if a trigger asks for one.
        telemetry: durations and results of the stages.
        progress: called after each stage; the watchdog of the service.
        now: time of the service's clock.
    """

    ingest: Ingest
    store: Store
    retention_seconds: int
    window: RecentHistory
    profiles: ProfileRules
    model: ServingModel
    baseline: Forecaster
    verification: Verification
    alerting: Alerting
    delivery: Delivery
    publish: Sequence[Callable[[Snapshot], None]]
    retrain: Callable[[Snapshot, Panel], None] = lambda snapshot, panel: None
    telemetry: Telemetry
    progress: Callable[[], None] = lambda: None
    now: Callable[[], float]
    _pruned: int = field(default=0, init=False)

    def run(self, at: int) -> Snapshot:
        """Fetch new samples up to grid time ``at``, forecast, send alerts, and publish the results."""
        started = time.perf_counter()
        sources = self.ingest.run(at)
        panel = self.profiles.completed(_seen_within_a_day(self.window.until(at), at))
        with self._stage("forecast"):
            forecast = forecast_panel(panel, at, self.model.refresh(panel), self.baseline)
        servers = _server_states(panel, at)
        with self._stage("alert"):
            alerting = self._alert(at, forecast, panel, servers, sources)
        with self._stage("notify"):
            self.delivery.run(self.alerting.firing())
        # alerts do not wait for it; a demotion acts from the next tick
        with self._stage("verify"):
            verification = self._verify(at, forecast, panel)
        snapshot = Snapshot(
            at=at,
            made=self.now(),
            forecast=forecast,
            servers=servers,
            sources=sources,
            model=self.model.name,
            model_error=self.model.error,
            record=self.model.record,
            series_by_forecaster={kind: forecast.kinds.count(kind) for kind in ForecasterKind},
            alerting=alerting,
            verification=verification,
            demotion=self.model.demotion,
        )
        with self._stage("expose"):
            for publish in self.publish:
                publish(snapshot)
        self._prune(at)
        with self._stage("retrain"):
            self.retrain(snapshot, panel)
        _log.info(
            "tick_done",
            at=as_text(at),
            seconds=round(time.perf_counter() - started, 3),
            servers=len(snapshot.servers),
            series=len(forecast.keys),
            forecast_by={kind.value: count for kind, count in snapshot.series_by_forecaster.items() if count},
            alerts=alerting.firing,
            failed_sources=[source.name for source in sources if not source.healthy],
        )
        return snapshot

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        with timed(self.telemetry, name):
            yield
        self.progress()

    def _alert(
        self,
        at: int,
        forecast: Forecast,
        panel: Panel,
        servers: tuple[ServerState, ...],
        sources: tuple[SourceState, ...],
    ) -> AlertingResult:
        healthy = all(source.healthy for source in sources)
        record = self.model.record
        level = record.info.level.value if record is not None else ""
        tick = AlertingInput(
            at=at, forecast=forecast, panel=panel, servers=servers, healthy=healthy, model=self.model.name, level=level
        )
        return self.alerting.run(tick, self.model.risk_model)

    def _verify(self, at: int, forecast: Forecast, panel: Panel) -> VerificationResult:
        verification = self.verification.run(at, forecast, panel, self.model.forecaster)
        if verification.fallback_reason is not None and self.model.demotion is None:
            self.model.demote(verification.fallback_reason)
        return verification

    def _prune(self, at: int) -> None:
        if at - self._pruned < _PRUNE_EVERY_SECONDS:
            return
        self._pruned = at
        with self._stage("prune"):
            removed = self.store.prune(at - self.retention_seconds)
        if removed:
            _log.info("history_pruned", grid_times=removed, before=as_text(at - self.retention_seconds))


def _seen_within_a_day(panel: Panel, at: int) -> Panel:
    day = panel.between(at - (STEPS_PER_DAY - 1) * STEP_SECONDS, at).values
    return panel.select(np.flatnonzero(np.isfinite(day).any(axis=1)))


def _server_states(panel: Panel, at: int) -> tuple[ServerState, ...]:
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
        state = DataState.KNOWN
        if at - last > _STALE_STEPS * STEP_SECONDS:
            state = DataState.STALE
        elif last - first < (STEPS_PER_DAY - 1) * STEP_SECONDS:
            state = DataState.COLD
        profile = panel.profiles.get(server, GENERIC_PROFILE)
        metrics = tuple(sorted(panel.keys[row].metric for row in own))
        states.append(ServerState(name=server, profile=profile, state=state, metrics=metrics, newest=last))
    return tuple(states)
