"""Batches of windows for training and validation."""

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_DAY
from daemon.learning.history import LOOKBACK_STEPS, History
from daemon.learning.identity import forgetting
from daemon.learning.loss import window_weight
from daemon.learning.windows import Windows, cut_targets, cut_windows

_FIRST_STEPS = STEPS_PER_DAY
_PASSES_PER_EPOCH = 1000
# a network that is never told the profile or the server has to do without them for others
_FORGOTTEN = (0.0, 0.25, 0.5)


class Batch(NamedTuple):
    """Windows with what came after them.

    Attributes:
        windows: the network's inputs.
        rows: ``(windows,)`` series of the history.
        target: ``(windows, HORIZON_STEPS)`` in window units.
        observed: ``(windows, HORIZON_STEPS)`` bool.
        weight: ``(windows,)``.
    """

    windows: Windows
    rows: Tensor
    target: Tensor
    observed: Tensor
    weight: Tensor


class Sampler(Protocol):
    """Batches in passes.

    Attributes:
        passes: how many were begun; what the next one draws follows from it.
    """

    passes: int

    def __len__(self) -> int:
        """Return the number of batches of the longest pass."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass."""
        ...


class WindowSampler(IterableDataset[Batch]):
    """All windows whose targets lie in a span, in batches; with a seed shuffled, and at new origins in each pass.

    Constant series, and windows without a sample in the day before or among the targets, are left out. With a seed,
    profile and server of some windows are not told.
    """

    def __init__(
        self,
        history: History,
        span: tuple[int, int],
        stride: int,
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        """Sample windows.

        Args:
            history: the series.
            span: first and last column that may be a target; the seasonal error of the weights is measured before it
                ends.
            stride: steps between the origins of a series, at most HORIZON_STEPS.
            batch_size: windows per batch.
            seed: of the order and the offsets; None keeps both fixed.
        """
        self._history, self._stride, self._batch_size = history, stride, batch_size
        self._seed = seed
        self.passes = 0
        self._seasonal_error = history.seasonal_error(span[1] + 1)
        self._rows = torch.nonzero(_varies(history, span[1])).flatten().cpu()
        self._first = max(span[0] - 1, LOOKBACK_STEPS + _FIRST_STEPS)
        self._last = span[1] - HORIZON_STEPS

    def __len__(self) -> int:
        """Return the number of batches of the longest pass."""
        # at offset 1 no inner origin is the first or the last one, so there are most
        windows = len(self._rows) * len(self._origins(0 if self._seed is None else 1))
        return math.ceil(windows / self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass; which ones follows from the seed and ``passes``, how many were begun."""
        generator = None if self._seed is None else torch.Generator().manual_seed(self._seed + self.passes)
        self.passes += 1
        offsets = [0] * len(self._rows)
        if generator is not None:
            offsets = torch.randint(self._stride, (len(self._rows),), generator=generator).tolist()
        origins = [self._origins(offset) for offset in offsets]
        rows = self._rows.repeat_interleave(torch.tensor([len(found) for found in origins]))
        columns = torch.cat(origins) if origins else torch.empty(0, dtype=torch.long)
        seen = self._history.observed[:, : self._last + HORIZON_STEPS + 1].cpu()
        known = _any(seen, rows, columns + 1, HORIZON_STEPS) & _any(
            seen, rows, columns + 1 - STEPS_PER_DAY, STEPS_PER_DAY
        )
        rows, columns = rows[known], columns[known]
        if not len(rows):
            return
        order = torch.arange(len(rows)) if generator is None else torch.randperm(len(rows), generator=generator)
        device = self._history.z.device
        for chosen in order.split(self._batch_size):
            yield self._batch(rows[chosen].to(device), columns[chosen].to(device), generator)

    def _origins(self, offset: int) -> Tensor:
        if self._last < self._first:
            return torch.empty(0, dtype=torch.long)
        # the first and the last origin are always there, so that every time step is a target at least once
        inner = range(self._first + offset, self._last, self._stride)
        return torch.tensor(sorted({self._first, *inner, self._last}))

    def _batch(self, rows: Tensor, origins: Tensor, generator: torch.Generator | None) -> Batch:
        windows = cut_windows(self._history, rows, origins)
        windows = windows._replace(identity=forgetting(windows.identity, _FORGOTTEN, generator))
        z, observed = cut_targets(self._history, rows, origins)
        target = (z - windows.centre[:, None]) / windows.scale[:, None]
        weight = window_weight(windows.scale, self._seasonal_error[rows])
        return Batch(windows, rows, torch.where(observed, target, 0.0), observed, weight)


class Rounds(IterableDataset[Batch]):
    """Several samplers in turn, each giving its share of every round, until each has been through once."""

    def __init__(self, shares: Sequence[tuple[Sampler, int]]) -> None:
        self.shares = tuple((sampler, share) for sampler, share in shares if len(sampler))

    def __len__(self) -> int:
        """Return how many batches a pass has at most."""
        rounds = max((math.ceil(len(sampler) / share) for sampler, share in self.shares), default=-1)
        # one more, as the longest one is known to have ended only when it is asked again
        return (rounds + 1) * sum(share for _, share in self.shares)

    def begin(self, epoch: int) -> None:
        """Let the next pass be that of ``epoch``, whatever was drawn before."""
        for sampler, _ in self.shares:
            sampler.passes = epoch * _PASSES_PER_EPOCH

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass; those of a shorter sampler come again, at new origins."""
        passes = [iter(sampler) for sampler, _ in self.shares]
        ended = [False] * len(passes)
        while not all(ended):
            for position, (sampler, share) in enumerate(self.shares):
                for _ in range(share):
                    batch = next(passes[position], None)
                    if batch is None:
                        ended[position] = True
                        passes[position] = iter(sampler)
                        batch = next(passes[position], None)
                    if batch is not None:
                        yield batch


def prefetched(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield ``batches``, the next one of them cut in a thread of its own meanwhile."""
    coming = iter(batches)
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, coming, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, coming, None)
            yield batch


def _varies(history: History, until: int) -> Tensor:
    z = torch.where(history.observed[:, : until + 1], history.z[:, : until + 1], torch.nan)
    lowest = torch.nan_to_num(z, nan=torch.inf).amin(1)
    highest = torch.nan_to_num(z, nan=-torch.inf).amax(1)
    return highest > lowest


def _any(observed: Tensor, rows: Tensor, first: Tensor, steps: int) -> Tensor:
    counted = torch.nn.functional.pad(observed.cumsum(1, dtype=torch.int32), (1, 0))
    found: Tensor = counted[rows, first + steps] > counted[rows, first]
    return found
