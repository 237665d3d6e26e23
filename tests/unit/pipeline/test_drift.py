import numpy as np
import pytest

from daemon.core.series import Panel, SeriesKey
from daemon.pipeline.triggers import drifted_share
from tests.panels import daily_panel

DAY = 86_400
PANEL = daily_panel(5, 14, missing=0)


def shifted(rows: int, by: float) -> Panel:
    """Return the panel whose first ``rows`` series are higher on the last day."""
    values = PANEL.values.copy()
    values[:rows, -288:] += by
    return Panel(PANEL.keys, PANEL.start, values)


@pytest.mark.parametrize("rows", [0, 4, 10])
def test_drifted_series_are_counted(rows: int) -> None:
    """A level that no day of the training's last week had is drift; the usual noise is not."""
    share = drifted_share(shifted(rows, 40), PANEL.end - 2 * DAY, PANEL.end)
    assert share == pytest.approx(rows / 10)


def test_a_change_within_the_training_is_no_drift() -> None:
    """The last day is compared with the last week of the training, not with earlier weeks."""
    values = PANEL.values.copy()
    values[:, 8 * 288 :] += 40
    panel = Panel(PANEL.keys, PANEL.start, values)
    assert drifted_share(panel, panel.end - DAY, panel.end) == pytest.approx(0, abs=0.1)
    assert drifted_share(panel, panel.start + 8 * DAY - 300, panel.end) == 1


def test_what_cannot_be_compared_has_no_figure() -> None:
    """Right after a training, and where there are no samples, there is no figure."""
    assert drifted_share(PANEL, PANEL.end - DAY // 2, PANEL.end) is None
    empty = Panel(PANEL.keys, PANEL.start, np.full_like(PANEL.values, np.nan))
    assert drifted_share(empty, PANEL.end - 2 * DAY, PANEL.end) is None


def test_an_old_model_is_compared_with_the_oldest_week_there_is() -> None:
    """The last week of its training may be older than the history."""
    assert drifted_share(shifted(10, 40), PANEL.start - 30 * DAY, PANEL.end) == 1


def test_the_distance_is_that_of_two_empirical_distributions() -> None:
    """Of ties, gaps and any number of samples: the largest difference of the shares at or below a value."""
    random = np.random.default_rng(0)
    values = np.round(random.normal(size=(40, 14 * 288)), 1).astype(np.float32)
    values[:, -288:] += random.uniform(0, 3, 40).astype(np.float32)[:, None].round(1)
    values[random.random(values.shape) < 0.3] = np.nan
    panel = Panel(tuple(SeriesKey(f"server-{row}", "cpu") for row in range(40)), PANEL.start, values)
    week, day = values[:, 4 * 288 + 0 : 11 * 288], values[:, -288:]
    far = 0
    for row in range(40):
        places = np.unique(values[row][np.isfinite(values[row])])
        shares = [(each[row][np.isfinite(each[row])][:, None] <= places).mean(axis=0) for each in (week, day)]
        far += np.abs(shares[0] - shares[1]).max() > 0.5
    assert 5 < far < 35
    assert drifted_share(panel, panel.start + (11 * 288 - 1) * 300, panel.end) == far / 40
