from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from daemon.core.forecast import QUANTILES
from daemon.core.series import Panel
from daemon.network.history import LOOKBACK_STEPS, History, civil_seconds
from daemon.network.inputs import CANDIDATES, STATIC_SIZE, STEPWISE_CANDIDATES, slice_targets, slice_windows, empirical_quantiles
from daemon.network.sampling import Batch, WindowSampler, prefetched
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")


def changed_after(panel: Panel, column: int) -> Panel:
    values = panel.values.copy()
    values[:, column + 1 :] = np.random.default_rng(9).uniform(0, 100, values[:, column + 1 :].shape)
    return Panel(panel.keys, panel.start, values)


@pytest.mark.parametrize("column", [300, 1000, 2000])
def test_no_value_after_the_origin_reaches_a_window(column: int) -> None:
    """Whatever comes after an origin, what the network sees of it is the same to the last bit."""
    panel = daily_panel()
    until = panel.start + column * 300
    rows = torch.arange(len(panel.keys))
    origins = torch.full_like(rows, LOOKBACK_STEPS + column)
    seen = [
        slice_windows(History.from_panel(each, UTC, scale_until=until), rows, origins)
        for each in (panel, changed_after(panel, column), panel.between(panel.start, until))
    ]
    for name in seen[0]._fields:
        for other in seen[1:]:
            assert torch.equal(getattr(seen[0], name), getattr(other, name)), name


def test_scaling_without_a_limit_would_leak() -> None:
    """The test above can fail: scaled over all columns, the same windows do change with the future."""
    panel = daily_panel()
    rows = torch.arange(len(panel.keys))
    origins = torch.full_like(rows, LOOKBACK_STEPS + 300)
    seen = [slice_windows(History.from_panel(each, UTC), rows, origins) for each in (panel, changed_after(panel, 300))]
    assert not torch.equal(seen[0].encoder, seen[1].encoder)


def test_shapes_and_finiteness() -> None:
    """Short, gappy and constant histories all give finite inputs of the documented shapes."""
    panel = daily_panel(missing=0.4)
    panel.values[0] = 7.0
    panel.values[1, :1500] = np.nan
    history = History.from_panel(panel, UTC)
    rows = torch.arange(len(panel.keys))
    windows = slice_windows(history, rows, torch.full_like(rows, history.columns - 1))
    assert windows.encoder.shape == (len(rows), 8, 33)
    assert windows.decoder.shape == (len(rows), 8, 76)
    assert windows.static.shape == (len(rows), STATIC_SIZE)
    assert windows.slots.shape == (len(rows), 16, CANDIDATES, len(QUANTILES))
    assert windows.points.shape == (len(rows), 16, 6, STEPWISE_CANDIDATES)
    assert all(torch.isfinite(part).all() for part in windows)
    assert (windows.scale > 0).all()


def test_targets_are_what_comes_after_the_origin() -> None:
    """Targets invert to the panel's values, and a missing one is marked as not observed."""
    panel = daily_panel()
    history = History.from_panel(panel, UTC)
    rows = torch.tensor([2])
    z, observed = slice_targets(history, rows, torch.tensor([LOOKBACK_STEPS + 499]))
    values = history.in_units(z, rows)[0].numpy()
    expected = panel.values[2, 500:596]
    assert np.array_equal(observed[0].numpy(), np.isfinite(expected))
    np.testing.assert_allclose(values[np.isfinite(expected)], expected[np.isfinite(expected)], rtol=1e-4)


def test_known_quantiles_are_numpys() -> None:
    """Quantiles of what is there equal numpy's, whatever is missing."""
    values = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.5] = np.nan
    values[3] = np.nan
    found = empirical_quantiles(torch.from_numpy(values)).numpy()
    assert np.isnan(found[3]).all()
    rest = np.delete(np.arange(50), 3)
    np.testing.assert_allclose(found[rest], np.nanquantile(values[rest], QUANTILES, axis=1).T, atol=1e-5)


def test_every_time_step_is_a_target_in_every_pass() -> None:
    """An epoch covers all steps after the first day, whatever the random offsets."""
    panel = daily_panel(servers=2, missing=0.0)
    history = History.from_panel(panel, UTC)
    span = (LOOKBACK_STEPS, history.columns - 1)
    sampler = WindowSampler(history, span, 96, 7, 3)
    covered = np.zeros(panel.values.shape, dtype=bool)
    for rows, origins in _sampled(sampler):
        for row, origin in zip(rows, origins, strict=True):
            covered[row, origin + 1 - LOOKBACK_STEPS : origin + 97 - LOOKBACK_STEPS] = True
    assert covered[:, 289:].all()


def test_batches_cut_ahead_are_the_same() -> None:
    """Cutting the next batch in another thread changes neither the batches nor their order."""
    history = History.from_panel(daily_panel(servers=2), UTC)
    one, other = (WindowSampler(history, (LOOKBACK_STEPS, history.columns - 1), 96, 7, 3) for _ in range(2))
    pairs = list(zip(one, prefetched(other), strict=True))
    assert len(pairs) > 2
    for batch, ahead in pairs:
        assert torch.equal(batch.rows, ahead.rows)
        assert torch.equal(batch.target, ahead.target)


def test_an_error_while_cutting_ahead_is_raised() -> None:
    """What goes wrong in the other thread ends the training as it would in this one."""

    def broken() -> Iterator[Batch]:
        raise ValueError("no such column")
        yield  # the signature of a generator

    with pytest.raises(ValueError, match="no such column"):
        list(prefetched(broken()))


def _sampled(sampler: WindowSampler) -> list[tuple[list[int], list[int]]]:
    sampled: list[tuple[list[int], list[int]]] = []
    sampler._batch = lambda rows, origins, _: sampled.append((rows.tolist(), origins.tolist()))  # type: ignore[assignment, return-value, method-assign]
    assert len(list(sampler)) > 0
    return sampled


def test_targets_of_validation_lie_after_training() -> None:
    """No window of the training span has a target in the validation span."""
    history = History.from_panel(daily_panel(), UTC)
    split = LOOKBACK_STEPS + 1700
    training = WindowSampler(history, (LOOKBACK_STEPS, split - 1), 16, 64, 0)
    validation = WindowSampler(history, (split, history.columns - 1), 24, 64)
    assert max(max(origins) for _, origins in _sampled(training)) + 96 < split
    assert min(min(origins) for _, origins in _sampled(validation)) + 1 >= split


def test_constant_series_are_left_out_of_training() -> None:
    """A series that never changes would only teach the network to say so."""
    panel = daily_panel(servers=1)
    panel.values[1] = 3.0
    history = History.from_panel(panel, UTC)
    sampler = WindowSampler(history, (LOOKBACK_STEPS, history.columns - 1), 96, 8)
    assert {row for rows, _ in _sampled(sampler) for row in rows} == {0}


def test_calendar_follows_civil_time_across_daylight_saving() -> None:
    """Three in the morning stays three in the morning for the network when the clocks change."""
    zone = ZoneInfo("Europe/Berlin")
    before, after = 1_774_663_200, 1_774_663_200 + 86_400 - 3_600  # 03:00 civil time, 28 and 29 March 2026
    seconds = civil_seconds(np.array([before, after]), zone) % 86_400
    assert seconds.tolist() == [3 * 3600, 3 * 3600]
    assert START % 300 == 0
