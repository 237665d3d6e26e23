"""Waiting for a blocking call no longer than one wants to."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from threading import Event, Thread
from time import monotonic
from typing import TypeVar

_Result = TypeVar("_Result")
_GLANCE_SECONDS = 0.1


def run_interruptibly(work: Callable[[], _Result], stopping: Event, seconds: float) -> _Result:
    """Return what ``work`` returns, or raise what it raises, but do not outwait ``stopping`` or ``seconds``.

    Raises:
        InterruptedError: ``stopping`` was set first.
        TimeoutError: the time was up first.
    """
    # A socket that is being read cannot be closed from elsewhere, and name resolution cannot be ended at all:
    # so another thread blocks, and it is left behind. As a daemon it does not hold up the end of the process.
    outcome: Future[_Result] = Future()
    context = copy_context()

    def body() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
            outcome.set_exception(error)

    Thread(target=body, name="interruptible", daemon=True).start()
    limit = monotonic() + seconds
    while not wait([outcome], _GLANCE_SECONDS).done:
        if stopping.is_set():
            raise InterruptedError("stopped while waiting")
        if monotonic() > limit:
            raise TimeoutError(f"no result within {seconds:g} s")
    return outcome.result()
