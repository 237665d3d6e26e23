"""Real servers as child processes: start, wait until ready, and always stop."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

# below the ephemeral ports of the kernel; parallel test runs start at different ports
_PORTS = count(10_000 + os.getpid() * 401 % 20_000)


def free_port() -> int:
    """Return a free port of the loopback interface, a different one at each call."""
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the count of ports is endless")


def require_programs(*names: str) -> None:
    """Skip the test, with the reason, if a program is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, not installed on this machine")


def wait_until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until ``done()`` is true; raise ``TimeoutError`` with the text ``what`` after ``seconds``."""
    limit = time.monotonic() + seconds
    while not done():
        if time.monotonic() > limit:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Return whether ``url`` answers; a request for credentials or an unknown certificate is an answer too."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except urllib.error.URLError as error:
        return "CERTIFICATE_VERIFY_FAILED" in str(error.reason)
    except OSError:
        return False


def accepts(port: int) -> bool:
    """Return whether a process listens on ``port`` of the loopback interface."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


class Process:
    """One child process that writes its output to a file."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        self._command = [str(part) for part in command]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it has started and not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Process id, while it runs."""
        assert self._child is not None
        return self._child.pid

    def start(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Start it and wait until ``ready()``; raise RuntimeError with the end of its output after ``seconds``."""
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: not self.running or ready(), seconds, f"{self._command[0]} ready")
        except TimeoutError as error:
            self.stop()
            raise RuntimeError(f"{error}\n{self._tail()}") from error
        if not self.running:
            raise RuntimeError(f"{self._command[0]} exited at once\n{self._tail()}")

    def stop(self, seconds: float = 10) -> int | None:
        """Send SIGTERM, and SIGKILL after ``seconds``; return the exit status, None if it was killed."""
        if self._child is None:
            return None
        self._child.terminate()
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        finally:
            self._child = None

    def kill(self) -> None:
        """Kill it, like a power failure."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
