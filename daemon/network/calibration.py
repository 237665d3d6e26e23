"""Calibration: factors on the distance of each quantile from the median, applied if they help on held-out time."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from daemon.core.forecast import MEDIAN, QUANTILES
from daemon.core.scoring import INTERVALS
from daemon.network.loss import pinball_loss
from daemon.network.model import TemporalFusionTransformer
from daemon.network.sampling import Batch

NONE = (1.0,) * len(QUANTILES)

# 0.7 to 1.4
_FACTORS = tuple(0.7 + 0.05 * step for step in range(15))
# a smaller gain is not worth a change
_WORTH = 0.999


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Factors on the distance of each quantile from the median, and their effect on windows that did not choose them.

    Attributes:
        stretch: one factor per quantile; all 1 if they are not applied.
        applied: whether they lowered the loss.
        loss_before: weighted pinball loss without the factors, summed over QUANTILES, in window units.
        loss_after: the same with the factors.
        coverage_before: share of the values inside each of INTERVALS without the factors, 0 to 1.
        coverage_after: the same with the factors.
        reason: why they are applied or not, as one sentence with both losses.
    """

    stretch: tuple[float, ...]
    applied: bool
    loss_before: float
    loss_after: float
    coverage_before: dict[str, float]
    coverage_after: dict[str, float]
    reason: str


def calibrate(network: TemporalFusionTransformer, chosen_on: Iterable[Batch], tried_on: Iterable[Batch]) -> Calibration:
    """Return the factors with the least loss on ``chosen_on``, applied if they also lower the loss on ``tried_on``.

    Each quantile has a factor of its own. Shifts by conformal scores are not used: they made idle series worse.

    Args:
        network: in evaluation mode, on the device of the batches.
        chosen_on: windows that choose the factors.
        tried_on: later windows, on which the loss must fall by at least 0.1 %.
    """
    stretch = _best(*_predicted(network, chosen_on))
    target, paths, weight = _predicted(network, tried_on)
    stretched = stretch_paths(paths, stretch)
    before, after = (_loss(target, made, weight).sum().item() for made in (paths, stretched))
    applied = after < _WORTH * before
    verb = "lowered" if applied else "did not lower"
    return Calibration(
        stretch=tuple(stretch.tolist()) if applied else NONE,
        applied=applied,
        loss_before=before,
        loss_after=after,
        coverage_before=_coverage(target, paths),
        coverage_after=_coverage(target, stretched),
        reason=f"stretching the intervals {verb} the loss on held-out time that did not choose it "
        f"({before:.4f} without, {after:.4f} with)",
    )


def stretch_paths(paths: Tensor, stretch: Tensor) -> Tensor:
    """Return ``paths`` ``(..., quantiles)``, sorted, with each distance from the median times its factor.

    Args:
        paths: ``(..., quantiles)``.
        stretch: ``(quantiles,)``.
    """
    median = paths[..., MEDIAN : MEDIAN + 1]
    return torch.lerp(median, paths, stretch).sort(-1).values


def _predicted(network: TemporalFusionTransformer, batches: Iterable[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the observed targets ``(values,)``, their paths ``(values, quantiles)`` and weights ``(values,)``."""
    targets, paths, weights = [], [], []
    with torch.inference_mode():
        for batch in batches:
            made = network(batch.windows)
            targets.append(batch.target[batch.observed])
            paths.append(made[batch.observed])
            weights.append(batch.weight[:, None].expand_as(batch.target)[batch.observed])
    if not targets:
        device = next(network.parameters()).device
        zero = torch.zeros(1, device=device)
        return zero, torch.zeros(1, len(QUANTILES), device=device), torch.ones_like(zero)
    return torch.cat(targets), torch.cat(paths), torch.cat(weights)


def _best(target: Tensor, paths: Tensor, weight: Tensor) -> Tensor:
    candidates = torch.tensor(_FACTORS, device=paths.device)
    median = paths[..., MEDIAN : MEDIAN + 1]
    losses = torch.stack([_loss(target, median + factor * (paths - median), weight) for factor in candidates])
    best = candidates[losses.argmin(0)]
    best[MEDIAN] = 1.0
    return best


def _loss(target: Tensor, paths: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean pinball loss of each quantile, ``(quantiles,)``."""
    return (pinball_loss(target, paths) * weight[:, None]).sum(0) / weight.sum()


def _coverage(target: Tensor, paths: Tensor) -> dict[str, float]:
    shares = {}
    for name, (low, high) in INTERVALS.items():
        inside = (target >= paths[:, QUANTILES.index(low)]) & (target <= paths[:, QUANTILES.index(high)])
        shares[name] = float(inside.float().mean())
    return shares
