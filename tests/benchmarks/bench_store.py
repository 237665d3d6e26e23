"""Time to read a month from the store, compared with the same month from parquet files."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Float32, Panel, Samples, SeriesKey
from daemon.network.history import History
from daemon.store.history import SqlStore

DAYS, SERVERS, METRICS, RUNS = 30, 160, 14, 3
START = 1_767_225_600
END = START + (DAYS * STEPS_PER_DAY - 1) * STEP_SECONDS
KEYS = tuple(
    SeriesKey(f"server-{server:04}", f"metric_{metric:02}") for server in range(SERVERS) for metric in range(METRICS)
)


def main() -> None:
    """Print the time to write the month, to read it from each kind of file, the ratios and the sizes."""
    values = np.random.default_rng(7).uniform(0, 100, (len(KEYS), DAYS * STEPS_PER_DAY)).astype(np.float32)
    month = Panel(KEYS, START, values)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("store.db", "long.parquet", "wide.parquet")}
        store = SqlStore(f"sqlite:///{paths['store.db']}")
        write_store(store, month)
        write_parquet(paths["long.parquet"], paths["wide.parquet"], month)
        ours = measure("store", lambda: store.read(START, END), month)
        long = measure("long parquet, pandas", lambda: read_long(paths["long.parquet"]), month)
        wide = measure("wide parquet, pandas", lambda: read_wide(paths["wide.parquet"]), month)
        print(f"store / long parquet: {ours / long:.2f} of the time; store / wide parquet: {ours / wide:.2f}")
        store.close()
        began = time.perf_counter()
        History.from_panel(month, ZoneInfo("UTC"))
        print(f"panel into the training tensors: {time.perf_counter() - began:.2f} s")
        for name, path in paths.items():
            print(f"{name}: {path.stat().st_size / 2**20:.0f} MiB")


def write_store(store: SqlStore, month: Panel) -> None:
    """Append the month a day at a time."""
    seconds = []
    for day in range(DAYS):
        first = START + day * STEPS_PER_DAY * STEP_SECONDS
        batch = Samples.from_panel(month.between(first, first + (STEPS_PER_DAY - 1) * STEP_SECONDS))
        began = time.perf_counter()
        store.append(batch)
        seconds.append(time.perf_counter() - began)
    rate = month.values.size / sum(seconds) / 1e6
    median = statistics.median(seconds)
    print(f"store, append a day of {len(batch):,} samples: {median:.2f} s; {rate:.1f} M samples/s in all")
    tick = Samples.from_panel(month.between(END, END))
    tick = Samples(keys=tick.keys, series=tick.series, timestamps=tick.timestamps + STEP_SECONDS, values=tick.values)
    began = time.perf_counter()
    store.append(tick)
    print(f"store, append a tick of {len(tick):,} samples: {(time.perf_counter() - began) * 1000:.0f} ms")


def write_parquet(long_path: Path, wide_path: Path, month: Panel) -> None:
    """Write the month in both forms of the design, ordered by time."""
    times = pd.to_datetime(month.timestamps, unit="s", utc=True)
    servers, metrics = (pd.Categorical([key[part] for key in KEYS]) for part in (0, 1))
    by_time = month.values.T
    pd.DataFrame(
        {
            "timestamp": np.repeat(times, len(KEYS)),
            "server": pd.Categorical.from_codes(np.tile(servers.codes, month.steps), servers.categories),
            "metric": pd.Categorical.from_codes(np.tile(metrics.codes, month.steps), metrics.categories),
            "value": by_time.ravel(),
        }
    ).to_parquet(long_path)
    names = metrics.categories
    wide = pd.DataFrame(by_time.reshape(-1, METRICS), columns=names)
    wide.insert(0, "timestamp", np.repeat(times, SERVERS))
    codes = np.tile(np.arange(SERVERS), month.steps)
    wide.insert(1, "server", pd.Categorical.from_codes(codes, servers.categories))
    wide.to_parquet(wide_path)


def read_long(path: Path) -> Panel:
    """Return a long file as a panel."""
    return panel_of(pd.read_parquet(path).pivot(index="timestamp", columns=["server", "metric"], values="value"))


def read_wide(path: Path) -> Panel:
    """Return a wide file as a panel."""
    return panel_of(pd.read_parquet(path).pivot(index="timestamp", columns="server").swaplevel(axis="columns"))


def panel_of(frame: pd.DataFrame) -> Panel:
    """Return a frame of times by (server, metric) as a panel."""
    frame = frame.sort_index(axis="columns")
    keys = tuple(SeriesKey(server, metric) for server, metric in frame.columns)
    return Panel(keys, START, np.ascontiguousarray(frame.to_numpy(np.float32).T))


def measure(name: str, read: Callable[[], Panel], month: Panel) -> float:
    """Print and return the median seconds of some reads; the result must be the month."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        panel = read()
        seconds.append(time.perf_counter() - began)
    check(panel, month.values)
    median = statistics.median(seconds)
    print(f"{name}, read {len(panel.keys):,} series x {panel.steps:,} steps: {median:.2f} s (median of {RUNS})")
    return median


def check(panel: Panel, values: Float32) -> None:
    """Raise unless ``panel`` holds exactly ``values``."""
    if panel.keys != KEYS or not np.array_equal(panel.values, values):
        raise RuntimeError("the panel that was read is not the one that was written")


if __name__ == "__main__":
    main()
