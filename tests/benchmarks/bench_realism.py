"""Whether simulated fleets are like real ones: each measure's median beside the range of the recordings' medians.

The fleets are of seeds that the simulator was not tuned on, and many: of twenty servers a median is half chance.
"""

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from daemon.domain.grid import STEP_SECONDS
from daemon.domain.scores import relative_loss
from daemon.domain.series import Panel, SeriesKey
from daemon.learning.base import base_forecaster
from daemon.learning.climatology import Climatology
from daemon.learning.evaluation import score
from daemon.learning.seasonal_naive import SeasonalNaive
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec, counts_for
from tests.benchmarks.bench_accuracy import read_pack
from tests.benchmarks.fleets import START
from tests.benchmarks.realism import figures

_SEEDS, _SERVERS, _DAYS = range(71, 83), 60, 44
_TEST_DAYS, _EVERY_SECONDS = 10, 4 * 3600
_BETWEEN = (0.25, 0.5, 0.75)


def main() -> None:
    """Print a row per measure: quartiles of each recording and of the simulator, and whether it lies inside."""
    folder = os.environ.get("FOREWARN_REAL_DATA")
    if not folder:
        print("realism: not measured; FOREWARN_REAL_DATA names no folder of real metrics")
        return
    panels = {path.parent.name: read_pack(path.parent).panel for path in sorted(Path(folder).glob("*/pack.json"))}
    panels["simulator"] = _simulated()
    measured = {name: figures(panel) for name, panel in panels.items()}
    skills = {name: _skill(panel) for name, panel in panels.items()}
    print(f"| quartiles over series | {' | '.join(panels)} | inside |")
    print("| --- " * (len(panels) + 2) + "|")
    inside = []
    for measure in measured["simulator"]:
        quartiles = {name: np.nanquantile(found[measure], _BETWEEN) for name, found in measured.items()}
        medians = [quartiles[name][1] for name in panels if name != "simulator"]
        inside.append(min(medians) <= quartiles["simulator"][1] <= max(medians))
        cells = [" ".join(f"{value:.3g}" for value in quartiles[name]) for name in panels]
        print(f"| {measure} | {' | '.join(cells)} | {'yes' if inside[-1] else 'no'} |")
    for position, measure in enumerate(("base network against seasonal naive", "climatology against seasonal naive")):
        row = {name: skill[position] for name, skill in skills.items()}
        real = [value for name, value in row.items() if name != "simulator"]
        inside.append(min(real) <= row["simulator"] <= max(real))
        cells = [f"{value:.3f}" for value in row.values()]
        print(f"| loss of the {measure} | {' | '.join(cells)} | {'yes' if inside[-1] else 'no'} |")
    print(f"{sum(inside)} of {len(inside)} inside the range of the recordings")


def _simulated() -> Panel:
    """Return the history of all fleets as if they were one; servers are named by the seed of theirs too."""
    keys: list[SeriesKey] = []
    values = []
    for seed in _SEEDS:
        fleet = Fleet(FleetSpec(seed=seed, counts=counts_for(_SERVERS)))
        panel = fleet.panel(START, START + _DAYS * 86_400 - STEP_SECONDS)
        keys += [key._replace(server=f"{seed}-{key.server}") for key in panel.keys]
        values.append(panel.values)
    return Panel(tuple(keys), START, np.concatenate(values), {})


def _skill(panel: Panel) -> tuple[float, float]:
    """Return the loss of the base network and of the climatology relative to seasonal naive's, on the last days."""
    last = panel.end - 96 * STEP_SECONDS
    origins = range(last - _TEST_DAYS * 86_400, last + 1, _EVERY_SECONDS)
    base = base_forecaster({}, ZoneInfo("UTC"))
    scores = score({"base": base, "naive": SeasonalNaive({}), "climatology": Climatology({})}, panel, origins)
    return tuple(relative_loss(scores.sums[name], scores.sums["naive"]) for name in ("base", "climatology"))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
