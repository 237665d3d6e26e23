"""Connections to SQLite and to PostgreSQL, set up so that a committed transaction survives a crash."""

import os
from contextlib import suppress
from pathlib import Path
from sqlite3 import SQLITE_BUSY, OperationalError
from sqlite3 import Connection as SqliteConnection
from time import monotonic, sleep

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from daemon.core.errors import StoreUnavailable
from daemon.core.file_access import is_present, may, permission_denied

# Part of the driver's message, in lower case, and what to do about it.
_FIXES = (
    (
        "file is not a database",
        "the file is something else or damaged; move it away or name another in the url",
    ),
    ("malformed", "the file is damaged; move it away with its -wal and restore a backup or start empty"),
    ("unable to open", "check that the directory exists and that this user may read and write it"),
    ("readonly", "make the file and its directory writable for this user"),
    ("permission denied", "make the file and its directory writable for this user"),
    ("disk is full", "free space on that disk, or shorten the retention"),
    ("no space left", "free space on that disk, or shorten the retention"),
    ("disk i/o error", "check that disk and the kernel's log"),
    ("locked", "another process holds the store for too long; see who has the file open"),
    ("lock timeout", "another process holds the store for too long; see pg_stat_activity"),
    ("password authentication failed", "check the user and the password in the url"),
    ("does not exist", "create it, or correct the url"),
    ("connection", "check that the server runs and that the url names its host and port"),
    ("queuepool limit", "too many requests at once; a slow disk is the usual cause"),
)


_DENIED = ("unable to open", "readonly", "permission denied")


def unavailable(url: URL, error: BaseException) -> StoreUnavailable:
    """Return ``error`` as a StoreUnavailable that names the store (no password), the cause and the fix."""
    cause = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip()
    cause = " ".join(cause.split())
    if url.get_backend_name() == "sqlite" and any(part in cause.lower() for part in _DENIED):
        path = Path(url.database or "")
        # asked, not tried: to open and close the file would drop the locks that this process holds on it
        if not (may(path, os.R_OK | os.W_OK) and may(path.parent, os.W_OK | os.X_OK)):
            return StoreUnavailable(f"store {shown(url)}: {permission_denied(path)}")
    fix = next((fix for part, fix in _FIXES if part in cause.lower()), "check the url and what this user may do there")
    return StoreUnavailable(f"store {shown(url)}: {cause}; {fix}")


def shown(url: URL) -> str:
    """Return ``url`` with its password hidden, and without its query, which may hold one as well."""
    return url.set(query={}).render_as_string(hide_password=True)


_LOCK_TIMEOUT_MS = 30_000
_WAL_SIZE_LIMIT_BYTES = 16 * 2**20
_ADVISORY_LOCK = int.from_bytes(b"forewarn")


def parse(url: str) -> URL:
    """Return ``url`` as one of the two kinds of store.

    Raises:
        StoreUnavailable: it is no url, or of no database that forewarn can use.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    # behind an @ in a password that is not written as %40, the rest of it is taken for a host
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
        raise StoreUnavailable(f"store {shown(parsed)}: names no file; write sqlite:////absolute/path/history.db")
    return parsed.set(drivername="sqlite")


def is_created(url: str) -> bool:
    """Return whether the store was created: its file exists; of PostgreSQL, connecting has to show it.

    Raises:
        StoreUnavailable: as ``parse``.
    """
    parsed = parse(url)
    return parsed.get_backend_name() != "sqlite" or is_present(Path(parsed.database or ""))


def connect(url: URL) -> Engine:
    """Return an engine for ``url``; of SQLite the directory and the file exist afterwards.

    Raises:
        StoreUnavailable: the file cannot be created or the driver is not installed.
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
    """Return ``engine`` whose transactions see one state of the store from begin to end."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def for_writing(engine: Engine) -> Engine:
    """Return ``engine`` whose transactions exclude every other writer, in this process and in others."""
    writing = engine.execution_options(forewarn_writing=True)
    if engine.dialect.name != "sqlite":
        # A statement of its own takes the lock: the next one then sees all that the last writer committed.
        event.listen(writing, "begin", _lock_postgresql)
    return writing


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never open and close a database that exists: that would drop the locks this process holds on it.
    with suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
    # isolation_level None keeps the driver from starting transactions by itself; _begin_sqlite does.
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
    # While another process switches the same new file, SQLite reports it as locked at once, without the timeout.
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
    # A transaction that reads first and then wants to write can fail at once, without waiting for the lock.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10, "options": f"-c lock_timeout={_LOCK_TIMEOUT_MS}"},
    )


def _lock_postgresql(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
