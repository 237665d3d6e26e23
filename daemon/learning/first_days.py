"""Batches of windows as those of servers that have only just been added: an hour to three days of history."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import torch
from torch.utils.data import IterableDataset

from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_HOUR
from daemon.domain.scores import seasonal_error
from daemon.domain.series import Panel
from daemon.learning.history import LOOKBACK_STEPS, History
from daemon.learning.identity import Vocabulary, forgetting
from daemon.learning.loss import window_weight
from daemon.learning.sampling import Batch
from daemon.learning.windows import Windows, cut_targets, cut_windows

_SHORTEST, _LONGEST = STEPS_PER_HOUR, 3 * STEPS_PER_DAY
_ORIGINS_PER_BATCH = 4
_FORGOTTEN = (0.0, 0.25, 1.0)


class FirstDaysSampler(IterableDataset[Batch]):
    """Windows whose history is cut to its last hours, its scale measured on these alone, as a new server's is.

    Their servers are not told: a new one has no bucket that anything was learnt of.
    """

    def __init__(
        self, panel: Panel, zone: ZoneInfo, vocabulary: Vocabulary, batches: int, batch_size: int, seed: int
    ) -> None:
        """Sample windows.

        Args:
            panel: the history, every step of which may be a target.
            zone: civil time zone of the calendar.
            vocabulary: the names that the network knows.
            batches: in a pass.
            batch_size: windows per batch, at most.
            seed: of what is drawn.
        """
        self._panel, self._zone, self._vocabulary = panel, zone, vocabulary
        self._batches = batches if panel.steps > _SHORTEST + HORIZON_STEPS else 0
        self._at_once = batch_size // _ORIGINS_PER_BATCH
        self._seed = seed
        self._error = seasonal_error(panel.values)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.passes = 0

    def __len__(self) -> int:
        """Return the number of batches of a pass, at most."""
        return self._batches

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass; which ones follows from the seed and ``passes``, how many were begun."""
        generator = np.random.default_rng((self._seed, self.passes))
        chances = torch.Generator().manual_seed(self._seed + self.passes)
        self.passes += 1
        for _ in range(self._batches):
            parts = [part for _ in range(_ORIGINS_PER_BATCH) if (part := self._windows(generator)) is not None]
            if parts:
                yield _joined(parts, chances)

    def _windows(self, generator: np.random.Generator) -> Batch | None:
        """Return windows from one origin, each with a history of its own length; None where no series varies in it."""
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
        cut = Panel(keys, self._panel.start + first * STEP_SECONDS, values, self._panel.profiles)
        at = self._panel.start + origin * STEP_SECONDS
        history = History.from_panel(cut, self._zone, at, at, self._vocabulary).to(self._device)
        every = torch.arange(len(keys), device=self._device)
        origins = torch.full_like(every, LOOKBACK_STEPS)
        windows = cut_windows(history, every, origins)
        z, observed = cut_targets(history, every, origins)
        target = torch.where(observed, (z - windows.centre[:, None]) / windows.scale[:, None], 0.0)
        error = torch.from_numpy(self._error[rows]).float().to(self._device)
        weight = window_weight(windows.scale * history.spread, error)
        return Batch(windows, every, target, observed, weight)


def _joined(parts: list[Batch], generator: torch.Generator) -> Batch:
    windows = Windows(*(torch.cat(tensors) for tensors in zip(*(part.windows for part in parts), strict=True)))
    windows = windows._replace(identity=forgetting(windows.identity, _FORGOTTEN, generator))
    rest = (torch.cat(tensors) for tensors in zip(*(part[1:] for part in parts), strict=True))
    return Batch(windows, *rest)
