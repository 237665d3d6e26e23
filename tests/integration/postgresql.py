"""A throw-away PostgreSQL server for tests, from the binaries of the system.

A test module imports the fixture: ``from tests.integration.postgresql import postgresql_server``.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest


class PostgresqlServer:
    """A server on a unix socket in its own directory, without durable storage."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="forewarn-postgresql-", dir="/tmp"))
        self._numbers = count(1)
        # PostgreSQL refuses to run as root, as CI containers do.
        self._as_owner: tuple[str, ...] = ()
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            self._as_owner = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
        data, log = self._folder / "data", self._folder / "log"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-D", data, "-l", log, "-w", "-t", "60", "-o", options, "start")

    def new_database(self) -> str:
        """Create an empty database and return its url."""
        name = f"forewarn_{next(self._numbers)}"
        where = f"host={self._folder} user=postgres dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://postgres@/{name}?host={self._folder}"

    def stop(self) -> None:
        """Stop the server and delete its data; a second call does nothing."""
        if self._folder.exists():
            self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "stop")
            shutil.rmtree(self._folder)

    def _run(self, binary: str, *arguments: object) -> None:
        command = [*self._as_owner, str(self._binaries / binary), *map(str, arguments)]
        # The server inherits the output; a pipe would never see its end.
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@cache
def _server(binaries: Path) -> PostgresqlServer:
    # Each module that imports the fixture has its own copy; all share one server.
    return PostgresqlServer(binaries)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A running server; skips where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("needs the PostgreSQL server binaries: apt-get install postgresql")
    server = _server(found[-1].parent if found else Path(str(on_path)).parent)
    yield server
    server.stop()
