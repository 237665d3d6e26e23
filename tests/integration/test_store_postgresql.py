"""Failures that only PostgreSQL has."""

import re
from contextlib import closing

import numpy as np
import psycopg
import pytest

from daemon.core.errors import StoreUnavailable
from daemon.core.series import Panel, Samples, SeriesKey
from daemon.store.history import SqlStore
from tests.integration.postgresql import PostgresqlServer, postgresql_server  # noqa: F401

T0 = 1_767_225_600
BATCH = Samples.from_panel(Panel((SeriesKey("a", "cpu"),), T0, np.ones((1, 500), np.float32)))


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """Return the url of an empty database."""
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return server.new_database()


def test_a_database_that_does_not_exist(url: str) -> None:
    """The error names the database and the fix."""
    missing = re.sub(r"/forewarn_\d+", "/nowhere", url)
    with pytest.raises(StoreUnavailable, match='"nowhere" does not exist; create it, or correct the url'):
        SqlStore(missing)


def test_a_connection_that_broke_is_replaced(url: str) -> None:
    """After the server dropped every connection the next call works."""
    with closing(SqlStore(url)) as store:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert store.append(BATCH) == 500


def test_a_store_that_another_process_locks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a writer that waits without success names the place to look at."""
    monkeypatch.setattr("daemon.store.engine._LOCK_TIMEOUT_MS", 50)
    key = int.from_bytes(b"forewarn")
    with closing(SqlStore(url)) as store:
        with psycopg.connect(url.replace("+psycopg", "")) as other:
            other.execute(f"SELECT pg_advisory_lock({key})".encode())
            with pytest.raises(StoreUnavailable, match="lock timeout; another process holds the store"):
                store.append(BATCH)
        assert store.append(BATCH) == 500
