"""The training loss: weighted pinball loss in window units. ``core/forecast.py`` has the numpy form of pinball loss."""

import torch
from torch import Tensor

from daemon.core.forecast import QUANTILES

_LARGEST_WEIGHT = 10.0


def pinball_loss(target: Tensor, paths: Tensor) -> Tensor:
    """Return the pinball loss of every value and quantile, ``(..., quantiles)``, in the target's unit.

    ``max(τ·(y − q), (τ − 1)·(y − q))`` (Koenker and Bassett, 1978).

    Args:
        target: ``(...)``.
        paths: ``(..., quantiles)`` at QUANTILES.
    """
    levels = torch.tensor(QUANTILES, device=paths.device)
    error = target[..., None] - paths
    return torch.maximum(levels * error, (levels - 1) * error)


def window_weight(scale: Tensor, seasonal_error: Tensor) -> Tensor:
    """Return the weight of each window, ``(windows,)``, at most 10; 1 if the seasonal error is unknown.

    It is ``sqrt(scale / seasonal_error)``, the geometric mean of two weights: 1, which gives the loss in window units,
    and ``scale / seasonal_error``, which gives the scaled pinball loss.

    Args:
        scale: ``(windows,)``, scale of the window in z.
        seasonal_error: ``(windows,)``, mean absolute error of seasonal naive on its series, in z; NaN or 0 if unknown.
    """
    known = torch.isfinite(seasonal_error) & (seasonal_error > 0)
    return torch.where(known, (scale / seasonal_error).sqrt(), 1.0).clamp(max=_LARGEST_WEIGHT)


def weighted_loss(target: Tensor, observed: Tensor, paths: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean pinball loss over QUANTILES and observed targets, a scalar; 0 without a target.

    Args:
        target: ``(windows, steps)`` in window units.
        observed: ``(windows, steps)`` bool.
        paths: ``(windows, steps, quantiles)`` in window units.
        weight: ``(windows,)``.
    """
    loss = torch.where(observed, pinball_loss(torch.where(observed, target, 0.0), paths).mean(-1), 0.0)
    return (loss * weight[:, None]).sum() / observed.sum().clamp(min=1)
