"""Batches of windows: which windows they have, and in which order."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from daemon.core.series import Panel, SeriesKey
from daemon.network.history import LOOKBACK_STEPS, History
from daemon.network.sampling import Batch, WindowSampler, prefetched
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")


def test_every_time_step_is_a_target_in_every_pass() -> None:
    """A pass covers all steps after the first day, whatever the random offsets."""
    panel = daily_panel(servers=2, missing=0.0)
    history = History.from_panel(panel, UTC)
    span = (LOOKBACK_STEPS, history.columns - 1)
    sampler = WindowSampler(history, span, 96, 7, 3)
    covered = np.zeros(panel.values.shape, dtype=bool)
    for rows, origins in _sampled(sampler):
        for row, origin in zip(rows, origins, strict=True):
            covered[row, origin + 1 - LOOKBACK_STEPS : origin + 97 - LOOKBACK_STEPS] = True
    assert covered[:, 289:].all()


def test_prefetched_batches_are_the_same() -> None:
    """Making the next batch in another thread changes neither the batches nor their order."""
    history = History.from_panel(daily_panel(servers=2), UTC)
    one, other = (WindowSampler(history, (LOOKBACK_STEPS, history.columns - 1), 96, 7, 3) for _ in range(2))
    pairs = list(zip(one, prefetched(other), strict=True))
    assert len(pairs) > 2
    for batch, ahead in pairs:
        assert torch.equal(batch.rows, ahead.rows)
        assert torch.equal(batch.target, ahead.target)


def test_an_error_in_the_other_thread_is_raised() -> None:
    """An error while a batch is made there ends the training."""

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
    """The network has nothing to learn from a series that never changes."""
    panel = daily_panel(servers=1)
    panel.values[1] = 3.0
    history = History.from_panel(panel, UTC)
    sampler = WindowSampler(history, (LOOKBACK_STEPS, history.columns - 1), 96, 8)
    assert {row for rows, _ in _sampled(sampler) for row in rows} == {0}


def test_a_pass_has_no_more_batches_than_the_sampler_says() -> None:
    """Whatever the offsets, the learning rate's schedule does not end before the windows."""
    random = torch.Generator().manual_seed(0)
    for length in (600, 607, 615):
        panel = Panel((SeriesKey("a", "cpu"),), START, torch.randn(1, length, generator=random).numpy())
        history = History.from_panel(panel, UTC, panel.end)
        span = (LOOKBACK_STEPS, LOOKBACK_STEPS + length - 1)
        sampler = WindowSampler(history, span, 16, 1, 0)
        assert max(sum(1 for _ in sampler) for _ in range(5)) == len(sampler)


def test_a_span_without_a_sample_has_no_batch() -> None:
    """An outage of a whole span, such as the half that calibration is tried on, is no error."""
    panel = daily_panel(servers=1, days=4)
    panel.values[:, 2 * 288 :] = np.nan
    history = History.from_panel(panel, UTC, panel.end)
    spans = ((0, 2 * 288 - 1), (3 * 288, 4 * 288 - 1))
    samplers = [WindowSampler(history, (LOOKBACK_STEPS + first, LOOKBACK_STEPS + last), 12, 8) for first, last in spans]
    assert [len(list(sampler)) > 0 for sampler in samplers] == [True, False]
