"""Samplers of training and validation windows: a fleet's own, TSMixup, cold starts, and their interleaving.

Also the choice of held-out servers. Every batch is on the device of its history. Its rows and origins are sampled on
the CPU, so that a seed gives the same batches on every device.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from daemon.core.scoring import seasonal_error
from daemon.core.series import (
    GENERIC_PROFILE,
    HORIZON_STEPS,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
    Panel,
    SeriesKey,
)
from daemon.network.history import LOOKBACK_STEPS, History, scale_of
from daemon.network.identity import Vocabulary, mask_identity, stable_hash
from daemon.network.inputs import Windows, slice_targets, slice_windows
from daemon.network.loss import window_weight

# history before the first origin
_FIRST_STEPS = STEPS_PER_DAY
# a bound, so that no two epochs have a pass in common
_PASSES_PER_EPOCH = 1000
# of metric, profile and server: an unseen server or profile is masked too, so the network has to learn without them
_MASK_CHANCES = (0.0, 0.25, 0.5)
# nothing was learnt about the bucket of a new server
_COLD_START_MASK_CHANCES = (0.0, 0.25, 1.0)
# lengths of a cold start's history, in steps
_SHORTEST, _LONGEST = STEPS_PER_HOUR, 3 * STEPS_PER_DAY
_ORIGINS_PER_BATCH = 4
# of TSMixup: the smallest share of a series; the second one is shifted by fewer days than this
_LEAST_SHARE = 0.2
_DAYS_APART = 7


class Batch(NamedTuple):
    """Windows with their targets.

    Attributes:
        windows: the network's inputs.
        rows: ``(windows,)``, series of the history.
        target: ``(windows, HORIZON_STEPS)`` in window units.
        observed: ``(windows, HORIZON_STEPS)`` bool.
        weight: ``(windows,)``, weight in the loss.
    """

    windows: Windows
    rows: Tensor
    target: Tensor
    observed: Tensor
    weight: Tensor


class Sampler(Protocol):
    """Yields batches in passes.

    Attributes:
        passes: number of passes started; it determines the random numbers of the next one.
    """

    passes: int

    def __len__(self) -> int:
        """Return the largest number of batches of a pass."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass."""
        ...


class WindowSampler(IterableDataset[Batch]):
    """All windows whose targets are in a span; with a seed they are shuffled, and each pass has other origins.

    Constant series are left out, and windows without a sample in the day before or among the targets. With a seed the
    profile and the server of some windows are masked.
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
            span: first and last column of the targets; the seasonal error of the weights uses no column after it.
            stride: steps between the origins of a series, at most HORIZON_STEPS.
            batch_size: windows per batch.
            seed: seed of the order, the origins and the masks; None is a fixed order, fixed origins and no mask.
        """
        self._history, self._stride, self._batch_size = history, stride, batch_size
        self._seed = seed
        self.passes = 0
        self._seasonal_error = history.seasonal_error(span[1] + 1)
        self._rows = torch.nonzero(_varies(history, span[1])).flatten().cpu()
        self._first = max(span[0] - 1, LOOKBACK_STEPS + _FIRST_STEPS)
        self._last = span[1] - HORIZON_STEPS

    def __len__(self) -> int:
        """Return the largest number of batches of a pass."""
        # at offset 1 no inner origin is the first or the last one, so their number is largest
        windows = len(self._rows) * len(self._origins(0 if self._seed is None else 1))
        return math.ceil(windows / self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass; the seed and ``passes`` determine them."""
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
        # with the first and the last origin every time step is a target at least once
        inner = range(self._first + offset, self._last, self._stride)
        return torch.tensor(sorted({self._first, *inner, self._last}))

    def _batch(self, rows: Tensor, origins: Tensor, generator: torch.Generator | None) -> Batch:
        windows = slice_windows(self._history, rows, origins)
        windows = windows._replace(identity=mask_identity(windows.identity, _MASK_CHANCES, generator))
        z, observed = slice_targets(self._history, rows, origins)
        target = (z - windows.centre[:, None]) / windows.scale[:, None]
        weight = window_weight(windows.scale, self._seasonal_error[rows])
        return Batch(windows, rows, torch.where(observed, target, 0.0), observed, weight)


def _varies(history: History, until: int) -> Tensor:
    z = torch.where(history.observed[:, : until + 1], history.z[:, : until + 1], torch.nan)
    lowest = torch.nan_to_num(z, nan=torch.inf).amin(1)
    highest = torch.nan_to_num(z, nan=-torch.inf).amax(1)
    return highest > lowest


def _any(observed: Tensor, rows: Tensor, first: Tensor, steps: int) -> Tensor:
    counted = torch.nn.functional.pad(observed.cumsum(1, dtype=torch.int32), (1, 0))
    found: Tensor = counted[rows, first + steps] > counted[rows, first]
    return found


class ColdStartSampler(IterableDataset[Batch]):
    """Windows of new servers: each history is truncated to its last hours and scaled on these alone.

    The server is masked in all windows.
    """

    def __init__(
        self,
        *,
        panel: Panel,
        zone: ZoneInfo,
        vocabulary: Vocabulary,
        batches: int,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """Sample windows.

        Args:
            panel: the history; every step may be a target.
            zone: civil time zone of the calendar.
            vocabulary: names with a code.
            batches: largest number of batches of a pass.
            batch_size: largest number of windows of a batch.
            seed: seed of the origins, the series, the lengths and the masks.
            device: device of the batches.
        """
        self._panel, self._zone, self._vocabulary = panel, zone, vocabulary
        self._batches = batches if panel.steps > _SHORTEST + HORIZON_STEPS else 0
        self._at_once = batch_size // _ORIGINS_PER_BATCH
        self._seed = seed
        self._error = seasonal_error(panel.values)
        self._device = device
        self.passes = 0

    def __len__(self) -> int:
        """Return the largest number of batches of a pass."""
        return self._batches

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass; the seed and ``passes`` determine them."""
        generator = np.random.default_rng((self._seed, self.passes))
        chances = torch.Generator().manual_seed(self._seed + self.passes)
        self.passes += 1
        for _ in range(self._batches):
            parts = [part for _ in range(_ORIGINS_PER_BATCH) if (part := self._windows(generator)) is not None]
            if parts:
                yield _joined(parts, chances)

    def _windows(self, generator: np.random.Generator) -> Batch | None:
        """Return windows at one origin, each with its own length of history; None if no series varies in it."""
        origin = int(generator.integers(_SHORTEST - 1, self._panel.steps - HORIZON_STEPS))
        rows = generator.integers(len(self._panel.keys), size=self._at_once)
        lengths = np.exp(generator.uniform(np.log(_SHORTEST), np.log(_LONGEST), len(rows))).round()
        first = max(0, origin + 1 - _LONGEST)
        values = self._panel.values[rows, first : origin + 1 + HORIZON_STEPS].copy()
        known = values[:, : origin + 1 - first]
        known[np.arange(known.shape[1]) < known.shape[1] - lengths[:, None]] = np.nan
        usable = np.fmax.reduce(known, axis=1) > np.fmin.reduce(known, axis=1)
        rows, values = rows[usable], values[usable]
        if not len(rows):
            return None
        keys = tuple(self._panel.keys[row] for row in rows)
        truncated = Panel(keys, self._panel.start + first * STEP_SECONDS, values, self._panel.profiles)
        at = self._panel.start + origin * STEP_SECONDS
        history = History.from_panel(truncated, self._zone, at, at, self._vocabulary).to(self._device)
        every = torch.arange(len(keys), device=self._device)
        origins = torch.full_like(every, LOOKBACK_STEPS)
        windows = slice_windows(history, every, origins)
        z, observed = slice_targets(history, every, origins)
        target = torch.where(observed, (z - windows.centre[:, None]) / windows.scale[:, None], 0.0)
        error = torch.from_numpy(self._error[rows]).float().to(self._device)
        weight = window_weight(windows.scale * history.spread, error)
        return Batch(windows, every, target, observed, weight)


def _joined(parts: list[Batch], generator: torch.Generator) -> Batch:
    windows = Windows(*(torch.cat(tensors) for tensors in zip(*(part.windows for part in parts), strict=True)))
    windows = windows._replace(identity=mask_identity(windows.identity, _COLD_START_MASK_CHANCES, generator))
    rest = (torch.cat(tensors) for tensors in zip(*(part[1:] for part in parts), strict=True))
    return Batch(windows, *rest)


class InterleavedSampler(IterableDataset[Batch]):
    """Several samplers in turn, each with its number of batches per round, until each has had a whole pass.

    Attributes:
        shares: the samplers that have batches, with their batches per round.
    """

    def __init__(self, shares: Sequence[tuple[Sampler, int]]) -> None:
        self.shares = tuple((sampler, share) for sampler, share in shares if len(sampler))

    def __len__(self) -> int:
        """Return the largest number of batches of a pass."""
        rounds = max((math.ceil(len(sampler) / share) for sampler, share in self.shares), default=-1)
        # one round more, because the end of the longest sampler is seen in the round after it
        return (rounds + 1) * sum(share for _, share in self.shares)

    def begin(self, epoch: int) -> None:
        """Make the next pass that of ``epoch``, whatever the passes before: a resumed training has the same batches."""
        for sampler, _ in self.shares:
            sampler.passes = epoch * _PASSES_PER_EPOCH

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass; a shorter sampler starts another pass of its own, at other origins."""
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
    """Yield ``batches``, each prepared in another thread while the one before is used."""
    coming = iter(batches)
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, coming, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, coming, None)
            yield batch


def tsmixup(panel: Panel, generator: np.random.Generator) -> Panel:
    """Return convex combinations of two series of ``panel`` each, in units of their spread, as many as ``panel`` has.

    After TSMixup (Ansari et al., Chronos: Learning the Language of Time Series, 2024, section 4.1). The second series
    is shifted by up to six days, so that its daily rhythm stays and its events move. A sample is missing if it is
    missing in one of the two.
    """
    median, spread = scale_of(panel.values)
    scaled = (panel.values - median[:, None]) / spread[:, None]
    partner = generator.permutation(len(scaled))
    days = int(generator.integers(min(_DAYS_APART, panel.steps // STEPS_PER_DAY // 2 + 1)))
    later = np.full_like(scaled, np.nan)
    later[:, days * STEPS_PER_DAY :] = scaled[partner, : panel.steps - days * STEPS_PER_DAY]
    share = generator.uniform(_LEAST_SHARE, 1 - _LEAST_SHARE, (len(scaled), 1))
    keys = tuple(SeriesKey(f"mixed-{row}", "mixed") for row in range(len(scaled)))
    return Panel(keys, panel.start, (share * scaled + (1 - share) * later).astype(np.float32))


def held_out_servers(panel: Panel, every: int, seen: Collection[str] = ()) -> frozenset[str]:
    """Return the ids of one in ``every`` servers, chosen by a hash of the id: the same ones at each training.

    A server stays in training if it is the only one with some metric or of some profile.

    Args:
        panel: the history of the whole fleet.
        every: number of servers per held-out server; 0 holds out none.
        seen: servers that the initial weights were trained on; none of them is held out.
    """
    traits = _traits(panel)
    wanted = len(traits) // every if every else 0
    had = Counter(trait for each in traits.values() for trait in each)
    chosen: set[str] = set()
    for server in sorted(traits, key=stable_hash):
        if len(chosen) < wanted and server not in seen and all(had[trait] > 1 for trait in traits[server]):
            chosen.add(server)
            had.subtract(traits[server])
    return frozenset(chosen)


def without_servers(panel: Panel, servers: Collection[str]) -> Panel:
    """Return ``panel`` without the series of ``servers``."""
    return panel.select(np.array([row for row, key in enumerate(panel.keys) if key.server not in servers], dtype=int))


def _traits(panel: Panel) -> dict[str, set[tuple[str, str]]]:
    """Return the profile and the metrics of each server; each of them has to stay in training."""
    traits: dict[str, set[tuple[str, str]]] = {}
    for server, metric in panel.keys:
        profile = panel.profiles.get(server, GENERIC_PROFILE)
        traits.setdefault(server, {("profile", profile)}).add(("metric", metric))
    return traits
