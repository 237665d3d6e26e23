from zoneinfo import ZoneInfo

import numpy as np

from daemon.network.history import History
from daemon.network.sampling import tsmixup
from tests.panels import daily_panel


def test_a_mixed_sample_is_missing_if_a_part_is_missing() -> None:
    """The panel has as many series on the same grid, fewer samples, and no copy of a series."""
    panel = daily_panel(missing=0.1)
    made = tsmixup(panel, np.random.default_rng(1))
    assert made.values.shape == panel.values.shape
    assert made.start == panel.start
    assert np.isfinite(made.values).mean() < np.isfinite(panel.values).mean()
    assert not any(np.array_equal(a, b, equal_nan=True) for a in made.values for b in panel.values)


def test_mixing_is_repeatable_and_survives_short_and_empty_series() -> None:
    """The same seed gives the same series; half a day of history or a series without samples is no error."""
    panel = daily_panel(days=0.5)
    panel.values[0] = np.nan
    first, second = (tsmixup(panel, np.random.default_rng(5)).values for _ in range(2))
    np.testing.assert_array_equal(first, second)
    history = History.from_panel(tsmixup(panel, np.random.default_rng(5)), ZoneInfo("UTC"))
    assert history.observed.any()
