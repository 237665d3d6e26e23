"""The quantiles of every forecast and what must always hold of them."""

import numpy as np
import numpy.typing as npt

from daemon.domain.series import Float32

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
QUANTILE_COLUMNS = ("q02", "q10", "q25", "q50", "q75", "q90", "q98")
MEDIAN = QUANTILES.index(0.5)


def within_range(paths: Float32, minimum: npt.ArrayLike, maximum: npt.ArrayLike) -> Float32:
    """Return quantile paths that do not cross and stay in the physical range.

    Args:
        paths: ``(series, steps, quantiles)`` in the metrics' units.
        minimum: ``(series,)`` lower bounds; −inf where there is none.
        maximum: ``(series,)`` upper bounds; +inf where there is none.
    """
    low = np.asarray(minimum, dtype=np.float32)[:, None, None]
    high = np.asarray(maximum, dtype=np.float32)[:, None, None]
    return np.clip(np.sort(paths, axis=-1), low, high)


def pinball_loss(actual: Float32, paths: Float32) -> Float32:
    """Return the pinball loss of every value and quantile, ``(..., quantiles)``, in the metric's unit.

    ``max(τ·(y − q), (τ − 1)·(y − q))`` (Koenker and Bassett, 1978); NaN where the actual value is missing.

    Args:
        actual: ``(...)`` observed values.
        paths: ``(..., quantiles)`` forecast at QUANTILES.
    """
    levels = np.asarray(QUANTILES, dtype=np.float32)
    error = actual[..., None] - paths
    return np.maximum(levels * error, (levels - 1) * error)
