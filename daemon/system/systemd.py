"""What is told to systemd: the datagrams of sd_notify(3), where there is somebody who listens."""

import os
import socket
import time
from collections.abc import Mapping

import structlog

# a slice of a backfill, the longest single step of a start, is done within this
_EXTENSION_MICROSECONDS = 660_000_000

_log = structlog.get_logger()


class ServiceManager:
    """Sends the service's state to the socket that systemd names; without one, nothing is sent."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Take the socket from ``NOTIFY_SOCKET``."""
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._ready = False

    def ready(self) -> None:
        """Tell that the service does its work."""
        if not self._ready:
            self._ready = True
            self._send("READY=1\nWATCHDOG=1")

    def status(self, text: str) -> None:
        """Tell people in a line what the service is doing."""
        self._send("STATUS=" + text.replace("\n", " "))

    def progress(self) -> None:
        """Tell that the work goes on: the watchdog waits anew; before ``ready``, the start may take longer."""
        self._send("WATCHDOG=1" if self._ready else f"EXTEND_TIMEOUT_USEC={_EXTENSION_MICROSECONDS}")

    def reloading(self) -> None:
        """Tell that the configuration is being read again."""
        if self._ready:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Tell that it has been, whether the new one is followed now or the old one still is."""
        if self._ready:
            self._send("READY=1")

    def stopping(self) -> None:
        """Tell that the service is about to end."""
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
