"""The cost of holding one server in ten out of the training: accuracy on these servers with and without them.

The training starts from the packaged base network, which was pretrained without bitbrains.
"""

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from daemon.breach.model import BASE_FOLDER
from daemon.core.levels import LEVELS, LevelName
from daemon.core.series import Panel
from daemon.forecasting.evaluation import evaluate
from daemon.network.artifact import load_network
from daemon.network.training import TrainedModel, train
from tests.benchmarks.bench_accuracy import UTC, read_pack

PACK = "bitbrains"
EPOCHS = 4


def main(epochs: int = EPOCHS) -> None:
    """Print a line for the model without the held-out servers, and one for the model trained on all servers."""
    folder = os.environ.get("FOREWARN_REAL_DATA")
    if folder is None:
        print("unknown: not measured; FOREWARN_REAL_DATA names no folder of real metrics")
        return
    panel = read_pack(Path(folder) / PACK).known
    without = trained(panel, LEVELS[LevelName.PRODUCTION].unknown_server_every, epochs)
    held_out = without.info.unknown_servers
    names = held_out.names if held_out is not None else ()
    print_line(f"{PACK}, trained without {', '.join(names)}", without, names)
    print_line(f"{PACK}, trained on all servers", trained(panel, 0, epochs), names)


def trained(panel: Panel, every: int, epochs: int) -> TrainedModel:
    level = replace(LEVELS[LevelName.PRODUCTION], unknown_server_every=every)
    return train(panel, {}, UTC, level, seed=1, epochs=epochs, start=load_network(BASE_FOLDER)[0])


def print_line(name: str, model: TrainedModel, servers: Collection[str]) -> None:
    figures = evaluate(model.forecaster(""), model.panel, *model.held_out, servers).unknown_servers
    assert figures is not None
    seconds, loss = model.info.duration_seconds, model.info.quantile_loss
    print(
        f"{name}: trained in {seconds:.0f} s, quantile loss, all servers {loss:.4f}; held-out servers: "
        f"relative loss {figures.skill:.3f}, quantile loss {figures.quantile_loss:.4f}; "
        f"the other servers: {figures.known_skill:.3f}, {figures.known_quantile_loss:.4f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
