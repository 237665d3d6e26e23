"""What training minimises."""

import torch
from torch import Tensor

from daemon.core.forecast import QUANTILES

_LARGEST_WEIGHT = 10.0


def pinball(target: Tensor, paths: Tensor) -> Tensor:
    """Return the pinball loss (Koenker and Bassett, 1978) averaged over QUANTILES, ``(windows, steps)``.

    Args:
        target: ``(windows, steps)``.
        paths: ``(windows, steps, quantiles)`` in the target's unit.
    """
    levels = torch.tensor(QUANTILES, device=paths.device)
    error = target[..., None] - paths
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1)


def window_weight(scale: Tensor, seasonal_error: Tensor) -> Tensor:
    """Return the weight of each window, ``(windows,)``: halfway between window units and scaled pinball loss.

    Args:
        scale: ``(windows,)`` scale of the window, in z.
        seasonal_error: ``(windows,)`` mean absolute error of the seasonal naive forecast of its series, in z.
    """
    known = torch.isfinite(seasonal_error) & (seasonal_error > 0)
    return torch.where(known, (scale / seasonal_error).sqrt(), 1.0).clamp(max=_LARGEST_WEIGHT)


def weighted_loss(target: Tensor, observed: Tensor, paths: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted pinball loss over the observed targets, a scalar; 0 where none is observed."""
    loss = torch.where(observed, pinball(torch.where(observed, target, 0.0), paths), 0.0)
    return (loss * weight[:, None]).sum() / observed.sum().clamp(min=1)
