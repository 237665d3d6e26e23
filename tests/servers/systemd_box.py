"""A container with a real systemd, for tests of the installation."""

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
    """A booted systemd on a copy of the files of this machine; the repository is read-only at ``REPOSITORY`` in it.

    The context manager starts and stops it. It skips the test if namespaces cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        require_programs("systemctl", "unshare", "nsenter")
        if os.geteuid() != 0:
            pytest.skip("needs root to create the namespaces of a systemd")
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
        """Run a command in the box; with ``check``, raise RuntimeError with its output if it fails."""
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
        """Return the journal of the unit, with the messages of systemd about it."""
        return self.run("journalctl", "--unit", unit, "--output", "cat", "--no-pager").stdout

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of the service for one event."""
        lines = [json.loads(line) for line in self.journal().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]
