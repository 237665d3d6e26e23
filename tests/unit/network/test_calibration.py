from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from daemon.breach.model import base_breach_model, read_breach_model, read_stretch, write_calibration
from daemon.core.errors import BadModel
from daemon.core.forecast import MEDIAN, QUANTILES
from daemon.network.calibration import NONE, calibrate, stretch_paths
from daemon.network.model import TemporalFusionTransformer
from daemon.network.sampling import Batch


class Narrow:
    """Forecasts standard normal values by ``share`` times the true quantiles."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, windows: int) -> torch.Tensor:
        levels = torch.distributions.Normal(0, 1).icdf(torch.tensor(QUANTILES))
        return (self.share * levels).expand(windows, 96, len(QUANTILES))


def batch(seed: int, windows: int = 200) -> Batch:
    target = torch.randn(windows, 96, generator=torch.Generator().manual_seed(seed))
    seen = torch.ones(windows, 96, dtype=torch.bool)
    return Batch(windows, torch.arange(windows), target, seen, torch.ones(windows))  # type: ignore[arg-type]


def calibrated(share: float) -> tuple[tuple[float, ...], bool, float, float]:
    network: TemporalFusionTransformer = Narrow(share)  # type: ignore[assignment]
    made = calibrate(network, [batch(1)], [batch(2)])
    return made.stretch, made.applied, made.coverage_before["80"], made.coverage_after["80"]


def test_narrow_intervals_are_stretched() -> None:
    """Intervals of 0.8 of the true width get factors near 1.25, and cover 80 %."""
    stretch, applied, before, after = calibrated(0.8)
    assert applied
    assert all(1.1 < factor < 1.4 for position, factor in enumerate(stretch) if position != MEDIAN)
    assert stretch[MEDIAN] == 1
    assert before < 0.72
    assert abs(after - 0.8) < 0.02


def test_right_intervals_are_left_alone() -> None:
    """Factors that gain nothing on time that did not choose them are not applied."""
    stretch, applied, _, _ = calibrated(1.0)
    assert not applied
    assert stretch == NONE


def test_stretched_paths_stay_sorted() -> None:
    """Quantiles do not cross, whatever the factors."""
    paths = torch.randn(50, 96, len(QUANTILES)).sort(-1).values
    stretched = stretch_paths(paths, torch.tensor([1.4, 0.7, 1.4, 1.0, 1.4, 0.7, 0.9]))
    assert (stretched.diff(dim=-1) >= 0).all()


def test_a_damaged_calibration_is_named(tmp_path: Path) -> None:
    """A written calibration is read; the error of a damaged file names it."""
    network: TemporalFusionTransformer = Narrow(0.8)  # type: ignore[assignment]
    made = calibrate(network, [batch(1)], [batch(2)])
    write_calibration(tmp_path, asdict(made), base_breach_model())
    assert read_stretch(tmp_path) == made.stretch
    assert read_breach_model(tmp_path) == base_breach_model()
    (tmp_path / "calibration.json").write_text('{"stretch": [1, 2]}', encoding="utf-8")
    for read in (read_stretch, read_breach_model):
        with pytest.raises(BadModel, match=r"calibration\.json"):
            read(tmp_path)
