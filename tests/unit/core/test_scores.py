import numpy as np
import pytest

from daemon.core.forecast import HORIZONS, QUANTILES
from daemon.core.scoring import (
    BUCKETS,
    Sums,
    accuracy,
    coverage,
    mase,
    relative_loss,
    reliability,
    scaled_pinball,
    seasonal_error,
    weighted_quantile_loss,
)


def sums_of(offset: float, actual: np.ndarray) -> Sums:
    paths = np.repeat(actual[..., None], len(QUANTILES), axis=-1).astype(np.float32) + np.float32(offset)
    sums = Sums.zeros(len(actual))
    sums.add(np.arange(len(actual)), actual.astype(np.float32), np.nan_to_num(paths))
    return sums


def test_scores_equal_their_definitions() -> None:
    """Against the formulas written out for one series."""
    random = np.random.default_rng(0)
    actual = random.normal(10, 3, (1, 96)).astype(np.float32)
    paths = np.sort(random.normal(10, 3, (1, 96, 7)), axis=-1).astype(np.float32)
    sums = Sums.zeros(1)
    sums.add(np.array([0]), actual, paths)
    levels = np.array(QUANTILES)
    error = actual[..., None] - paths
    loss = np.where(error >= 0, levels * error, (levels - 1) * error)
    scale = np.array([2.0])
    assert scaled_pinball(sums, scale) == pytest.approx(loss.mean() / 2, rel=1e-5)
    assert weighted_quantile_loss(sums) == pytest.approx(2 * loss.mean(-1).sum() / np.abs(actual).sum(), rel=1e-5)
    assert mase(sums, scale) == pytest.approx(np.abs(error[..., 3]).mean() / 2, rel=1e-5)
    assert coverage(sums)["80"] == pytest.approx(((actual >= paths[..., 1]) & (actual <= paths[..., 5])).mean())


def test_a_perfect_forecast_scores_zero_and_a_worse_one_more() -> None:
    """The loss grows with the error; the relative loss is the ratio of both."""
    actual = np.random.default_rng(1).normal(size=(3, 96))
    scale = np.ones(3)
    assert scaled_pinball(sums_of(0, actual), scale) == pytest.approx(0, abs=1e-7)
    assert relative_loss(sums_of(2, actual), sums_of(1, actual)) == pytest.approx(2, rel=1e-4)
    assert np.isnan(relative_loss(sums_of(0, actual), sums_of(1, actual)))


def test_missing_values_are_not_scored() -> None:
    """A gap changes neither the count of the others nor the mean."""
    actual = np.ones((1, 96))
    actual[0, 10:50] = np.nan
    sums = sums_of(1, actual)
    assert sums.count.sum() == 56
    assert mase(sums, np.ones(1)) == pytest.approx(1)


def test_buckets_part_the_horizon() -> None:
    """Each step counts in exactly one horizon bucket."""
    sums = sums_of(1, np.ones((2, 96)))
    assert [sums.bucket(name).count.sum() / 2 for name in BUCKETS] == [6, 6, 12, 24, 48]


def test_seasonal_error_is_yesterdays() -> None:
    """A step of the level by 3 per day has an error of 3; a constant, or less than a day, has none."""
    days = np.repeat(np.arange(4) * 3.0, 288)[None].astype(np.float32)
    assert seasonal_error(days).tolist() == [3.0]
    assert seasonal_error(np.ones((1, 600), dtype=np.float32)).tolist() == [0.0]
    assert seasonal_error(np.ones((1, 100), dtype=np.float32)).tolist() == [0.0]


def test_reliability_is_the_share_at_or_below_each_quantile() -> None:
    """Values sampled from the forecast's own distribution lie below each quantile as often as its level."""
    random = np.random.default_rng(2)
    actual = random.uniform(0, 1, (200, 96)).astype(np.float32)
    actual[:50, :10] = np.nan
    paths = np.broadcast_to(np.array(QUANTILES, dtype=np.float32), (200, 96, 7))
    sums = Sums.zeros(200)
    sums.add(np.arange(200), actual, paths)
    shares = reliability(sums)
    assert list(shares) == ["0.02", "0.1", "0.25", "0.5", "0.75", "0.9", "0.98"]
    assert list(shares.values()) == pytest.approx(QUANTILES, abs=0.01)
    short = reliability(sums.select(np.arange(50)).bucket("0-30m"))
    assert list(short) == list(shares)
    assert all(np.isnan(share) for share in short.values())


def test_the_buckets_lie_between_the_horizons() -> None:
    """One set of horizons: each bucket ends at one of them and starts at the one before."""
    assert BUCKETS == {"0-30m": (0, 6), "30m-1h": (6, 12), "1h-2h": (12, 24), "2h-4h": (24, 48), "4h-8h": (48, 96)}
    assert [last for _, last in BUCKETS.values()] == list(HORIZONS.values())


def test_single_steps_are_columns_of_their_own() -> None:
    """Live verification scores single steps; their sums are those of the bucket that holds them."""
    random = np.random.default_rng(3)
    actual = random.normal(size=(2, 96)).astype(np.float32)
    paths = np.sort(random.normal(size=(2, 96, 7)), axis=-1).astype(np.float32)
    steps, buckets = Sums.of(actual, paths, range(96)), Sums.of(actual, paths)
    for name, single in vars(steps).items():
        assert single.shape[:2] == (2, 96)
        np.testing.assert_allclose(single[:, 6:12].sum(axis=1), getattr(buckets, name)[:, 1])


def test_accuracy_holds_every_score() -> None:
    """Each field equals the function of its name; an empty group is NaN in all of them."""
    random = np.random.default_rng(4)
    actual = random.normal(size=(3, 96))
    ours, reference, scale = sums_of(1, actual), sums_of(2, actual), np.array([1.0, 2.0, 0.0])
    found = accuracy(ours, reference, scale)
    assert found.relative_loss == relative_loss(ours, reference)
    assert (found.scaled_pinball, found.mase) == (scaled_pinball(ours, scale), mase(ours, scale))
    assert found.weighted_quantile_loss == weighted_quantile_loss(ours)
    assert (found.coverage, found.reliability) == (coverage(ours), reliability(ours))
    assert found.relative_loss_by_horizon == {
        name: relative_loss(ours.bucket(name), reference.bucket(name)) for name in BUCKETS
    }
    empty = accuracy(Sums.zeros(3), Sums.zeros(3), scale)
    assert np.isnan([empty.relative_loss, empty.scaled_pinball, empty.weighted_quantile_loss, empty.mase]).all()
    assert np.isnan([*empty.coverage.values(), *empty.reliability.values()]).all()
