"""Starting in order, ticking, and stopping in the reverse order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import structlog

from daemon.api.push import PushEndpoint
from daemon.api.server import HttpServer
from daemon.api.snapshot_cache import SnapshotCache
from daemon.api.telemetry import PrometheusTelemetry
from daemon.config.loading import load_config
from daemon.config.schema import Config
from daemon.core.errors import ConfigError, ForewarnError
from daemon.core.series import STEP_SECONDS, as_text
from daemon.ingest.ports import Store
from daemon.models.retraining import Retraining
from daemon.pipeline.cycle import Cycle, Snapshot
from daemon.system.process import return_freed_memory
from daemon.system.scheduler import GridScheduler
from daemon.system.systemd import ServiceManager

_FIXED = (
    "data_dir",
    "store.url",
    "clock",
    "http.listen",
    "http.bearer_token_file",
    "http.web_config_file",
    "http.allow_unauthenticated",
    "http.requests_per_minute",
    "http.failed_logins_per_minute",
)

_log = structlog.get_logger()


class ConfigReload:
    """Reads the configuration file again, and lets the service follow it if all of it can be used."""

    def __init__(
        self,
        path: Path,
        config: Config,
        reconfigure: Callable[[Config], None],
        began: Callable[[], None],
        ended: Callable[[bool], None],
    ) -> None:
        """Prepare reloads.

        Args:
            path: the file.
            config: what was read from it at the start.
            reconfigure: changes the running service; raises and changes nothing where it cannot.
            began: called before each reload.
            ended: called after it with whether it succeeded.
        """
        self._path, self._config = path, config
        self._follow, self._began, self._ended = reconfigure, began, ended
        self._reloading = threading.Lock()

    def run(self) -> None:
        """Follow the file as it is now.

        Raises:
            ForewarnError: it cannot be used; the service goes on by the configuration that it has.
        """
        succeeded = False
        with self._reloading:
            self._began()
            try:
                config = load_config(self._path)
                fixed = [
                    f"{self._path}: {key}: cannot change while running; restart the service"
                    for key in _changed(self._config, config)
                ]
                if fixed:
                    raise ConfigError(fixed)
                self._follow(config)
                self._config, succeeded = config, True
                _log.info("config_reloaded", file=str(self._path))
            except ForewarnError as error:
                _log.error("config_refused", file=str(self._path), reason=str(error))
                raise
            finally:
                self._ended(succeeded)


def _changed(before: Config, after: Config) -> Iterator[str]:
    """Yield the keys of what is built once and cannot be exchanged under a running service."""
    for key in _FIXED:
        old, new = before, after
        for name in key.split("."):
            old, new = getattr(old, name), getattr(new, name)
        if old != new:
            yield key


_TICK_GRACE_SECONDS = 2.5


class Stopping:
    """Whether the service has been asked to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Ask for it."""
        self._event.set()

    def requested(self) -> bool:
        """Return whether it has been asked for."""
        return self._event.is_set()


@dataclass(frozen=True, kw_only=True)
class ConfiguredPipeline:
    """What a configuration makes of the service; a reload exchanges it as one.

    Attributes:
        cycle: the work of a tick.
        push: takes pushed metrics; None where that is not configured.
        delay_seconds: from a grid time to its tick.
        apply: lets what outlives a reload follow the same configuration.
        close: ends the clients of sources and targets.
    """

    cycle: Cycle
    push: PushEndpoint | None
    delay_seconds: float
    apply: Callable[[], None]
    close: Callable[[], None]


class Service:
    """The running program: an HTTP server, a schedule, sources and a store around one cycle."""

    def __init__(
        self,
        work: ConfiguredPipeline,
        telemetry: PrometheusTelemetry,
        snapshots: SnapshotCache,
        stopping: Stopping,
        manager: ServiceManager,
    ) -> None:
        self._work, self._telemetry = work, telemetry
        self._snapshots, self._stopping, self._manager = snapshots, stopping, manager
        self._ticking = threading.Lock()
        self._stack = ExitStack()
        self._last = 0
        work.apply()

    def runs(
        self,
        server: HttpServer,
        scheduler: GridScheduler,
        store: Store,
        reload: ConfigReload,
        retraining: Retraining,
    ) -> None:
        """Take over what is to be started and stopped; what is named last is stopped first."""
        self._stack.callback(store.close)
        self._stack.callback(self._await_tick)
        self._stack.callback(server.stop)
        self._stack.callback(self._close_work)
        self._stack.callback(retraining.close)
        self._stack.callback(scheduler.stop)
        self._server, self._scheduler, self._reload = server, scheduler, reload
        self.port = server.port

    def tick(self, at: int) -> None:
        """Run one tick; whatever goes wrong in it is logged and counted, and the next one comes."""
        with self._ticking, structlog.contextvars.bound_contextvars(tick=as_text(at)):
            if self._stopping.requested() or self._had(at):
                return
            self._note_skipped(at)
            try:
                self._tell(self._work.cycle.run(at))
            except Exception as error:  # noqa: BLE001 - the boundary of one scheduled job
                self._telemetry.stage("tick", 0.0, succeeded=False)
                _log.error("tick_failed", at=as_text(at), error=str(error), exc_info=not self._stopping.requested())
                self._manager.status(f"the tick of {as_text(at)} failed: {error}")
            self._manager.progress()
            return_freed_memory()

    def _had(self, at: int) -> bool:
        """Return whether a tick has been there: a reload that changes the delay asks for the newest one again.

        A clock that was set back by more than that asks for what is to be done anew.
        """
        return self._last - STEP_SECONDS <= at <= self._last

    def _note_skipped(self, at: int) -> None:
        if self._last and at > self._last + STEP_SECONDS:
            skipped = (at - self._last) // STEP_SECONDS - 1
            self._telemetry.ticks_skipped(skipped)
            _log.warning("ticks_skipped", count=skipped, before=as_text(at), reason="the tick before them ended late")
        self._last = at

    def _tell(self, snapshot: Snapshot) -> None:
        problems = self._snapshots.problems()
        if not problems:
            self._manager.ready()
        firing = snapshot.alerting.firing
        self._manager.status(
            "not ready: " + "; ".join(problems)
            if problems
            else f"forecast {len(snapshot.forecast.keys)} series of {len(snapshot.servers)} servers from "
            f"{as_text(snapshot.at)}; {firing} alerts fire"
        )

    def reconfigure(self, work: ConfiguredPipeline) -> None:
        """Go on by ``work`` from the next tick, and close what it replaces; a tick under way ends first."""
        with self._ticking:
            if self._stopping.requested():
                work.close()
                return
            before, self._work = self._work, work
            work.apply()
        self._scheduler.reconfigure(work.delay_seconds)
        before.close()

    def start(self) -> None:
        """Start the HTTP server, then the schedule."""
        self._manager.progress()
        self._manager.status("waiting for the first forecast")
        self._server.start()
        self._scheduler.start()
        _log.info("service_started", listening=f"port {self.port}")

    def stop(self) -> None:
        """Stop everything in the reverse order; a tick under way gets a moment, its transaction is whole or not."""
        self._stopping.request()
        self._manager.stopping()
        self._stack.close()
        _log.info("service_stopped")

    def run_until_signalled(self) -> None:
        """Start, reload at SIGHUP, and stop at SIGTERM or SIGINT."""
        # a queue that a signal's handler may write to while the same thread waits at it, which an Event is not
        signals: SimpleQueue[int] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: signals.put(number))
        self.start()
        try:
            while signals.get() == signal.SIGHUP:
                # aside, as it waits for a tick under way, and a stop must not
                threading.Thread(target=self._reload_aside, name="reload", daemon=True).start()
        finally:
            self.stop()

    def _reload_aside(self) -> None:
        with suppress(ForewarnError):
            self._reload.run()

    @property
    def push(self) -> PushEndpoint | None:
        """Takes pushed metrics; None where that is not configured."""
        return self._work.push

    @property
    def snapshots(self) -> SnapshotCache:
        """Where the newest tick's result is."""
        return self._snapshots

    @property
    def ticking(self) -> bool:
        """Whether a tick is under way."""
        return self._ticking.locked()

    @property
    def stopping(self) -> bool:
        """Whether the service has been asked to stop."""
        return self._stopping.requested()

    def _close_work(self) -> None:
        # not the one at the start: a reload may have exchanged it
        self._work.close()

    def _await_tick(self) -> None:
        if self._ticking.acquire(timeout=_TICK_GRACE_SECONDS):
            self._ticking.release()
        else:
            _log.warning("tick_abandoned", reason=f"it did not end within {_TICK_GRACE_SECONDS} s of the stop")
