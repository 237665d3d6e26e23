"""Starting in order, ticking, and stopping in the reverse order."""

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import structlog

from daemon.api.board import Board
from daemon.api.server import HttpServer
from daemon.api.telemetry import PrometheusTelemetry
from daemon.domain.grid import STEP_SECONDS, as_text
from daemon.domain.ports import Notifier, Source, Store
from daemon.pipeline.cycle import Cycle
from daemon.schedule.grid_scheduler import GridScheduler
from daemon.service.memory import return_freed_memory

_TICK_GRACE_SECONDS = 2.5

_log = structlog.get_logger()


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

    def wait(self) -> None:
        """Block until it is asked for."""
        self._event.wait()


class Service:
    """The running program: an HTTP server, a schedule, sources and a store around one cycle."""

    def __init__(self, cycle: Cycle, telemetry: PrometheusTelemetry, board: Board, stopping: Stopping) -> None:
        self._cycle, self._telemetry = cycle, telemetry
        self._board, self._stopping = board, stopping
        self._ticking = threading.Lock()
        self._stack = ExitStack()
        self._start: list[Callable[[], None]] = []
        self._address = ""
        self._last = 0

    def runs(
        self, server: HttpServer, scheduler: GridScheduler, clients: Sequence[Source | Notifier], store: Store
    ) -> None:
        """Take over what is to be started and stopped; what is named last is stopped first."""
        self._stack.callback(store.close)
        self._stack.callback(self._await_tick)
        self._stack.callback(server.stop)
        for client in clients:
            self._stack.callback(client.close)
        self._stack.callback(scheduler.stop)
        self._start = [server.start, scheduler.start]
        self._address = f"port {server.port}"
        self.port = server.port

    def tick(self, at: int) -> None:
        """Run one tick; whatever goes wrong in it is logged and counted, and the next one comes."""
        if self._stopping.requested():
            return
        if self._last and at > self._last + STEP_SECONDS:
            skipped = (at - self._last) // STEP_SECONDS - 1
            self._telemetry.ticks_skipped(skipped)
            _log.warning("ticks_skipped", count=skipped, before=as_text(at), reason="the tick before them ended late")
        self._last = at
        with self._ticking, structlog.contextvars.bound_contextvars(tick=as_text(at)):
            try:
                self._cycle.run(at)
            except Exception as error:  # noqa: BLE001 - the boundary of one scheduled job
                self._telemetry.stage("tick", 0.0, succeeded=False)
                _log.error("tick_failed", at=as_text(at), error=str(error), exc_info=not self._stopping.requested())
            return_freed_memory()

    def start(self) -> None:
        """Start the HTTP server, then the schedule."""
        for begin in self._start:
            begin()
        _log.info("service_started", listening=self._address)

    def stop(self) -> None:
        """Stop everything in the reverse order; a tick under way gets a moment, its transaction is whole or not."""
        self._stopping.request()
        self._stack.close()
        _log.info("service_stopped")

    def run_until_signalled(self) -> None:
        """Start, wait for SIGTERM or SIGINT, stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.request())
        self.start()
        try:
            self._stopping.wait()
        finally:
            self.stop()

    @property
    def board(self) -> Board:
        """Where the newest tick's result is."""
        return self._board

    @property
    def ticking(self) -> bool:
        """Whether a tick is under way."""
        return self._ticking.locked()

    @property
    def stopping(self) -> bool:
        """Whether the service has been asked to stop."""
        return self._stopping.requested()

    def _await_tick(self) -> None:
        if self._ticking.acquire(timeout=_TICK_GRACE_SECONDS):
            self._ticking.release()
        else:
            _log.warning("tick_abandoned", reason=f"it did not end within {_TICK_GRACE_SECONDS} s of the stop")
