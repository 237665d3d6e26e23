import numpy as np
import pytest

from daemon.core.series import Panel
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
def test_series_that_behave_otherwise_are_counted(rows: int) -> None:
    """A level that no day of the training's week had is drift; the usual noise is not."""
    share = drifted_share(shifted(rows, 40), PANEL.end - 2 * DAY, PANEL.end)
    assert share == pytest.approx(rows / 10)


def test_a_change_that_the_training_saw_is_no_drift() -> None:
    """It is measured against the model's last week, not against what was before it."""
    values = PANEL.values.copy()
    values[:, 8 * 288 :] += 40
    panel = Panel(PANEL.keys, PANEL.start, values)
    assert drifted_share(panel, panel.end - DAY, panel.end) == pytest.approx(0, abs=0.1)
    assert drifted_share(panel, panel.start + 8 * DAY - 300, panel.end) == 1


def test_what_cannot_be_compared_is_not_told() -> None:
    """Right after a training, and where there are no samples, there is no figure."""
    assert drifted_share(PANEL, PANEL.end - DAY // 2, PANEL.end) is None
    empty = Panel(PANEL.keys, PANEL.start, np.full_like(PANEL.values, np.nan))
    assert drifted_share(empty, PANEL.end - 2 * DAY, PANEL.end) is None


def test_an_old_model_is_compared_with_the_oldest_week_there_is() -> None:
    """The week it was trained on may have left the history."""
    assert drifted_share(shifted(10, 40), PANEL.start - 30 * DAY, PANEL.end) == 1
