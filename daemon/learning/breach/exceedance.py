"""How likely each step of a quantile path is to reach a threshold."""

import numpy as np

from daemon.domain.quantiles import QUANTILES
from daemon.domain.series import Float32, Float64

_LEVELS = np.asarray(QUANTILES)
_TAIL = 1 - QUANTILES[-1]
# the last two quantiles of an exponential tail lie so many of its scales apart
_TAIL_SCALES = np.log((1 - QUANTILES[-2]) / _TAIL)
_SMALLEST = 1e-6
_MOST_SCALES = 50.0


def exceedance(paths: Float32, thresholds: Float32) -> Float64:
    """Return P(value ≥ threshold) at each step, ``(windows, steps)``.

    Linear between the quantiles; beyond the outermost ones the tails are exponential, their scale that of the last two.

    Args:
        paths: ``(windows, steps, quantiles)``, sorted.
        thresholds: ``(windows,)``.
    """
    quantiles = paths.astype(np.float64)
    threshold = thresholds.astype(np.float64)[:, None]
    lower = np.clip((quantiles <= threshold[..., None]).sum(-1) - 1, 0, len(_LEVELS) - 2)
    low, high = (np.take_along_axis(quantiles, (lower + up)[..., None], -1)[..., 0] for up in (0, 1))
    share = np.where(high > low, (threshold - low) / np.where(high > low, high - low, 1), 1.0)
    inside = 1 - (_LEVELS[lower] + np.clip(share, 0, 1) * (_LEVELS[lower + 1] - _LEVELS[lower]))
    above = _TAIL * _decay(threshold - quantiles[..., -1], quantiles[..., -1] - quantiles[..., -2])
    below = 1 - _TAIL * _decay(quantiles[..., 0] - threshold, quantiles[..., 1] - quantiles[..., 0])
    beyond = np.where(threshold > quantiles[..., -1], above, inside)
    return np.where(threshold <= quantiles[..., 0], below, beyond)


def _decay(distance: Float64, between: Float64) -> Float64:
    scale = np.maximum(between / _TAIL_SCALES, _SMALLEST)
    decayed: Float64 = np.exp(-np.clip(distance / scale, 0, _MOST_SCALES))
    return decayed
