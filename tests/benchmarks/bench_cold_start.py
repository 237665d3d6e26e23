"""Accuracy on servers with little history, and the benefit of their profile.

The servers are of another seed than those of the training, and the model gets only their last hours. The same model
forecasts them with their profile and with the profile masked.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from daemon.breach.model import BASE_FOLDER
from daemon.core.forecast import Forecaster
from daemon.core.levels import LEVELS, LevelName
from daemon.core.scoring import Sums
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_HOUR, Float64, Panel
from daemon.forecasting.baselines import Climatology
from daemon.network.artifact import base_forecaster, load_network
from daemon.network.forecaster import HISTORY_STEPS
from daemon.network.training import train
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec, counts_for
from tests.benchmarks.bench_accuracy import UTC, read_pack, say
from tests.benchmarks.fleets import START

TRAINED_SEED, TESTED_SEED, SERVERS, DAYS = 41, 61, 20, 36
SHOWN = {"1 h": STEPS_PER_HOUR, "8 h": 8 * STEPS_PER_HOUR, "1 d": STEPS_PER_DAY, "3 d": 3 * STEPS_PER_DAY}
ORIGINS = 36


def main() -> None:
    """Print a table for simulated servers with a trained model, and one for the recordings with the base network."""
    spec = FleetSpec(seed=TRAINED_SEED, counts=counts_for(SERVERS))
    end = START + DAYS * 86_400 - STEP_SECONDS
    say("training at production level")
    start = load_network(BASE_FOLDER)[0]
    model = train(Fleet(spec).panel(START, end), {}, UTC, LEVELS[LevelName.PRODUCTION], start=start)
    panel = Fleet(replace(spec, seed=TESTED_SEED)).panel(START, end)
    # both fleets have the same server names, and the model must not take these servers for its own
    keys = tuple(key._replace(server=f"new-{key.server}") for key in panel.keys)
    profiles = {f"new-{server}": profile for server, profile in panel.profiles.items()}
    with_profile = replace(panel, keys=keys, profiles=profiles)
    # an unknown profile counts as none
    masked = replace(with_profile, profiles=dict.fromkeys(profiles, "masked"))
    days = np.random.default_rng(0).choice((DAYS - 29) * STEPS_PER_DAY - HORIZON_STEPS, ORIGINS, replace=False)
    origins = [START + (29 * STEPS_PER_DAY + int(step)) * STEP_SECONDS for step in days]
    forecaster = model.forecaster("")
    whole = shown(forecaster, with_profile, origins, HISTORY_STEPS)
    without = shown(forecaster, masked, origins, HISTORY_STEPS)
    print("simulated servers: loss relative to the same servers with 28 days of history, geometric mean over series")
    print("| history | with the profile | profile masked | saved by the profile | climatology |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| 28 d | 1 | {ratio(without, whole):.3f} | {1 - ratio(whole, without):.1%} | |")
    for name, steps in SHOWN.items():
        known, unknown = (shown(forecaster, each, origins, steps) for each in (with_profile, masked))
        plain = shown(Climatology({}), with_profile, origins, steps)
        against = [ratio(each, whole) for each in (known, unknown, plain)]
        saved = 1 - ratio(known, unknown)
        print(f"| {name} | {against[0]:.3f} | {against[1]:.3f} | {saved:.1%} | {against[2]:.3f} |", flush=True)
    recordings()


def recordings() -> None:
    """Print the losses of the base network and of the climatology on the last hours of each recording."""
    folder = os.environ.get("FOREWARN_REAL_DATA")
    if folder is None:
        print("cold start on real servers: not measured; FOREWARN_REAL_DATA names no folder of real metrics")
        return
    packs = {path.parent.name: read_pack(path.parent) for path in sorted(Path(folder).glob("*/pack.json"))}
    base, rows = base_forecaster({}, UTC), {name: [f"| {name}"] for name in SHOWN}
    for pack in packs.values():
        origins = pack.origins[::2]
        whole = shown(base, pack.panel, origins, HISTORY_STEPS)
        for name, steps in SHOWN.items():
            losses = (shown(each, pack.panel, origins, steps) for each in (base, Climatology({})))
            rows[name].append(", ".join(f"{ratio(each, whole):.2f}" for each in losses))
    print("recordings: the relative loss of the base network, then of the climatology")
    print(f"| history | {' | '.join(packs)} |\n{'| --- ' * (len(packs) + 1)}|")
    for cells in rows.values():
        print(f"{' | '.join(cells)} |")


def shown(forecaster: Forecaster, panel: Panel, origins: Iterable[int], steps: int) -> Float64:
    """Return the mean pinball loss of each series, ``(series,)``, forecast from its last ``steps`` only."""
    sums, row_of = Sums.zeros(len(panel.keys)), {key: row for row, key in enumerate(panel.keys)}
    for origin in origins:
        made = forecaster.forecast(panel.between(origin - (steps - 1) * STEP_SECONDS, origin), origin)
        rows = np.array([row_of[key] for key in made.keys], dtype=np.intp)
        actual = panel.between(origin + STEP_SECONDS, origin + HORIZON_STEPS * STEP_SECONDS).values
        sums.add(rows, actual[rows], made.paths)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Float64 = sums.pinball.sum(axis=1) / sums.count.sum(axis=1)
    return mean


def ratio(loss: Float64, reference: Float64) -> float:
    """Return the geometric mean over series of one loss over another, where both are above 0."""
    both = (loss > 0) & (reference > 0)
    return float(np.exp(np.log(loss[both] / reference[both]).mean()))


if __name__ == "__main__":
    main()
