"""Connections to SQLite and PostgreSQL, and their errors as texts with a cause and a fix.

A committed transaction survives a crash. One transaction writes at a time, in this process and in others.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from sqlite3 import SQLITE_BUSY, OperationalError
from sqlite3 import Connection as SqliteConnection
from time import monotonic, sleep
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from daemon.core.errors import StoreUnavailable
from daemon.core.file_access import is_present, may, permission_denied

Transaction = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction, for the length of a ``with`` block."""

# set by hand: longer than any transaction of forewarn takes
_LOCK_TIMEOUT_MS = 30_000
_WAL_SIZE_LIMIT_BYTES = 16 * 2**20
# the number of the lock in PostgreSQL is arbitrary; every forewarn uses this one
_ADVISORY_LOCK = int.from_bytes(b"forewarn")

# part of the message of the driver, in lower case, and the fix
_FIXES = (
    (
        "file is not a database",
        "the file is no database or it is corrupt; move it away or set another store.url",
    ),
    ("malformed", "the file is corrupt; move it away with its -wal file and restore a backup or start empty"),
    ("unable to open", "check that the directory exists and that this user can read and write it"),
    ("readonly", "make the file and its directory writable for this user"),
    ("permission denied", "make the file and its directory writable for this user"),
    ("disk is full", "free space on that disk, or shorten the retention"),
    ("no space left", "free space on that disk, or shorten the retention"),
    ("disk i/o error", "check that disk and the kernel log"),
    ("locked", "another process holds the store for too long; check which process has the file open"),
    ("lock timeout", "another process holds the store for too long; check pg_stat_activity"),
    ("password authentication failed", "check the user and the password in the url"),
    ("does not exist", "create it, or correct the url"),
    ("connection", "check that the server runs and that the url names its host and port"),
    ("queuepool limit", "too many requests at once; the usual cause is a slow disk"),
)
_DENIED = ("unable to open", "readonly", "permission denied")


def parse(url: str) -> URL:
    """Return ``url`` as a URL of SQLite or PostgreSQL.

    Raises:
        StoreUnavailable: it is no URL, or its database is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    # an @ in a password must be written as %40; else the rest of the password is parsed as host
    if parsed is None or "@" in (parsed.host or ""):
        raise StoreUnavailable(
            "the url of the store cannot be parsed; write sqlite:////path/to/history.db "
            "or postgresql+psycopg://user:password@host/database, and in the password %40 for @ and %2F for /"
        )
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreUnavailable(f"store {shown(parsed)}: {backend} is not supported; use sqlite or postgresql")
    if parsed.database in (None, "", ":memory:"):
        raise StoreUnavailable(f"store {shown(parsed)}: it names no file; write sqlite:////absolute/path/history.db")
    return parsed.set(drivername="sqlite")


def is_created(url: str) -> bool:
    """Return whether the file of an SQLite store exists; true for PostgreSQL, where only a connection shows it.

    Raises:
        StoreUnavailable: as `parse`.
    """
    parsed = parse(url)
    return parsed.get_backend_name() != "sqlite" or is_present(Path(parsed.database or ""))


def connect(url: URL) -> Engine:
    """Return an engine for ``url``; for SQLite, create the directory and the file if they do not exist.

    Raises:
        StoreUnavailable: the file cannot be created, or the driver is not installed.
    """
    try:
        if url.get_backend_name() == "sqlite":
            return _sqlite(url)
        return _postgresql(url)
    except OSError as error:
        raise unavailable(url, error) from error
    except (ImportError, NoSuchModuleError) as error:
        raise StoreUnavailable(
            f"store {shown(url)}: {error}; install it with: pip install 'forewarn[postgresql]'"
        ) from error


def for_reading(engine: Engine) -> Engine:
    """Return ``engine`` with transactions that see one state of the store from begin to end."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def for_writing(engine: Engine) -> Engine:
    """Return ``engine`` with transactions that exclude every other writer, in this process and in others."""
    writing = engine.execution_options(forewarn_writing=True)
    if engine.dialect.name != "sqlite":
        # a separate statement takes the lock, so the next statement sees everything that the last writer committed
        event.listen(writing, "begin", _lock_postgresql)
    return writing


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never open and close an existing database: that would drop the locks that this process holds on it.
    with suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
    # with isolation_level None the driver starts no transactions; _begin_sqlite does
    engine = create_engine(
        url,
        connect_args={"isolation_level": None, "timeout": _LOCK_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: SqliteConnection, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_LOCK_TIMEOUT_MS}")
    _use_write_ahead_log(connection)
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        f"journal_size_limit = {_WAL_SIZE_LIMIT_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _use_write_ahead_log(connection: SqliteConnection) -> None:
    # while another process changes the mode of the same new file, SQLite reports a lock at once, without the timeout
    deadline = monotonic() + _LOCK_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except OperationalError as error:
            if error.sqlite_errorcode & 0xFF != SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("forewarn_writing", False)
    # a transaction that reads before it writes can fail at once, without waiting for the lock
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10, "options": f"-c lock_timeout={_LOCK_TIMEOUT_MS}"},
    )


def _lock_postgresql(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def unavailable(url: URL, error: BaseException) -> StoreUnavailable:
    """Return ``error`` as a StoreUnavailable that names the store (without password), the cause and the fix."""
    cause = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip()
    cause = " ".join(cause.split())
    if url.get_backend_name() == "sqlite" and any(part in cause.lower() for part in _DENIED):
        path = Path(url.database or "")
        # not by opening the file: closing it again would drop the locks that this process holds on it
        if not (may(path, os.R_OK | os.W_OK) and may(path.parent, os.W_OK | os.X_OK)):
            return StoreUnavailable(f"store {shown(url)}: {permission_denied(path)}")
    fix = next(
        (fix for part, fix in _FIXES if part in cause.lower()), "check store.url and the permissions of its user"
    )
    return StoreUnavailable(f"store {shown(url)}: {cause}; {fix}")


def shown(url: URL) -> str:
    """Return ``url`` without its password and without its query, which can contain a password too."""
    return url.set(query={}).render_as_string(hide_password=True)


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that can resolve conflicts, in the dialect of ``connection``."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def upsert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``rows``; a row with a known key replaces the stored one."""
    listed = list(rows)
    if not listed:
        return
    arrived = insert(connection, table)
    changed = {column.name: arrived.excluded[column.name] for column in table.columns if not column.primary_key}
    connection.execute(arrived.on_conflict_do_update(index_elements=table.primary_key, set_=changed), listed)
