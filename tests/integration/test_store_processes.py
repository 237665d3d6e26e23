"""Several processes on one store, and processes that are killed while they write."""

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, Samples, SeriesKey
from daemon.store.history import SqlStore
from tests.integration.postgresql import postgresql_server  # noqa: F401

T0 = 1_767_225_600
TICKS = 25
KILLS = 20
KEYS = tuple(SeriesKey(f"server-{number:04}", "cpu") for number in range(2000))
STREAM = ("source", "stream")

# Children start from a server that has imported the store once, and share nothing with this process.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["daemon.store.history", "tests.integration.test_store_processes"])


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the url of a store that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/history.db"
    fresh: str = request.getfixturevalue("postgresql_server").new_database()
    return fresh


def tick(step: int, rows: slice = slice(None)) -> Samples:
    """Return the expected batch of a step, so that a reader can detect half a tick."""
    series = np.arange(len(KEYS), dtype=np.int32)[rows]
    timestamps = np.full(len(series), T0 + step * STEP_SECONDS, dtype=np.int64)
    return Samples(keys=KEYS, series=series, timestamps=timestamps, values=(series * 0.5 + step).astype(np.float32))


def write_own_rows(url: str, writer: int, ready: Connection) -> None:
    """Append every other series, tick after tick."""
    store = SqlStore(url)
    ready.send_bytes(b"open")
    for step in range(TICKS):
        store.append(tick(step, slice(writer, None, 2)), {(f"writer {writer}", ""): step})
    store.close()


def append_until_killed(url: str, first: int, acknowledge: Connection) -> None:
    """Append tick after tick; report each one after it is stored."""
    store = SqlStore(url)
    step = first
    while True:
        store.append(tick(step), {STREAM: T0 + step * STEP_SECONDS})
        acknowledge.send_bytes(str(step).encode())
        step += 1


def open_and_append(url: str, step: int, barrier: Connection) -> None:
    """Open the store at the same moment as all other children."""
    barrier.recv_bytes()
    store = SqlStore(url)
    store.append(tick(step))
    store.close()


def acknowledged(receiver: Connection) -> Iterator[int]:
    """Yield the steps that a killed child had reported."""
    try:
        while True:
            yield int(receiver.recv_bytes())
    except EOFError:
        return


def start(target: object, *arguments: object) -> tuple[BaseProcess, Connection]:
    """Start a child; return it with the parent's end of its pipe."""
    here, there = processes.Pipe()
    child = processes.Process(target=target, args=(*arguments, there), daemon=True)  # type: ignore[arg-type]
    child.start()
    there.close()
    return child, here


def test_two_writers_lose_nothing_and_a_reader_follows(url: str) -> None:
    """Two processes fill the same ticks; a third one reads the changes and gets every batch completely."""
    writers = [start(write_own_rows, url, number) for number in (0, 1)]
    store = SqlStore(url)
    end = T0 + (TICKS - 1) * STEP_SECONDS
    followed = np.full((len(KEYS), TICKS), np.nan, dtype=np.float32)
    revision, deadline = 0, time.monotonic() + 60
    while time.monotonic() < deadline:
        running = any(child.is_alive() for child, _ in writers)
        changed, revision = store.changes(revision, T0, end)
        rows = np.array([KEYS.index(key) for key in changed.keys], dtype=np.int32)
        if len(changed):
            followed[rows[changed.series], (changed.timestamps - T0) // STEP_SECONDS] = changed.values
        for writer in (0, 1):
            per_tick = np.isfinite(followed[writer::2]).sum(axis=0)
            assert set(per_tick.tolist()) <= {0, len(KEYS) // 2}
        if not running:
            break
    assert [child.exitcode for child, _ in writers] == [0, 0]
    panel = store.read(T0, end)
    assert panel.keys == KEYS
    expected = np.arange(len(KEYS))[:, None] * 0.5 + np.arange(TICKS)
    np.testing.assert_array_equal(panel.values, expected.astype(np.float32))
    np.testing.assert_array_equal(followed, panel.values)
    assert store.watermarks() == {("writer 0", ""): TICKS - 1, ("writer 1", ""): TICKS - 1}
    store.close()


@pytest.mark.parametrize("_round", range(3))
def test_processes_that_create_the_store_at_once(url: str, _round: int) -> None:
    """Of several processes that open a new store at the same moment each succeeds."""
    children = [start(open_and_append, url, step) for step in range(5)]
    for _, pipe in children:
        pipe.send_bytes(b"go")
    for child, _ in children:
        child.join(60)
    assert [child.exitcode for child, _ in children] == [0] * 5
    store = SqlStore(url)
    assert np.isfinite(store.read(T0, T0 + 4 * STEP_SECONDS).values).sum() == 5 * len(KEYS)
    store.close()


def test_kill_at_any_moment_loses_no_acknowledged_tick(url: str) -> None:
    """After each of many SIGKILLs the store opens with every acknowledged tick and without half a tick."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    moments = random.Random(seed)
    first = 0
    for kill in range(KILLS):
        child, pipe = start(append_until_killed, url, first)
        if kill % 2:
            # the other children may be killed before their first append
            pipe.poll(20)
        time.sleep(moments.uniform(0, 0.3))
        child.kill()
        child.join()
        reported = list(acknowledged(pipe))

        store = SqlStore(url)
        # PostgreSQL may still finish the last commit of the killed writer: wait for the lock of the writers first.
        store.append(Samples.empty(), {("reader", ""): first})
        watermark = store.watermarks().get(STREAM, T0 - STEP_SECONDS)
        panel = store.read(T0, watermark + 10 * STEP_SECONDS)
        store.close()
        stored = (watermark - T0) // STEP_SECONDS + 1
        assert stored >= max(reported, default=first - 1) + 1
        expected = np.full((len(panel.keys), stored + 10), np.nan)
        expected[:, :stored] = np.arange(len(panel.keys))[:, None] * 0.5 + np.arange(stored)
        np.testing.assert_array_equal(panel.values, expected.astype(np.float32))
        assert panel.keys == (KEYS if stored else ())
        first = stored
    assert first > KILLS
