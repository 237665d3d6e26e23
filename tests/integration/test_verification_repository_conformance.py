"""What every book of verification has in common, the fake included."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from daemon.core.series import SeriesKey
from daemon.forecasting.verification import LiveScore, PendingVerification, Tally, VerificationRepository
from daemon.store.history import SqlStore
from tests.fakes.verification_repository import FakeVerificationRepository
from tests.integration.postgresql import postgresql_server  # noqa: F401

T0 = 1_767_225_600
HOUR = 3_600
KEPT = PendingVerification(
    T0,
    (SeriesKey("db\"3'ü", "disk"), SeriesKey("web", "cpu")),
    np.arange(70, dtype=np.float32).reshape(2, 5, 7) / 3,
    ("20260101T000000Z-ab", "baseline"),
)
SCORE = LiveScore(
    origin=T0,
    forecaster="base",
    metric="disk",
    horizon="30m",
    tally=Tally(count=7, pinball=0.1 + 0.2, naive=1 / 3, baseline=2.5, inside=(3, 5, 7)),
)


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VerificationRepository]:
    """Return an empty book of each kind."""
    if request.param == "fake":
        yield FakeVerificationRepository()
        return
    url = f"sqlite:///{tmp_path}/history.db"
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgresql_server").new_database())
    store = SqlStore(url)
    yield store.verification_repository()
    store.close()


def test_what_is_written_is_read_back(repository: VerificationRepository) -> None:
    """Names, paths and sums come back to the last bit; nothing is there before."""
    assert (repository.kept(), repository.scores(0)) == ((), ())
    repository.write([KEPT], [], [SCORE])
    (kept,) = repository.kept()
    assert (kept.origin, kept.keys, kept.forecasters) == (KEPT.origin, KEPT.keys, KEPT.forecasters)
    np.testing.assert_array_equal(kept.paths, KEPT.paths)
    assert repository.scores(T0) == (SCORE,)


def test_what_is_done_goes_and_what_comes_twice_counts_once(repository: VerificationRepository) -> None:
    """A forecast leaves as its scores arrive; one of the same origin takes the place of the other."""
    later = replace(KEPT, origin=T0 + HOUR)
    repository.write([later, KEPT], [], [])
    assert [kept.origin for kept in repository.kept()] == [T0, T0 + HOUR]
    better = replace(SCORE, tally=replace(SCORE.tally, count=8))
    repository.write([], [T0], [SCORE])
    repository.write([later], [], [better])
    assert [kept.origin for kept in repository.kept()] == [T0 + HOUR]
    assert repository.scores(0) == (better,)


def test_scores_are_asked_for_and_dropped_by_their_origin(repository: VerificationRepository) -> None:
    """Oldest first; what is older than was asked for is not told, and what is pruned is gone."""
    later = replace(SCORE, origin=T0 + HOUR)
    other = replace(SCORE, metric="cpu")
    repository.write([], [], [later, SCORE, other])
    assert repository.scores(0) == (other, SCORE, later)
    assert repository.scores(T0 + 1) == (later,)
    assert repository.prune(T0 + HOUR) == 2
    assert repository.scores(0) == (later,)
