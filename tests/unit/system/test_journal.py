import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.system.files import Journal


@dataclass(frozen=True)
class Entry:
    """A line of the journal under test."""

    name: str
    count: int = 0


class Rig:
    """A journal, and the damaged lines that a reader was notified of."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "new" / "journal.jsonl"
        self.journal = Journal(self.path, Entry)
        self.damaged: list[tuple[int, str]] = []

    def read(self) -> tuple[Entry, ...]:
        self.damaged = []
        return self.journal.read(lambda number, problem: self.damaged.append((number, problem)))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_entries_are_read_as_they_were_appended(rig: Rig) -> None:
    """The first entry makes the file and its folder; before it there is none."""
    assert rig.read() == ()
    rig.journal.append(Entry("a", 1))
    rig.journal.append(Entry("b"))
    assert rig.read() == (Entry("a", 1), Entry("b"))
    assert [json.loads(line) for line in rig.path.read_text().splitlines()] == [
        {"name": "a", "count": 1},
        {"name": "b", "count": 0},
    ]


def test_a_torn_line_stays_a_line_of_its_own(rig: Rig) -> None:
    """The entries before and after it are read, and its number is known."""
    rig.journal.append(Entry("a"))
    with rig.path.open("a") as file:
        file.write('{"name": "to')
    rig.journal.append(Entry("b"))
    assert rig.read() == (Entry("a"), Entry("b"))
    assert [number for number, _ in rig.damaged] == [2]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "a JSON object is expected, not '[1]'"),
        ('{"count": 1}', "name is missing"),
        ('{"name": "a", "count": "1"}', "count is '1', and should be a finite number"),
        ('{"name": 1}', "name is 1: Input should be a valid string"),
        ("[" * 200_000, "it is nested too deeply"),
    ],
)
def test_a_damaged_line_is_named(rig: Rig, line: str, problem: str) -> None:
    """A reader is notified of its number and of what is wrong; it decides what to do."""
    rig.journal.append(Entry("a"))
    with rig.path.open("a") as file:
        file.write(line + "\n")
    assert rig.read() == (Entry("a"),)
    assert rig.damaged == [(2, problem)]


def test_keys_of_a_later_version_are_ignored(rig: Rig) -> None:
    """So that a rollback of the program reads what the later one wrote."""
    rig.path.parent.mkdir()
    rig.path.write_text('{"name": "a", "count": 2, "later": true}\n')
    assert rig.read() == (Entry("a", 2),)


def test_a_file_is_parsed_only_when_it_changed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read without a change returns the same entries, with the same errors; another writer is noticed."""
    rig.journal.append(Entry("a"))
    with rig.path.open("a") as file:
        file.write("{}\n")
    reads: list[Path] = []
    read_text = Path.read_text

    def count(path: Path, encoding: str) -> str:
        reads.append(path)
        return read_text(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", count)
    for _ in range(3):
        assert rig.read() == (Entry("a"),)
        assert rig.damaged == [(2, "name is missing")]
    assert reads == [rig.path]
    Journal(rig.path, Entry).append(Entry("b"))
    assert rig.read() == (Entry("a"), Entry("b"))
    assert reads == [rig.path] * 2
    rig.path.unlink()
    assert rig.read() == ()
