"""Every verification repository, the fake included, passes these tests."""

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
PENDING = PendingVerification(
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
    """Return an empty repository of each kind."""
    if request.param == "fake":
        yield FakeVerificationRepository()
        return
    url = f"sqlite:///{tmp_path}/history.db"
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgresql_server").new_database())
    store = SqlStore(url)
    yield store.verification_repository()
    store.close()


def test_written_records_are_read_back(repository: VerificationRepository) -> None:
    """Names, paths and sums are equal to the last bit; a new repository is empty."""
    assert (repository.pending(), repository.scores(0)) == ((), ())
    repository.write([PENDING], [], [SCORE])
    (pending,) = repository.pending()
    assert (pending.origin, pending.keys, pending.forecasters) == (PENDING.origin, PENDING.keys, PENDING.forecasters)
    np.testing.assert_array_equal(pending.paths, PENDING.paths)
    assert repository.scores(T0) == (SCORE,)


def test_a_scored_forecast_is_deleted_and_a_second_write_replaces_the_first(repository: VerificationRepository) -> None:
    """The write of the scores deletes the pending forecast; a record with the same key is replaced."""
    later = replace(PENDING, origin=T0 + HOUR)
    repository.write([later, PENDING], [], [])
    assert [pending.origin for pending in repository.pending()] == [T0, T0 + HOUR]
    better = replace(SCORE, tally=replace(SCORE.tally, count=8))
    repository.write([], [T0], [SCORE])
    repository.write([later], [], [better])
    assert [pending.origin for pending in repository.pending()] == [T0 + HOUR]
    assert repository.scores(0) == (better,)


def test_scores_are_read_and_pruned_by_origin(repository: VerificationRepository) -> None:
    """Scores come oldest first, from the requested origin on; pruned scores are deleted."""
    later = replace(SCORE, origin=T0 + HOUR)
    other = replace(SCORE, metric="cpu")
    repository.write([], [], [later, SCORE, other])
    assert repository.scores(0) == (other, SCORE, later)
    assert repository.scores(T0 + 1) == (later,)
    assert repository.prune(T0 + HOUR) == 2
    assert repository.scores(0) == (later,)
