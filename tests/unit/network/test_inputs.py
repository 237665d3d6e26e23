"""Windows of a history: their shapes, their targets, and that nothing after the origin is in them."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from daemon.core import scoring
from daemon.core.forecast import QUANTILES
from daemon.core.series import Panel
from daemon.forecasting import baselines
from daemon.network.history import LOOKBACK_STEPS, History, civil_seconds
from daemon.network.inputs import (
    CANDIDATES,
    STATIC_SIZE,
    STEPWISE_CANDIDATES,
    empirical_quantiles,
    slice_targets,
    slice_windows,
)
from daemon.network.loss import pinball_loss
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")


def changed_after(panel: Panel, column: int) -> Panel:
    values = panel.values.copy()
    values[:, column + 1 :] = np.random.default_rng(9).uniform(0, 100, values[:, column + 1 :].shape)
    return Panel(panel.keys, panel.start, values)


@pytest.mark.parametrize("column", [300, 1000, 2000])
def test_no_value_after_the_origin_reaches_a_window(column: int) -> None:
    """Other values after an origin change no bit of the window."""
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
    """The test above can fail: with a scale of all columns, the same windows change with the future."""
    panel = daily_panel()
    rows = torch.arange(len(panel.keys))
    origins = torch.full_like(rows, LOOKBACK_STEPS + 300)
    seen = [slice_windows(History.from_panel(each, UTC), rows, origins) for each in (panel, changed_after(panel, 300))]
    assert not torch.equal(seen[0].encoder, seen[1].encoder)


def test_shapes_and_finiteness() -> None:
    """Short and constant histories and histories with gaps give finite inputs of the documented shapes."""
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


def test_targets_are_the_values_after_the_origin() -> None:
    """Targets in the metrics' units are the panel's values, and a missing one is not observed."""
    panel = daily_panel()
    history = History.from_panel(panel, UTC)
    rows = torch.tensor([2])
    z, observed = slice_targets(history, rows, torch.tensor([LOOKBACK_STEPS + 499]))
    values = history.in_units(z, rows)[0].numpy()
    expected = panel.values[2, 500:596]
    assert np.array_equal(observed[0].numpy(), np.isfinite(expected))
    np.testing.assert_allclose(values[np.isfinite(expected)], expected[np.isfinite(expected)], rtol=1e-4)


def test_empirical_quantiles_of_both_back_ends_are_equal() -> None:
    """Those of torch are those of the climatology in numpy and numpy's own, whatever is missing."""
    values = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.5] = np.nan
    values[3] = np.nan
    found = empirical_quantiles(torch.from_numpy(values)).numpy()
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(found, baselines.empirical_quantiles(values), atol=1e-5)
    rest = np.delete(np.arange(50), 3)
    np.testing.assert_allclose(found[rest], np.nanquantile(values[rest], QUANTILES, axis=1).T, atol=1e-5)


def test_calendar_follows_civil_time_across_daylight_saving() -> None:
    """Three in the morning is the same input before and after the clocks change."""
    zone = ZoneInfo("Europe/Berlin")
    before, after = 1_774_663_200, 1_774_663_200 + 86_400 - 3_600  # 03:00 civil time, 28 and 29 March 2026
    seconds = civil_seconds(np.array([before, after]), zone) % 86_400
    assert seconds.tolist() == [3 * 3600, 3 * 3600]
    assert START % 300 == 0


def test_pinball_loss_of_both_back_ends_is_equal() -> None:
    """The training loss in torch and the scores in numpy have one definition."""
    random = np.random.default_rng(0)
    actual = random.normal(size=(5, 96)).astype(np.float32)
    paths = np.sort(random.normal(size=(5, 96, len(QUANTILES))), axis=-1).astype(np.float32)
    found = pinball_loss(torch.from_numpy(actual), torch.from_numpy(paths)).numpy()
    assert found.shape == paths.shape
    np.testing.assert_allclose(found, scoring.pinball(actual, paths), atol=1e-6)
    assert found[0, 0, 0] == pytest.approx(
        max(0.02 * (actual[0, 0] - paths[0, 0, 0]), 0.98 * (paths[0, 0, 0] - actual[0, 0]))
    )
