"""The life of the service: it starts in order, ticks, reloads its configuration, and stops in the reverse order."""

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import structlog

from daemon.api.push import PushEndpoint
from daemon.api.server import HttpServer
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.loading import load_config
from daemon.config.schema import Config, ScheduleConfig
from daemon.core.clock import Clock
from daemon.core.errors import ConfigError, ForewarnError
from daemon.core.series import STEP_SECONDS, as_text
from daemon.ingest.window import RecentHistory
from daemon.models.retraining import Retraining
from daemon.models.serving import ServingModel
from daemon.pipeline.cycle import Cycle, Snapshot
from daemon.simulation.scenario import Scenarios
from daemon.store.history import SqlStore
from daemon.system.process import return_freed_memory
from daemon.system.scheduler import GridScheduler
from daemon.system.systemd import ServiceManager

_TICK_GRACE_SECONDS = 2.5

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Components:
    """The parts of the service that are built once and survive every reload.

    Attributes:
        stopping: set once the service has been asked to stop.
    """

    store: SqlStore
    clock: Clock
    telemetry: PrometheusTelemetry
    snapshot_cache: SnapshotCache
    window: RecentHistory
    model: ServingModel
    service_manager: ServiceManager
    retraining: Retraining
    scenarios: Scenarios
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, kw_only=True)
class ConfiguredPipeline:
    """The parts of the service that follow from its configuration; a reload replaces all of them together.

    Attributes:
        cycle: the work of a tick.
        push: takes pushed metrics; None where no source of type push is configured.
        schedule: when a tick runs.
        apply: applies the same configuration to the components.
        close: closes the clients of sources and Alertmanagers.
    """

    cycle: Cycle
    push: PushEndpoint | None
    schedule: ScheduleConfig
    apply: Callable[[], None]
    close: Callable[[], None]


class ConfigReload:
    """Reads the configuration file again and applies it if all of it is valid."""

    def __init__(
        self,
        path: Path,
        config: Config,
        *,
        reconfigure: Callable[[Config], None],
        started: Callable[[], None],
        ended: Callable[[bool], None],
    ) -> None:
        """Prepare reloads.

        Args:
            path: the configuration file.
            config: its content at the start of the service.
            reconfigure: changes the running service, or raises and changes nothing.
            started: called before each reload.
            ended: called after each reload with whether it succeeded.
        """
        self._path, self._config = path, config
        self._reconfigure, self._started, self._ended = reconfigure, started, ended
        self._reloading = threading.Lock()

    def run(self) -> None:
        """Apply the present content of the file.

        Raises:
            ForewarnError: the file is not valid, or changes a key that needs a restart; the configuration stays.
        """
        succeeded = False
        with self._reloading:
            self._started()
            try:
                config = load_config(self._path)
                changed = [
                    f"{self._path}: {key}: cannot change while running; restart the service"
                    for key in Config.restart_keys()
                    if self._config.value_at(key) != config.value_at(key)
                ]
                if changed:
                    raise ConfigError(changed)
                self._reconfigure(config)
                self._config, succeeded = config, True
                _log.info("config_reloaded", file=str(self._path))
            except ForewarnError as error:
                _log.error("config_refused", file=str(self._path), reason=str(error))
                raise
            finally:
                self._ended(succeeded)


class Service:
    """The running program: an HTTP server and a schedule around one cycle."""

    def __init__(self, components: Components, pipeline: ConfiguredPipeline) -> None:
        self._components, self._pipeline = components, pipeline
        self._stopping, self._manager = components.stopping, components.service_manager
        self._ticking = threading.Lock()
        self._stack = ExitStack()
        self._last = 0
        pipeline.apply()

    def attach(self, *, server: HttpServer, scheduler: GridScheduler, reload: ConfigReload) -> None:
        """Take the parts that call the service, and prepare the stop; the last callback runs first."""
        self._server, self._scheduler, self._reload = server, scheduler, reload
        self._stack.callback(self._components.store.close)
        self._stack.callback(self._await_tick)
        self._stack.callback(server.stop)
        self._stack.callback(self._close_pipeline)
        self._stack.callback(self._components.retraining.close)
        self._stack.callback(scheduler.stop)

    @property
    def port(self) -> int:
        """Port of the HTTP server."""
        return self._server.port

    @property
    def push(self) -> PushEndpoint | None:
        """Takes pushed metrics; None where no source of type push is configured."""
        return self._pipeline.push

    @property
    def snapshot_cache(self) -> SnapshotCache:
        """Holds the result of the newest tick."""
        return self._components.snapshot_cache

    @property
    def ticking(self) -> bool:
        """Whether a tick is running."""
        return self._ticking.locked()

    @property
    def stopping(self) -> bool:
        """Whether the service has been asked to stop."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the HTTP server, then the schedule."""
        self._manager.progress()
        self._manager.status("waiting for the first forecast")
        self._server.start()
        self._scheduler.start()
        _log.info("service_started", listening=f"port {self.port}")

    def run_until_signalled(self) -> None:
        """Start, reload at SIGHUP, and stop at SIGTERM or SIGINT."""
        # a handler may put into this queue while the same thread waits for it, which an Event does not support
        signals: SimpleQueue[int] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: signals.put(number))
        self.start()
        try:
            while signals.get() == signal.SIGHUP:
                # in another thread, because a reload waits for a running tick and a stop must not
                threading.Thread(target=self._reload_and_log, name="reload", daemon=True).start()
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop everything in the reverse order; a running tick gets a moment, and its transaction is atomic."""
        self._stopping.set()
        self._manager.stopping()
        self._stack.close()
        _log.info("service_stopped")

    def tick(self, at: int) -> None:
        """Run the tick of grid time ``at``; an error is logged and counted, and the next tick runs."""
        with self._ticking, structlog.contextvars.bound_contextvars(tick=as_text(at)):
            if self._stopping.is_set() or self._is_repeated(at):
                return
            self._note_skipped(at)
            try:
                self._report(self._pipeline.cycle.run(at))
            except Exception as error:  # noqa: BLE001 - the boundary of one scheduled job
                self._components.telemetry.stage("tick", 0.0, succeeded=False)
                _log.error("tick_failed", at=as_text(at), error=str(error), exc_info=not self._stopping.is_set())
                self._manager.status(f"the tick of {as_text(at)} failed: {error}")
            self._manager.progress()
            return_freed_memory()

    def reconfigure(self, pipeline: ConfiguredPipeline) -> None:
        """Use ``pipeline`` from the next tick and close the one before it; a running tick ends first."""
        with self._ticking:
            if self._stopping.is_set():
                pipeline.close()
                return
            before, self._pipeline = self._pipeline, pipeline
            pipeline.apply()
        self._scheduler.reconfigure(pipeline.schedule)
        before.close()

    def reload_ended(self, succeeded: bool) -> None:
        """Report the result of a reload in the metrics and to systemd."""
        self._components.telemetry.reloaded(succeeded)
        self._manager.reloaded()

    def _is_repeated(self, at: int) -> bool:
        """Return whether the tick of ``at`` has run: a reload that changes the delay asks for the newest one again.

        A clock that was set back by more than a step asks for older grid times, which then run again.
        """
        return self._last - STEP_SECONDS <= at <= self._last

    def _note_skipped(self, at: int) -> None:
        if self._last and at > self._last + STEP_SECONDS:
            skipped = (at - self._last) // STEP_SECONDS - 1
            self._components.telemetry.ticks_skipped(skipped)
            _log.warning("ticks_skipped", count=skipped, before=as_text(at), reason="the tick before them ended late")
        self._last = at

    def _report(self, snapshot: Snapshot) -> None:
        problems = self._components.snapshot_cache.problems()
        if problems:
            self._manager.status("not ready: " + "; ".join(problems))
            return
        self._manager.ready()
        firing = snapshot.alerting.firing
        self._manager.status(
            f"forecast {len(snapshot.forecast.keys)} series of {len(snapshot.servers)} servers from "
            f"{as_text(snapshot.at)}; {firing} alerts are firing"
        )

    def _reload_and_log(self) -> None:
        # the reload has logged the error, and the running configuration stays
        with suppress(ForewarnError):
            self._reload.run()

    def _close_pipeline(self) -> None:
        # the present one, as a reload may have replaced the first one
        self._pipeline.close()

    def _await_tick(self) -> None:
        if self._ticking.acquire(timeout=_TICK_GRACE_SECONDS):
            self._ticking.release()
        else:
            _log.warning("tick_abandoned", reason=f"it did not end within {_TICK_GRACE_SECONDS} s of the stop")
