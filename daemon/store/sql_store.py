"""The history of all samples in SQLite or PostgreSQL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from daemon.domain.errors import StoreUnavailable
from daemon.domain.grid import STEP_SECONDS, ceil_to_grid, floor_to_grid
from daemon.domain.series import Panel, Samples
from daemon.store import schema
from daemon.store.alert_book import SqlAlertBook
from daemon.store.engine import connect, for_reading, for_writing, parse
from daemon.store.problems import shown, unavailable
from daemon.store.reading import read_changes, read_panel
from daemon.store.verification_book import SqlVerificationBook
from daemon.store.writing import delete_ticks, move_watermarks, read_revision, write_samples


class SqlStore:
    """A store in an SQLite file or a PostgreSQL database; safe for many threads and many processes at once.

    Raises:
        StoreUnavailable: ``url`` cannot be opened, is no store, or was written by a newer forewarn.
    """

    def __init__(self, url: str) -> None:
        self._url = parse(url)
        self._engine = connect(self._url)
        self._readers = for_reading(self._engine)
        self._writers = for_writing(self._engine)
        # SQLite's writers poll for their turn; threads of one process can wait in line instead.
        self._turn = Lock()
        try:
            self._open()
        except StoreUnavailable:
            self.close()
            raise

    def append(self, samples: Samples, watermarks: Mapping[tuple[str, str], int] | None = None) -> int:
        """Write ``samples`` and move the watermarks of ``(source, stream)``, all in one transaction.

        Returns:
            How many samples were new or changed a value.

        Raises:
            StoreUnavailable: nothing was written.
            ValueError: a sample is not finite or not on the grid; nothing was written.
        """
        if not np.isfinite(samples.values).all() or (samples.timestamps % STEP_SECONDS).any():
            raise ValueError("a batch for the store holds only finite samples at grid times")
        if not len(samples) and not samples.profiles and not watermarks:
            return 0
        with self._writing() as connection:
            written = write_samples(connection, samples)
            move_watermarks(connection, watermarks or {})
            return written

    def watermarks(self) -> dict[tuple[str, str], int]:
        """Return the newest grid time that each ``(source, stream)`` has delivered."""
        with self._reading() as connection:
            rows = connection.execute(select(schema.watermarks))
            return {(source, stream): timestamp for source, stream, timestamp in rows}

    def read(self, start: int, end: int) -> Panel:
        """Return every series that has a sample at the grid times ``start .. end`` (both included).

        The rows are sorted by server and metric; the columns are exactly ``start .. end``.
        """
        with self._reading() as connection:
            return read_panel(connection, ceil_to_grid(start), floor_to_grid(end))

    def span(self) -> tuple[int, int] | None:
        """Return the oldest and the newest grid time that has a sample; None while there is none."""
        with self._reading() as connection:
            times = schema.ticks.c.timestamp
            oldest, newest = connection.execute(select(func.min(times), func.max(times))).one()
            return None if oldest is None else (oldest, newest)

    def changes(self, since: int, start: int, end: int) -> tuple[Samples, int]:
        """Return the samples of every grid time in ``start .. end`` written after revision ``since``.

        Revision 0 is before everything. The second result is the revision to ask from next time. Both belong
        to one state of the store; an empty range asks for the revision only.
        """
        with self._reading() as connection:
            return read_changes(connection, since, start, end), read_revision(connection)

    def prune(self, before: int) -> int:
        """Delete the samples older than ``before`` and series left empty; return how many grid times went."""
        with self._reading() as connection:
            oldest = connection.scalar(select(func.min(schema.ticks.c.timestamp)))
        if oldest is None or oldest >= before:
            return 0
        with self._writing() as connection:
            return delete_ticks(connection, before)

    def alert_book(self) -> SqlAlertBook:
        """Return the book of alerts in the same database."""
        return SqlAlertBook(self._reading, self._writing)

    def verification_book(self) -> SqlVerificationBook:
        """Return the book of verification in the same database."""
        return SqlVerificationBook(self._reading, self._writing)

    def size_bytes(self) -> int:
        """Return what the store takes on disk, with the space that is free for reuse."""
        if self._engine.dialect.name == "sqlite":
            files = (Path(f"{self._url.database}{suffix}") for suffix in ("", "-wal", "-shm"))
            return sum(file.stat().st_size for file in files if file.exists())
        with self._reading() as connection:
            sizes = (func.pg_total_relation_size(table.name) for table in schema.metadata.sorted_tables)
            return sum(connection.execute(select(*sizes)).one())

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def _open(self) -> None:
        with self._reading() as connection:
            found = schema.version(connection)
        if found is None or found < schema.SCHEMA_VERSION:
            with self._writing() as connection:
                schema.create(connection)
                found = schema.version(connection)
        if found != schema.SCHEMA_VERSION:
            raise StoreUnavailable(
                f"store {shown(self._url)}: was written by a newer forewarn (schema {found}, this one knows "
                f"{schema.SCHEMA_VERSION}); install that version again or name another store in the url"
            )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._readers.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unavailable(self._url, error) from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._turn, self._writers.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unavailable(self._url, error) from error
