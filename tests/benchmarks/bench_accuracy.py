"""Accuracy beside the peers on recordings of real servers.

Each training starts from a network that is pretrained without the tested recording.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from daemon.backtest.forecasts import REFERENCE, default_peers
from daemon.core.forecast import Forecaster, ForecasterKind
from daemon.core.levels import LEVELS, LevelName
from daemon.core.scoring import coverage, relative_loss
from daemon.core.series import STEP_SECONDS, Panel, parse_time
from daemon.forecasting.baselines import SeasonalNaive
from daemon.forecasting.evaluation import Scores, score
from daemon.ingest.metrics_file import read_metrics_file
from daemon.network.forecaster import NetworkForecaster
from daemon.network.model import TemporalFusionTransformer
from daemon.network.pretraining import pretrain
from daemon.network.training import train
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec
from tests.benchmarks.fleets import START

UTC = ZoneInfo("UTC")
BOOSTING = "LightGBM quantile regression"
PRETRAINING_EPOCHS = 7
SIMULATED_SEEDS = (11, 12)
SIMULATED_STEPS = 30 * 288


@dataclass(frozen=True)
class Pack:
    """One recording: its history, the end of the training span, and the origins."""

    panel: Panel
    train_end: int
    origins: list[int]

    @property
    def known(self) -> Panel:
        return self.panel.between(self.panel.start, self.train_end)


def main(epochs: int = PRETRAINING_EPOCHS) -> None:
    """Print a table per pack; takes about 15 minutes for each."""
    folder = os.environ.get("FOREWARN_REAL_DATA")
    if folder is None:
        print("accuracy: not measured; FOREWARN_REAL_DATA names no folder of real metrics")
        return
    packs = {path.parent.name: read_pack(path.parent) for path in sorted(Path(folder).glob("*/pack.json"))}
    simulated = {f"simulated, seed {seed}": fleet(seed) for seed in SIMULATED_SEEDS}
    for name, pack in packs.items():
        others = {other: each.known for other, each in packs.items() if other != name}
        say(f"{name}: pretraining on {', '.join([*others, *simulated])}")
        base = pretrain({**others, **simulated}, UTC, epochs=epochs).network
        say(f"{name}: training at production level, then LightGBM")
        trained = train(pack.known, {}, UTC, LEVELS[LevelName.PRODUCTION], start=base)
        forecasters: dict[str, Forecaster] = {
            "forewarn, production level": trained.forecaster(name),
            "forewarn, zero-shot, not trained on the pack": zero_shot(base),
            REFERENCE: SeasonalNaive({}),
            **default_peers(pack.panel, pack.train_end, UTC, lambda done: None),
        }
        print_table(name, score(forecasters, pack.panel, pack.origins))


def fleet(seed: int) -> Panel:
    """Return a month of 20 simulated servers."""
    return Fleet(FleetSpec(seed=seed)).panel(START, START + (SIMULATED_STEPS - 1) * STEP_SECONDS)


def read_pack(folder: Path) -> Pack:
    """Return the recording in ``folder``."""
    described = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
    origins = [int(parse_time(text.replace(" ", "T"))) for text in described["origins"]]
    train_end = int(parse_time(described["train_end"].replace(" ", "T")))
    return Pack(read_metrics_file(folder / "data.parquet"), train_end, origins)


def zero_shot(network: TemporalFusionTransformer) -> NetworkForecaster:
    return NetworkForecaster(network=network, vocabulary=None, metrics={}, zone=UTC, model="", kind=ForecasterKind.BASE)


def print_table(name: str, scores: Scores) -> None:
    print(f"\n{name}\n{'':46}relative loss  × LightGBM  coverage of the 80 % interval")
    losses = {each: relative_loss(sums, scores.sums[REFERENCE]) for each, sums in scores.sums.items()}
    for each in sorted(losses, key=lambda one: np.nan_to_num(losses[one], nan=np.inf)):
        sums = scores.sums[each]
        ratio = relative_loss(sums, scores.sums[BOOSTING])
        print(f"{each:46}{losses[each]:13.3f}{ratio:12.3f}{100 * coverage(sums)['80']:28.1f} %", flush=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
