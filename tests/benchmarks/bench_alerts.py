"""Early warning beside the alert rules in use today, on real servers and on a simulated fleet of another seed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from daemon.backtest.alerts import alert_document, compare
from daemon.backtest.forecasts import REFERENCE, default_peers
from daemon.breach.definition import thresholded
from daemon.breach.model import BASE_FOLDER
from daemon.cli.backtest import print_alert_tables
from daemon.config.loading import default_text, parse_config
from daemon.core.forecast import Forecaster
from daemon.core.levels import LEVELS, LevelName
from daemon.core.metric import Metric, Thresholds
from daemon.core.series import STEP_SECONDS, Panel
from daemon.forecasting.baselines import SeasonalNaive
from daemon.network.artifact import load_network
from daemon.network.training import train
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec
from tests.benchmarks.bench_accuracy import UTC, read_pack, say
from tests.benchmarks.fleets import START

HALF_HOUR = 1800
SIMULATED_SEED, SIMULATED_DAYS, TRAINING_DAYS = 99, 44, 34


def main() -> None:
    """Print the tables; LightGBM is among the peers on bitbrains only, where its figure is the target."""
    folder = os.environ.get("FOREWARN_REAL_DATA")
    if folder is None:
        print("alerts on real servers: not measured; FOREWARN_REAL_DATA names no folder of real metrics")
    for path in sorted(Path(folder).glob("*/pack.json")) if folder else []:
        pack = read_pack(path.parent)
        limits = json.loads(path.read_text(encoding="utf-8"))["incidents"]
        metrics = {
            name: Metric(name=name, minimum=0, thresholds=Thresholds(critical=limit)) for name, limit in limits.items()
        }
        name = path.parent.name
        others = default_peers(pack.panel, pack.train_end, UTC, lambda done: None) if name == "bitbrains" else {}
        measure(name, pack.panel, pack.train_end, metrics, others)
    panel = Fleet(FleetSpec(seed=SIMULATED_SEED)).panel(START, START + SIMULATED_DAYS * 86_400 - STEP_SECONDS)
    metrics = dict(parse_config(default_text(), "default.yaml", Path.cwd()).domain_metrics())
    measure(f"simulator, seed {SIMULATED_SEED}", panel, START + TRAINING_DAYS * 86_400, metrics, {})


def measure(
    name: str, panel: Panel, train_end: int, metrics: Mapping[str, Metric], others: Mapping[str, Forecaster]
) -> None:
    """Train at production level up to ``train_end``, and print the figures of early warning after it."""
    say(f"{name}: training at production level")
    start, _ = load_network(BASE_FOLDER)
    model = train(panel.between(panel.start, train_end), metrics, UTC, LEVELS[LevelName.PRODUCTION], start=start)
    rows = [row for row, key in enumerate(panel.keys) if key.metric in thresholded(metrics)]
    origins = range(train_end, panel.end - 8 * 3600 + 1, HALF_HOUR)
    rivals: dict[str, Forecaster] = {REFERENCE: SeasonalNaive({}), **others}
    say(f"{name}: {len(origins)} origins")
    compared = compare(
        panel.select(rows), origins, model.forecaster(name), model=model.breach, others=rivals, metrics=metrics
    )
    print(f"\n{name}, every half hour after the end of training")
    print_alert_tables(alert_document(compared, model.breach, ""))


if __name__ == "__main__":
    main()
