"""Windows of a server's first days: what they know, and that it is no more than such a server has."""

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


def test_they_know_an_hour_to_three_days() -> None:
    """The history is of every length between, and short ones are as frequent as long ones."""
    known = torch.cat([batch.windows.static[:, -1] * WEEK for batch in batches(daily_panel(), 8)])
    assert known.min() >= HOUR - 3
    assert known.max() <= 3 * 288
    assert known.min() < 3 * HOUR
    assert known.max() > 2 * 288


def test_nothing_after_the_origin_is_seen() -> None:
    """What comes after it changes the targets and none of the inputs, not even the scale."""
    panel = daily_panel()
    short = replace(panel, values=panel.values[:, : HOUR + 97])
    other = replace(short, values=np.where(np.arange(HOUR + 97) > HOUR, short.values * 3 + 7, short.values))
    pairs = list(zip(batches(short), batches(other), strict=True))
    assert pairs
    for one, changed in pairs:
        for before, after in zip(one.windows, changed.windows, strict=True):
            assert torch.equal(before, after)
        assert not torch.equal(one.target, changed.target)


def test_they_are_not_told_the_server() -> None:
    """A new server is in no bucket that anything was learnt of; its metric is known, and its profile mostly."""
    told = torch.cat([batch.windows.identity for batch in batches(daily_panel(), 8)])
    assert not told[:, 2].any()
    assert told[:, 0].all()
    assert 0.5 < (told[:, 1] > 0).float().mean() < 0.95


def test_passes_differ_and_can_be_drawn_again() -> None:
    """Each pass draws other windows, the same ones for the same pass."""
    panel = daily_panel()
    sampler = ColdStartSampler(
        panel=panel, zone=UTC, vocabulary=Vocabulary.of(panel), batches=2, batch_size=64, seed=5, device=CPU
    )
    first, second = list(sampler), list(sampler)
    assert not torch.equal(first[0].target, second[0].target)
    sampler.passes = 1
    assert torch.equal(next(iter(sampler)).target, second[0].target)


def test_constant_and_missing_history_gives_no_window() -> None:
    """Series without a change or a sample in their first hours are left out, and too short a panel has no batch."""
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
