"""Realism of the simulator: the median of each property beside the range of the recordings' medians.

The simulator was not tuned on these seeds. There are twelve fleets, because the median of one varies with the seed.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from daemon.core.scoring import relative_loss
from daemon.core.series import STEP_SECONDS, Panel
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.evaluation import score
from daemon.network.artifact import base_forecaster
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec, counts_for
from tests.benchmarks.bench_accuracy import read_pack
from tests.benchmarks.fleets import START
from tests.benchmarks.realism import figures

_SEEDS, _SERVERS, _DAYS = range(71, 83), 60, 44
_TEST_DAYS, _EVERY_SECONDS = 10, 4 * 3600
_BETWEEN = (0.25, 0.5, 0.75)
_BY_ERROR = "within its error"


def main() -> None:
    """Print a row per property: quartiles of each recording and of the simulator, and whether its median lies inside.

    A median outside by less than twice the standard error of the fleets' medians counts as within its error.
    """
    folder = os.environ.get("FOREWARN_REAL_DATA")
    if not folder:
        print("realism: not measured; FOREWARN_REAL_DATA names no folder of real metrics")
        return
    recordings = {path.parent.name: read_pack(path.parent).panel for path in sorted(Path(folder).glob("*/pack.json"))}
    fleets = [_simulated(seed) for seed in _SEEDS]
    real, made = [figures(panel) for panel in recordings.values()], [figures(panel) for panel in fleets]
    print(f"| quartiles over series | {' | '.join(recordings)} | simulator | error | inside |")
    print("| --- " * (len(recordings) + 4) + "|")
    results = []
    for measure in made[0]:
        quartiles = [np.nanquantile(found[measure], _BETWEEN) for found in real]
        quartiles.append(np.nanquantile(np.concatenate([found[measure] for found in made]), _BETWEEN))
        error = _standard_error([float(np.nanmedian(found[measure])) for found in made])
        results.append(_inside([each[1] for each in quartiles], error))
        cells = [" ".join(f"{value:.3g}" for value in each) for each in quartiles]
        print(f"| {measure} | {' | '.join(cells)} | {error:.2g} | {results[-1]} |")
    own, simulated = ([_skill(panel) for panel in panels] for panels in (recordings.values(), fleets))
    for position, measure in enumerate(("base network against seasonal naive", "climatology against seasonal naive")):
        losses = [skill[position] for skill in simulated]
        row, error = [*(skill[position] for skill in own), float(np.mean(losses))], _standard_error(losses)
        results.append(_inside(row, error))
        cells = [f"{value:.3f}" for value in row]
        print(f"| loss of the {measure} | {' | '.join(cells)} | {error:.2g} | {results[-1]} |")
    print(f"{results.count('yes')} of {len(results)} properties are inside, {results.count(_BY_ERROR)} are {_BY_ERROR}")


def _inside(values: Sequence[float], error: float) -> str:
    """Return whether the last of ``values`` lies in the range of the others."""
    *others, value = values
    outside = max(min(others) - value, value - max(others))
    return "yes" if outside <= 0 else _BY_ERROR if outside < 2 * error else "no"


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _simulated(seed: int) -> Panel:
    fleet = Fleet(FleetSpec(seed=seed, counts=counts_for(_SERVERS)))
    return fleet.panel(START, START + _DAYS * 86_400 - STEP_SECONDS)


def _skill(panel: Panel) -> tuple[float, float]:
    """Return the loss of the base network and of the climatology relative to seasonal naive, on the last days."""
    last = panel.end - 96 * STEP_SECONDS
    origins = range(last - _TEST_DAYS * 86_400, last + 1, _EVERY_SECONDS)
    base = base_forecaster({}, ZoneInfo("UTC"))
    scores = score({"base": base, "naive": SeasonalNaive({}), "climatology": Climatology({})}, panel, origins)
    return tuple(relative_loss(scores.sums[name], scores.sums["naive"]) for name in ("base", "climatology"))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
