"""The SQLite file: its settings, corruption, permissions, a full disk, locks, and reuse of space."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from sqlalchemy import Engine, event

from daemon.core.errors import StoreUnavailable
from daemon.core.series import STEP_SECONDS, Panel, Samples, SeriesKey
from daemon.store.history import SqlStore

T0 = 1_767_225_600
KEYS = tuple(SeriesKey(f"server-{number:03}", "cpu") for number in range(300))
NOBODY = 65534


def day(first: int, steps: int = 50) -> Samples:
    """Return full ticks from step ``first`` on."""
    values = np.random.default_rng(first).random((len(KEYS), steps), np.float32)
    return Samples.from_panel(Panel(KEYS, T0 + first * STEP_SECONDS, values))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file in a directory that does not exist yet."""
    return tmp_path / "new" / "history.db"


@contextmanager
def opened(path: Path) -> Iterator[SqlStore]:
    """Open the store and close it."""
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        yield store


def test_a_store_keeps_its_data(path: Path) -> None:
    """Samples, revision and watermarks are the same after the store is opened again."""
    with opened(path) as store:
        store.append(day(0, 3), {("s", "a"): T0})
        before = store.changes(0, T0, T0 + 600)
    with opened(path) as store:
        after = store.changes(0, T0, T0 + 600)
        assert store.watermarks() == {("s", "a"): T0}
    assert before[1] == after[1]
    np.testing.assert_array_equal(before[0].values, after[0].values)


def test_the_file_is_private_and_safe_against_a_crash(path: Path) -> None:
    """Only the owner can read it, and each connection syncs every transaction of the write-ahead log."""
    with opened(path) as store:
        store.append(day(0, 1))
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {0o600}
        with store._reading() as connection:
            pragmas = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert found == ["wal", 2, 30_000, 1]


def test_pruned_space_is_reused(path: Path) -> None:
    """Over many cycles of retention the file does not grow after the first half."""
    sizes = []
    with opened(path) as store:
        for cycle in range(8):
            store.append(day(cycle * 50))
            store.prune(T0 + (cycle - 1) * 50 * STEP_SECONDS)
            store.append(day(cycle * 50))
            sizes.append(path.stat().st_size)
    size = path.stat().st_size
    assert size > 2 * 50 * len(KEYS) * 8
    assert size <= 1.1 * 3 * 50 * (len(KEYS) * 8 + 4096)
    assert max(sizes[4:]) <= max(sizes[:4])


def test_pruning_removes_empty_series_and_servers(path: Path) -> None:
    """With their last sample, their names are removed; the others stay."""
    ended = (SeriesKey("old", "cpu"), SeriesKey("server-000", "old"))
    last = Samples(
        keys=ended, series=np.arange(2, dtype=np.int32), timestamps=np.full(2, T0 + 3000), values=np.ones(2, np.float32)
    )

    def known(connection: sqlite3.Connection) -> tuple[int, int]:
        counts = connection.execute("SELECT (SELECT count(*) FROM servers), (SELECT count(*) FROM series)")
        servers, series = counts.fetchone()
        return servers, series

    with opened(path) as store, closing(sqlite3.connect(path)) as connection:
        store.append(day(0, 100))
        store.append(last)
        assert store.prune(T0 + 3000) == 10
        assert known(connection) == (len(KEYS) + 1, len(KEYS) + 2)
        assert store.prune(T0 + 3300) == 1
        assert known(connection) == (len(KEYS), len(KEYS))


def test_a_file_that_is_no_database(path: Path) -> None:
    """The error names the file and the fix; the file does not change."""
    path.parent.mkdir()
    path.write_bytes(b"timestamp,server,metric,value\n" * 200)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"history\.db: file is not a database; .*move it away") as caught:
        SqlStore(f"sqlite:///{path}")
    assert caught.value.__cause__ is not None
    assert path.read_bytes() == before


def test_a_corrupt_database(path: Path) -> None:
    """Overwritten pages are an error with a fix, not samples."""
    with opened(path) as store:
        store.append(day(0))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(StoreUnavailable, match=r"malformed; .*restore a backup"), opened(path) as store:
        store.read(T0, T0 + 50 * STEP_SECONDS)


def test_a_store_of_a_newer_version(path: Path) -> None:
    """A store with a newer schema is an error."""
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema_version'")
    with pytest.raises(StoreUnavailable, match=r"newer version .*schema 99, this version has schema 4\); install"):
        SqlStore(f"sqlite:///{path}")


def test_a_directory_without_permission(tmp_path: Path) -> None:
    """The error is that of the permission, for a new store and for an existing one."""
    folder = tmp_path / "locked"
    folder.mkdir()
    with opened(folder / "old.db") as store:
        store.append(day(0, 1))
    (folder / "old.db").chmod(0o444)
    folder.chmod(0o555)
    for name in ("new.db", "old.db"):
        text = as_nobody(folder / name)
        assert "permission denied: " in text, text
    folder.chmod(0o755)


def as_nobody(path: Path) -> str:
    """Return the error of opening and writing the store as a user who is not root."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = "it worked"
        try:
            if os.geteuid() == 0:
                # other users cannot enter the directories of pytest above the store, so start inside
                os.chdir(path.parent)
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                path = Path(path.name)
            with opened(path) as store:
                store.append(day(1, 1))
        except StoreUnavailable as error:
            text = str(error)
        except BaseException as error:  # noqa: BLE001 - the parent gets the text and fails
            text = repr(error)
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return pipe.read()


def test_a_full_disk(path: Path) -> None:
    """A batch that does not fit is not written at all; older samples can be read."""
    with opened(path) as store:
        store.append(day(0, 2))

    def fill_up(connection: sqlite3.Connection, _record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")

    event.listen(Engine, "connect", fill_up)
    try:
        with opened(path) as store:
            with pytest.raises(StoreUnavailable, match=r"disk is full; free space on that disk"):
                store.append(day(2, 50), {("s", "a"): T0})
            panel = store.read(T0, T0 + 60 * STEP_SECONDS)
            assert np.isfinite(panel.values).sum() == 2 * len(KEYS)
            assert store.watermarks() == {}
    finally:
        event.remove(Engine, "connect", fill_up)


def test_a_store_that_another_process_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the timeout the error names the cause and the fix."""
    monkeypatch.setattr("daemon.store.engine._LOCK_TIMEOUT_MS", 50)
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"locked; another process holds the store"):
            store.append(day(0, 1))
        other.execute("ROLLBACK")
        assert store.append(day(0, 1)) == len(KEYS)


def test_a_new_file_that_another_process_is_setting_up(path: Path) -> None:
    """Opening waits for the other process, although SQLite itself does not wait for a change of the journal mode."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.2, other.execute, ["ROLLBACK"])
        release.start()
        with opened(path) as store:
            assert store.append(day(0, 1)) == len(KEYS)
        release.join()
