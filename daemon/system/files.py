"""Files that survive a crash: written atomically, or as a journal to which a line of JSON is appended.

A reader, or a restart, never finds an incomplete file; an incomplete last line of a journal is a damaged line.
"""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from daemon.core.json_records import problems_of, readable_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Entry = TypeVar("Entry", bound="DataclassInstance")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the directory of ``target``; on success it is synced and renamed, otherwise removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield a temporary directory next to ``target``; on success it is synced with its files and renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        temporary.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Version(NamedTuple):
    """Identifies a version of a file; a change of owner or mode is a new version, because reading may then fail."""

    modified: int
    changed: int
    size: int
    inode: int


class Journal(Generic[Entry]):
    """Appends entries, which are on disk when ``append`` returns, and reads them; the file is parsed when it changed.

    Args:
        path: the file; it and its folder need not exist before the first entry.
        kind: the dataclass of the entries, whose fields are the keys of a line.
    """

    def __init__(self, path: Path, kind: type[Entry]) -> None:
        self.path = path
        self._kind = TypeAdapter(kind)
        self._lock = threading.Lock()
        self._version: _Version | None = None
        self._entries: tuple[Entry, ...] = ()
        self._damaged: tuple[tuple[int, str], ...] = ()

    def append(self, entry: Entry) -> None:
        """Add a line.

        Raises:
            OSError: it cannot be written.
        """
        line = json.dumps(asdict(entry)) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                # an incomplete line, which a full disk leaves, stays a line of its own
                torn = self.path.read_bytes()[-1:] not in {b"", b"\n"}
                file.write("\n" * torn + line)
                file.flush()
                os.fsync(file.fileno())
        except PermissionError:
            # a file of another user can be read and replaced where the directory is ours
            before = self.path.read_text(encoding="utf-8")
            with atomic_path(self.path) as temporary:
                temporary.write_text(before + "\n" * (before[-1:] not in ("", "\n")) + line, encoding="utf-8")

    def read(self, on_error: Callable[[int, str], None]) -> tuple[Entry, ...]:
        """Return the entries, oldest first; none where there is no file.

        Args:
            on_error: called with the number of each damaged line, from 1, and what is wrong with it; it may raise.

        Raises:
            OSError: the file cannot be read.
            UnicodeDecodeError: it is no UTF-8 text.
        """
        with self._lock:
            self._refresh()
            entries, damaged = self._entries, self._damaged
        for number, problem in damaged:
            on_error(number, problem)
        return entries

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
            version = _Version(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            if version != self._version:
                self._parse(self.path.read_text(encoding="utf-8"))
                self._version = version
        except FileNotFoundError:
            self._version, self._entries, self._damaged = None, (), ()

    def _parse(self, text: str) -> None:
        entries: list[Entry] = []
        damaged: list[tuple[int, str]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                entries.append(self._kind.validate_json(readable_json(line), strict=True))
            except ValidationError as error:
                damaged.append((number, "; ".join(problems_of(error))))
            except ValueError as error:
                damaged.append((number, str(error)))
        self._entries, self._damaged = tuple(entries), tuple(damaged)
