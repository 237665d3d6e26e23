"""LightGBM quantile regression, a peer of the network: one model per quantile for all series, on the network's inputs.

The pinball loss of LightGBM's ``quantile`` objective (Koenker and Bassett, 1978) is in window units.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import torch

from daemon.core.errors import ForewarnError
from daemon.core.forecast import QUANTILES, Forecast, ForecasterKind, within_range
from daemon.core.metric import bounds
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY, Float32, Panel
from daemon.network.forecaster import HISTORY_STEPS
from daemon.network.history import LOOKBACK_STEPS, History
from daemon.network.identity import metric_codes
from daemon.network.inputs import DECODER_SIZES, PATCH_STEPS, PATCHES, SLOT_STEPS, SLOTS, Windows, slice_windows
from daemon.network.sampling import WindowSampler

# about as many window steps are trained on
_ROWS = 400_000
_STRIDE_STEPS = 96
_BATCH_SIZE = 512
_PARAMETERS = {
    "objective": "quantile",
    "num_leaves": 63,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "verbosity": -1,
    "num_threads": 2,
}
_TREES = 300


class PeerUnavailable(ForewarnError):
    """A peer's library is not installed."""


@dataclass(frozen=True)
class BoostingForecaster:
    """One booster per quantile, in window units.

    Attributes:
        boosters: LightGBM models in the order of QUANTILES.
        vocabulary: the metrics that have a code.
        zone: civil time zone of the calendar.
    """

    boosters: tuple[Any, ...]
    vocabulary: tuple[str, ...]
    zone: ZoneInfo

    def forecast(self, panel: Panel, origin: int) -> Forecast:
        """Return paths for every series with a sample in the day up to ``origin`` (epoch seconds)."""
        known = panel.between(origin - (HISTORY_STEPS - 1) * STEP_SECONDS, origin)
        known = known.select(np.flatnonzero(np.isfinite(known.values[:, -STEPS_PER_DAY:]).any(axis=1)))
        if not known.keys:
            return Forecast.concatenate(origin, ())
        history = History.from_panel(known, self.zone, first_origin=origin)
        rows = torch.arange(len(known.keys), device=history.z.device)
        windows = slice_windows(history, rows, torch.full_like(rows, history.columns - 1))
        features = _features(windows, metric_codes(known.keys, self.vocabulary))
        flat = features.reshape(-1, features.shape[-1])
        quantiles = [booster.predict(flat).reshape(len(rows), HORIZON_STEPS) for booster in self.boosters]
        paths = torch.from_numpy(np.stack(quantiles, axis=-1).astype(np.float32))
        values = history.in_units(windows.centre[:, None, None] + windows.scale[:, None, None] * paths, rows).numpy()
        made = within_range(values, *bounds(known, {}))
        return Forecast(origin=origin, keys=known.keys, paths=made, kinds=(ForecasterKind.BASELINE,) * len(known.keys))


def fit_boosting(
    panel: Panel,
    zone: ZoneInfo,
    seed: int = 0,
    trees: int = _TREES,
    on_progress: Callable[[float], None] = lambda done: None,
) -> BoostingForecaster:
    """Return boosters fitted on windows of ``panel``, any time step of which may be a target.

    Args:
        panel: the history, in the metrics' units.
        zone: civil time zone of the calendar.
        seed: seed of the windows, their steps and the trees.
        trees: number of trees of a booster.
        on_progress: called with the share of the boosters that are fitted, 0 to 1.

    Raises:
        PeerUnavailable: LightGBM is not installed.
    """
    try:
        import lightgbm  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise PeerUnavailable("LightGBM is not installed; pip install 'forewarn[bench]', or use --no-peers") from error
    vocabulary = tuple(sorted({key.metric for key in panel.keys}))
    features, target, weight = _training_rows(panel, zone, vocabulary, seed)
    boosters = []
    for position, level in enumerate(QUANTILES):
        parameters = {**_PARAMETERS, "alpha": level, "seed": seed}
        data = lightgbm.Dataset(features, target, weight=weight, free_raw_data=False)
        boosters.append(lightgbm.train(parameters, data, num_boost_round=trees))
        on_progress((position + 1) / len(QUANTILES))
    return BoostingForecaster(tuple(boosters), vocabulary, zone)


def _training_rows(
    panel: Panel, zone: ZoneInfo, vocabulary: tuple[str, ...], seed: int
) -> tuple[Float32, Float32, Float32]:
    history = History.from_panel(panel, zone)
    metric = metric_codes(panel.keys, vocabulary)
    generator = torch.Generator().manual_seed(seed)
    span = (LOOKBACK_STEPS, history.columns - 1)
    sampler = WindowSampler(history, span, _STRIDE_STEPS, _BATCH_SIZE, seed)
    per_window = max(1, min(HORIZON_STEPS, round(_ROWS / max(1, len(sampler) * _BATCH_SIZE))))
    parts = []
    for batch in sampler:
        features = _features(batch.windows, metric[batch.rows])
        steps = torch.rand(len(features), HORIZON_STEPS, generator=generator).argsort(1)[:, :per_window].numpy()
        chosen = np.arange(len(features))[:, None], steps
        seen = batch.observed.numpy()[chosen]
        weight = np.broadcast_to(batch.weight.numpy()[:, None], seen.shape)
        parts.append((features[chosen][seen], batch.target.numpy()[chosen][seen], weight[seen]))
    rows, targets, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, targets, weights


def _features(windows: Windows, metric: torch.Tensor) -> Float32:
    """Return ``(windows, HORIZON_STEPS, features)``."""
    points, slots, per_patch = windows.decoder.split(
        [3 * PATCH_STEPS, sum(DECODER_SIZES[3:5]), sum(DECODER_SIZES[5:])], -1
    )
    per_step = points.unflatten(-1, (3, PATCH_STEPS)).transpose(-1, -2)
    per_slot = slots.unflatten(-1, (2, SLOTS // PATCHES, -1)).transpose(2, 3).flatten(1, 2).flatten(2)
    recent = windows.encoder[:, -1, :PATCH_STEPS]
    count = len(metric)
    step = torch.arange(1, HORIZON_STEPS + 1, dtype=torch.float32, device=windows.decoder.device)
    parts = [
        per_step.reshape(count, HORIZON_STEPS, 3),
        per_slot.repeat_interleave(SLOT_STEPS, dim=1),
        per_patch.repeat_interleave(PATCH_STEPS, dim=1),
        torch.cat([windows.static, recent, metric[:, None].float()], dim=1)[:, None].expand(-1, HORIZON_STEPS, -1),
        step.view(1, -1, 1).expand(count, -1, -1),
    ]
    features: npt.NDArray[np.float32] = torch.cat(parts, dim=-1).numpy()
    return features
