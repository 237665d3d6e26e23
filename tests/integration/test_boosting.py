"""LightGBM as a peer, trained and scored."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.core.scoring import relative_loss
from daemon.core.series import DAY_SECONDS, Panel
from daemon.forecasting.baselines import SeasonalNaive
from daemon.forecasting.evaluation import score
from daemon.network.boosting import fit_boosting
from tests.panels import daily_panel

PANEL = daily_panel(3, 16)
ORIGIN = PANEL.start + 14 * DAY_SECONDS


def test_boosting_learns_from_the_past_only() -> None:
    """LightGBM beats seasonal naive on a daily rhythm; samples after an origin change nothing."""
    pytest.importorskip("lightgbm", reason="LightGBM is missing: pip install 'forewarn[bench]'")
    peer = fit_boosting(PANEL.between(PANEL.start, ORIGIN), ZoneInfo("UTC"), trees=60)
    other = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    other.values[:, 14 * 288 + 1 :] = 99
    assert np.array_equal(peer.forecast(PANEL, ORIGIN).paths, peer.forecast(other, ORIGIN).paths)
    origins = range(ORIGIN, PANEL.end - 96 * 300, 8 * 3600)
    sums = score({"boosting": peer, "naive": SeasonalNaive({})}, PANEL, origins).sums
    assert sums["boosting"].count.sum() > 0
    assert relative_loss(sums["boosting"], sums["naive"]) < 1
