"""Notifications to systemd: the datagrams of sd_notify(3)."""

import os
import socket
import time
from collections.abc import Mapping

import structlog

# upper bound of the longest single step of a start, a slice of a backfill
_EXTENSION_MICROSECONDS = 660_000_000

_log = structlog.get_logger()


class ServiceManager:
    """Sends the state of the service to the socket of systemd; without one, nothing is sent."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the socket from ``NOTIFY_SOCKET``."""
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._ready = False

    def ready(self) -> None:
        """Report that the service is ready, and reset the watchdog."""
        if not self._ready:
            self._ready = True
            self._send("READY=1\nWATCHDOG=1")

    def status(self, text: str) -> None:
        """Report the state in one line of text."""
        self._send("STATUS=" + text.replace("\n", " "))

    def progress(self) -> None:
        """Report progress: reset the watchdog; before ``ready``, extend the timeout of the start."""
        self._send("WATCHDOG=1" if self._ready else f"EXTEND_TIMEOUT_USEC={_EXTENSION_MICROSECONDS}")

    def reloading(self) -> None:
        """Report that a reload starts."""
        if self._ready:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Report that the reload ended, with or without success."""
        if self._ready:
            self._send("READY=1")

    def stopping(self) -> None:
        """Report that the service stops."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(1)
                channel.sendto(state.encode(), self._address)
        except OSError as error:
            _log.warning("service_manager_unreachable", socket=self._address, reason=str(error))
