"""What every book of verification has in common, the fake included."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from daemon.core.series import SeriesKey
from daemon.forecasting.verification import KeptForecast, LiveScore, Tally, VerificationBook
from daemon.store.history import SqlStore
from tests.fakes.verification_book import FakeVerificationBook
from tests.integration.postgresql import postgresql_server  # noqa: F401

T0 = 1_767_225_600
HOUR = 3_600
KEPT = KeptForecast(
    T0,
    (SeriesKey("db\"3'ü", "disk"), SeriesKey("web", "cpu")),
    np.arange(70, dtype=np.float32).reshape(2, 5, 7) / 3,
    ("20260101T000000Z-ab", "baseline"),
)
SCORE = LiveScore(T0, "base", "disk", "30m", Tally(7, 0.1 + 0.2, 1 / 3, 2.5, (3, 5, 7)))


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VerificationBook]:
    """Return an empty book of each kind."""
    if request.param == "fake":
        yield FakeVerificationBook()
        return
    url = f"sqlite:///{tmp_path}/history.db"
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgresql_server").new_database())
    store = SqlStore(url)
    yield store.verification_book()
    store.close()


def test_what_is_written_is_read_back(book: VerificationBook) -> None:
    """Names, paths and sums come back to the last bit; nothing is there before."""
    assert (book.kept(), book.scores(0)) == ((), ())
    book.write([KEPT], [], [SCORE])
    (kept,) = book.kept()
    assert (kept.origin, kept.keys, kept.forecasters) == (KEPT.origin, KEPT.keys, KEPT.forecasters)
    np.testing.assert_array_equal(kept.paths, KEPT.paths)
    assert book.scores(T0) == (SCORE,)


def test_what_is_done_goes_and_what_comes_twice_counts_once(book: VerificationBook) -> None:
    """A forecast leaves as its scores arrive; one of the same origin takes the place of the other."""
    later = replace(KEPT, origin=T0 + HOUR)
    book.write([later, KEPT], [], [])
    assert [kept.origin for kept in book.kept()] == [T0, T0 + HOUR]
    better = replace(SCORE, tally=replace(SCORE.tally, count=8))
    book.write([], [T0], [SCORE])
    book.write([later], [], [better])
    assert [kept.origin for kept in book.kept()] == [T0 + HOUR]
    assert book.scores(0) == (better,)


def test_scores_are_asked_for_and_dropped_by_their_origin(book: VerificationBook) -> None:
    """Oldest first; what is older than was asked for is not told, and what is pruned is gone."""
    later = replace(SCORE, origin=T0 + HOUR)
    other = replace(SCORE, metric="cpu")
    book.write([], [], [later, SCORE, other])
    assert book.scores(0) == (other, SCORE, later)
    assert book.scores(T0 + 1) == (later,)
    assert book.prune(T0 + HOUR) == 2
    assert book.scores(0) == (later,)
