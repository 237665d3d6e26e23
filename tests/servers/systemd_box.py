"""A machine within the machine, with a real systemd, to install into and to break."""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.servers.processes import require_programs

_SCRIPT = Path(__file__).with_name("systemd_box.sh")
_REPOSITORY = Path(__file__).parents[2]
REPOSITORY = Path("/mnt/forewarn")


class SystemdBox:
    """A booted systemd on a copy of this machine's files; the repository is at ``REPOSITORY`` in it, read-only.

    A context manager that ends it. The test is skipped where namespaces cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        require_programs("systemctl", "unshare", "nsenter")
        if os.geteuid() != 0:
            pytest.skip("needs root, to make namespaces for a systemd")
        self._folder = folder

    def __enter__(self) -> Self:
        started = subprocess.run(
            ["bash", _SCRIPT, "start", self._folder, _REPOSITORY], capture_output=True, text=True, check=False
        )
        if started.returncode:
            self.__exit__(None, None, None)
            raise RuntimeError(f"the box did not boot\n{started.stdout}{started.stderr}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["bash", _SCRIPT, "stop", self._folder], capture_output=True, check=False)

    def run(self, *command: str | Path, seconds: float = 300, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the box; raise with what it wrote if it fails and ``check`` is set."""
        done = subprocess.run(
            ["bash", _SCRIPT, "run", self._folder, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def popen(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a command in the box."""
        arguments = ["bash", _SCRIPT, "run", self._folder, *command]
        return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def shown(self, name: str, unit: str = "forewarn") -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        subprocess.run(
            ["bash", _SCRIPT, "run", self._folder, "sh", "-c", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "sh", path],
            input=text,
            text=True,
            check=True,
        )

    def journal(self, unit: str = "forewarn") -> str:
        """Return what the unit, and systemd about it, wrote."""
        return self.run("journalctl", "--unit", unit, "--output", "cat", "--no-pager").stdout

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the service's own log lines of one event."""
        lines = [json.loads(line) for line in self.journal().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]
