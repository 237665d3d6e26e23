"""Cold-start windows: they have no more history than a new server."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import torch

from daemon.core.series import Panel
from daemon.network.identity import Vocabulary
from daemon.network.sampling import Batch, ColdStartSampler
from tests.panels import daily_panel

UTC = ZoneInfo("UTC")
CPU = torch.device("cpu")
HOUR, WEEK = 12, 7 * 288


def batches(panel: Panel, count: int = 3) -> list[Batch]:
    """Return the batches of one pass."""
    return list(
        ColdStartSampler(
            panel=panel, zone=UTC, vocabulary=Vocabulary.of(panel), batches=count, batch_size=64, seed=5, device=CPU
        )
    )


def test_they_have_an_hour_to_three_days_of_history() -> None:
    """Lengths cover the whole range, from an hour to three days."""
    known = torch.cat([batch.windows.static[:, -1] * WEEK for batch in batches(daily_panel(), 8)])
    assert known.min() >= HOUR - 3
    assert known.max() <= 3 * 288
    assert known.min() < 3 * HOUR
    assert known.max() > 2 * 288


def test_nothing_after_the_origin_is_used() -> None:
    """Other values after it change the targets and no input, not even the scale."""
    panel = daily_panel()
    short = replace(panel, values=panel.values[:, : HOUR + 97])
    other = replace(short, values=np.where(np.arange(HOUR + 97) > HOUR, short.values * 3 + 7, short.values))
    pairs = list(zip(batches(short), batches(other), strict=True))
    assert pairs
    for one, changed in pairs:
        for before, after in zip(one.windows, changed.windows, strict=True):
            assert torch.equal(before, after)
        assert not torch.equal(one.target, changed.target)


def test_the_server_is_masked() -> None:
    """The server is masked in all windows, the profile in some, the metric in none."""
    codes = torch.cat([batch.windows.identity for batch in batches(daily_panel(), 8)])
    assert not codes[:, 2].any()
    assert codes[:, 0].all()
    assert 0.5 < (codes[:, 1] > 0).float().mean() < 0.95


def test_passes_differ_and_can_be_repeated() -> None:
    """Each pass has other windows; the same pass has the same ones."""
    panel = daily_panel()
    sampler = ColdStartSampler(
        panel=panel, zone=UTC, vocabulary=Vocabulary.of(panel), batches=2, batch_size=64, seed=5, device=CPU
    )
    first, second = list(sampler), list(sampler)
    assert not torch.equal(first[0].target, second[0].target)
    sampler.passes = 1
    assert torch.equal(next(iter(sampler)).target, second[0].target)


def test_constant_and_missing_history_gives_no_window() -> None:
    """Series without a change or without a sample are left out, and a panel that is too short has no batch."""
    panel = daily_panel(servers=1)
    panel.values[0], panel.values[1] = 3.0, np.nan
    assert not batches(panel)
    short = replace(panel, values=panel.values[:, :108])
    assert (
        len(
            ColdStartSampler(
                panel=short, zone=UTC, vocabulary=Vocabulary.of(panel), batches=2, batch_size=64, seed=5, device=CPU
            )
        )
        == 0
    )
