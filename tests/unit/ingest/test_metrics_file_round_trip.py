"""What is written is what is read, for any panel and for real data."""

import os
import random
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daemon.core.metric import name_problem
from daemon.core.series import STEP_SECONDS, Panel, SeriesKey
from daemon.ingest.metrics_file import read_metrics_file, write_metrics_file

REAL_DATA = os.environ.get("FOREWARN_REAL_DATA", "")
PACKS = ("bitbrains", "jumpstarter", "smd", "gpu_pods")

names = st.text(min_size=1, max_size=8).filter(lambda name: name_problem(name) is None)


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    """Return a panel as a file can give it back: sorted, each series and either end with a sample."""
    keys = sorted(draw(st.sets(st.builds(SeriesKey, names, names), min_size=1, max_size=5)))
    steps = draw(st.integers(1, 6))
    numbers = st.floats(width=32, allow_nan=True, allow_infinity=False)
    values = draw(arrays(np.float32, (len(keys), steps), elements=numbers))
    values[0, [0, -1]] = 1
    values[np.isnan(values).all(axis=1), 0] = 2
    profiles = draw(st.dictionaries(st.sampled_from([key.server for key in keys]), names, max_size=3))
    start = draw(st.integers(-1_000_000, 30_000_000)) * STEP_SECONDS
    return Panel(tuple(keys), start, values, profiles)


def assert_same(left: Panel, right: Panel) -> None:
    """Compare every part of two panels, the values exactly."""
    assert (left.keys, left.start, dict(left.profiles)) == (right.keys, right.start, dict(right.profiles))
    np.testing.assert_array_equal(left.values, right.values)


@pytest.mark.parametrize("name", ["m.parquet", "m.csv", "m.csv.gz"])
@given(panel=panels())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(name: str, panel: Panel) -> None:
    """Names, times, profiles and values come back exactly, in each format."""
    with tempfile.TemporaryDirectory() as folder:
        write_metrics_file(Path(folder) / name, panel)
        assert_same(read_metrics_file(Path(folder) / name), panel)


@pytest.mark.parametrize("name", ["m.parquet", "m.csv"])
@given(panel=panels(), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_wide_form_says_the_same(name: str, panel: Panel, shuffle: random.Random) -> None:
    """A wide file that pandas wrote, its rows in any order, gives the panel that it was made of."""
    reserved = {"timestamp", "server", "profile", "metric", "value", "", "index"}
    if reserved & {key.metric for key in panel.keys} or any(key.metric.startswith("__index") for key in panel.keys):
        reject()
    rows: dict[tuple[int, str], dict[str, float]] = {}
    for key, series in zip(panel.keys, panel.values, strict=True):
        for time, value in zip(panel.timestamps, series, strict=True):
            rows.setdefault((int(time), key.server), {})[key.metric] = value
    frame = pd.DataFrame([{"timestamp": time, "server": server, **values} for (time, server), values in rows.items()])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="s", utc=True)
    frame["profile"] = frame["server"].map(dict(panel.profiles)).astype("str" if panel.profiles else "object")
    frame = frame.sample(frac=1, random_state=shuffle.randint(0, 99), ignore_index=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
        assert_same(read_metrics_file(path), panel)


@pytest.mark.skipif(not REAL_DATA, reason="FOREWARN_REAL_DATA names no folder of real metrics")
@pytest.mark.parametrize("pack", PACKS)
def test_real_data_loses_nothing(pack: str, tmp_path: Path) -> None:
    """Every sample that pandas sees in a pack is in the panel, and comes back from a file written of it."""
    folder = Path(REAL_DATA) / pack
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    panel = read_metrics_file(folder)
    frame = pd.read_parquet(folder / "data.parquet").dropna()
    servers = {name: row for row, name in enumerate(frame["server"].cat.categories)}
    assert len(frame) == np.isfinite(panel.values).sum()
    assert {key.server for key in panel.keys} <= servers.keys()
    row_of = {key: row for row, key in enumerate(panel.keys)}
    sample = frame.sample(2000, random_state=0)
    times = (sample["timestamp"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)
    rows = [row_of[SeriesKey(*key)] for key in zip(sample["server"], sample["metric"], strict=True)]
    np.testing.assert_array_equal(panel.values[rows, (times - panel.start) // STEP_SECONDS], sample["value"])
    write_metrics_file(tmp_path / "m.parquet", panel)
    assert_same(read_metrics_file(tmp_path / "m.parquet"), panel)
