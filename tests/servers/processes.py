"""Real servers as child processes: start, wait until ready, and always stop."""

import os
import shutil
import signal
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
_SHORTEST_DEADLINE_SECONDS = 120.0
STOP_DEADLINE_SECONDS = 60.0
"""After this time a process that does not stop is taken as one that hangs."""


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
    """Return as soon as ``done()`` is true.

    Args:
        done: the condition, checked again and again.
        seconds: time that it takes at most on an idle machine. The deadline is never under two minutes, because a
            loaded machine is not a failure.
        what: the name of the condition.

    Raises:
        TimeoutError: the condition is false at the deadline; its text has ``what``.
    """
    seconds = max(seconds, _SHORTEST_DEADLINE_SECONDS)
    limit = time.monotonic() + seconds
    while not done():
        if time.monotonic() > limit:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def handles_signals(pid: int) -> bool:
    """Return whether the process has a handler for SIGTERM, which Python itself does not install."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that the process has used: how far it is, on a machine of any load."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers(url: str) -> bool:
    """Return whether ``url`` answers; a request for credentials or an unknown certificate is an answer too."""
    try:
        with urllib.request.urlopen(url, timeout=10):
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
        with socket.create_connection(("127.0.0.1", port), timeout=10):
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

    def stop(self, seconds: float = STOP_DEADLINE_SECONDS) -> int | None:
        """Ask it to end, and kill it if it has not after ``seconds``; return its exit status, None if it was killed."""
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
