"""Speed and accuracy of forewarn's network beside the stock TFT of pytorch-forecasting, each with all cores.

``python -m tests.benchmarks.bench_forecaster small`` runs everything on a tiny fleet, as a check of the benchmark.
"""

import os
import statistics
import sys
import time
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import torch

from daemon.core.forecast import Forecaster
from daemon.core.levels import LEVELS, LevelName
from daemon.core.scoring import coverage, relative_loss
from daemon.core.series import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR, Panel
from daemon.forecasting.baselines import SeasonalNaive
from daemon.forecasting.evaluation import score
from daemon.network import stock_tft
from daemon.network.training import TrainedModel, train
from tests.benchmarks.fleets import full_fleet

DEMO = LEVELS[LevelName.DEMO]
UTC = ZoneInfo("UTC")
WARM_UP_STEPS = 2
STOCK_SIZES = (32, stock_tft.HIDDEN_SIZE)
"""Hidden sizes of the stock TFT: with about as many parameters as forewarn's network, and that of its tutorial."""
_EVERY_STEPS = 48


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements.

    Attributes:
        servers: servers to train on, 14 metrics each.
        held_out_hours: span after the week of training, to score both networks on.
        rounds: number of trainings that are measured for each side, in turns.
        steps: training steps of the stock TFT in a round, after the warm-up.
        fleets: number of servers to forecast, and of runs of the stock TFT, at most ``repeats``.
        history_hours: history of a forecast.
        repeats: number of runs of forewarn on each fleet, after one warm-up.
        seconds: length of the longer training at equal time.
    """

    servers: int = 20
    held_out_hours: int = 48
    rounds: int = 3
    steps: int = 15
    fleets: tuple[tuple[int, int], ...] = ((160, 1), (1000, 0))
    history_hours: int = 672
    repeats: int = 5
    seconds: float = 60


SMALL = Sizes(servers=3, held_out_hours=12, rounds=1, steps=2, fleets=((4, 2),), repeats=2, seconds=6)


def main(sizes: Sizes | None = None) -> None:
    """Print the table."""
    sizes = sizes or Sizes()
    # forewarn sets the variable when it is imported, after torch has read it
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    week = full_fleet(sizes.servers, DEMO.data_hours + sizes.held_out_hours)
    train_end = week.start + (DEMO.data_hours * STEPS_PER_HOUR - 1) * STEP_SECONDS
    print(f"{sizes.servers} servers x {len(week.keys) // sizes.servers} metrics x {DEMO.data_hours} h to train on; "
          f"{len(os.sched_getaffinity(0))} core(s); torch {torch.__version__}")  # fmt: skip
    print(f"{'':70}{'forewarn':>10}{'stock':>10}{'ratio':>8}")
    demo = _training(week.between(week.start, train_end), sizes)
    _forecasting(demo.forecaster("forewarn"), sizes)
    _equal_time(week, train_end, demo, sizes)


def _training(panel: Panel, sizes: Sizes) -> TrainedModel:
    windows = stock_tft.data_set(panel, UTC)
    networks = [stock_tft.untrained_network(windows, size) for size in STOCK_SIZES]
    ours: list[float] = []
    theirs: list[list[float]] = [[] for _ in networks]
    for number in range(sizes.rounds):
        _say(f"training, round {number + 1} of {sizes.rounds}")
        demo = train(panel, {}, UTC, DEMO)
        ours.append(demo.fit.records[-1].samples_per_second)
        for network, rates in zip(networks, theirs, strict=True):
            rates.append(_stock_rate(network, windows, sizes.steps))
    for network, rates in zip(networks, theirs, strict=True):
        label = f"training, windows/s; {_parameters(demo.network)} and {_parameters(network)} parameters"
        rate, peer = statistics.median(ours), statistics.median(rates)
        _row(label, f"{rate:,.0f}", f"{peer:,.0f}", rate / peer, "target ≥ 6")
    return demo


def _stock_rate(
    network: stock_tft.TemporalFusionTransformer, windows: stock_tft.TimeSeriesDataSet, steps: int
) -> float:
    ends = stock_tft.fit(network, windows, steps=WARM_UP_STEPS + steps).ends
    return steps * stock_tft.BATCH_SIZE / (ends[-1] - ends[WARM_UP_STEPS - 1])


def _parameters(network: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()) / 1000:.0f}k"


def _forecasting(ours: Forecaster, sizes: Sizes) -> None:
    for servers, stock_runs in sizes.fleets:
        _say(f"forecasting {servers} servers: simulating")
        panel = full_fleet(servers, sizes.history_hours)
        # untrained: the time does not depend on the weights
        recent = panel.between(panel.end - (stock_tft.ENCODER_STEPS + HORIZON_STEPS - 1) * STEP_SECONDS, panel.end)
        theirs = _untrained_stock(recent) if stock_runs else None
        _seconds(ours, panel)
        own, peer = [], []
        for number in range(sizes.repeats):
            _say(f"forecasting {servers} servers, run {number + 1}")
            own.append(_seconds(ours, panel))
            if theirs is not None and number < stock_runs:
                peer.append(_seconds(theirs, panel))
        seconds, others = statistics.median(own), statistics.median(peer) if peer else None
        target = {160: "target < 0.4 s, ≥ 8", 1000: "target < 3 s"}.get(servers, "")
        label = f"{servers} servers from raw history to quantiles, s; medians of {len(own)} and {len(peer)}"
        if others is None:
            _row(label, f"{seconds:.2f}", "", None, target)
        else:
            _row(label, f"{seconds:.2f}", f"{others:.2f}", others / seconds, target)


def _untrained_stock(panel: Panel) -> stock_tft.StockForecaster:
    network = stock_tft.untrained_network(stock_tft.data_set(panel, UTC))
    return stock_tft.StockForecaster(network, frozenset(panel.keys), UTC)


def _seconds(forecaster: Forecaster, panel: Panel) -> float:
    started = time.perf_counter()
    made = forecaster.forecast(panel, panel.end)
    seconds = time.perf_counter() - started
    if len(made.keys) != len(panel.keys):
        raise RuntimeError(f"{forecaster!r:.60} forecast {len(made.keys)} of {len(panel.keys)} series")
    return seconds


def _equal_time(week: Panel, train_end: int, demo: TrainedModel, sizes: Sizes) -> None:
    panel = week.between(week.start, train_end)
    _compare(week, train_end, demo, _training_seconds(demo))
    epochs = max(2, round(sizes.seconds / _training_seconds(demo)))
    _say(f"training of {epochs} epochs")
    longer = train(panel, {}, UTC, DEMO, epochs=epochs)
    _compare(week, train_end, longer, max(sizes.seconds, _training_seconds(longer)))


def _training_seconds(model: TrainedModel) -> float:
    return model.info.duration_seconds


def _compare(week: Panel, train_end: int, model: TrainedModel, seconds: float) -> None:
    _say(f"training stock for {seconds:.0f} s")
    theirs, stock_seconds = _stock_after(week.between(week.start, train_end), seconds)
    origins = range(train_end, week.end - HORIZON_STEPS * STEP_SECONDS + 1, _EVERY_STEPS * STEP_SECONDS)
    _say(f"scoring {len(origins)} origins")
    forecasters = {"forewarn": model.forecaster("forewarn"), "stock": theirs, "naive": SeasonalNaive({})}
    sums = score(forecasters, week, origins).sums
    after = f"after {_training_seconds(model):.0f} s and {stock_seconds:.0f} s of training"
    loss, peer = (relative_loss(sums[name], sums["naive"]) for name in ("forewarn", "stock"))
    _row(f"relative loss {after}", f"{loss:.3f}", f"{peer:.3f}", peer / loss)
    inside = {name: coverage(each)["80"] for name, each in sums.items()}
    naive = f"naive {inside['naive']:.3f}"
    _row(f"coverage of the 80 % interval {after}", f"{inside['forewarn']:.3f}", f"{inside['stock']:.3f}", None, naive)


def _stock_after(panel: Panel, seconds: float) -> tuple[stock_tft.StockForecaster, float]:
    started = time.perf_counter()
    forecaster = stock_tft.fit_stock_tft(panel, UTC, steps=sys.maxsize, seconds=seconds)
    return forecaster, time.perf_counter() - started


def _row(label: str, ours: str, theirs: str, ratio: float | None, note: str = "") -> None:
    print(f"{label:70}{ours:>10}{theirs:>10}{'' if ratio is None else f'{ratio:.2f}':>8}  {note}".rstrip(), flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(SMALL if "small" in sys.argv[1:] else None)
