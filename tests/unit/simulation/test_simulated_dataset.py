import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY
from daemon.simulation import fleet as fleet_module
from daemon.simulation.dataset import write_simulation
from daemon.simulation.fleet import Day, DayMaker, Fleet
from daemon.simulation.incident import IncidentTuning, to_frame
from daemon.simulation.response import METRICS
from daemon.simulation.scenario import Scenario
from daemon.simulation.spec import FleetSpec

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
DAY = STEPS_PER_DAY * STEP_SECONDS
START, END = MONDAY + 6 * 3600, MONDAY + 7 * DAY + 3 * 3600
SPEC = FleetSpec(seed=3, incidents_per_server_week=1, outages_per_server_week=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written simulation of a week that starts and ends within a day."""
    folder = tmp_path_factory.mktemp("simulation") / "new"
    write_simulation(Fleet(SPEC), START, END, folder)
    return folder


def test_the_metrics_file_has_its_columns(folder: Path) -> None:
    """Wide: timestamp in UTC milliseconds, server and profile as text, then fourteen float32 columns."""
    schema = pq.read_schema(folder / "server_metrics.parquet")
    assert schema.names == ["timestamp", "server", "profile", *METRICS]
    assert str(schema.field("timestamp").type) == "timestamp[ms, tz=UTC]"
    assert {str(schema.field(name).type) for name in ("server", "profile")} == {"string"}
    assert {str(schema.field(metric).type) for metric in METRICS} == {"float"}


def test_the_metrics_file_has_the_samples_of_the_panel(folder: Path) -> None:
    """Every sample of the panel is in the file, bit by bit; there are no empty rows."""
    frame = pd.read_parquet(folder / "server_metrics.parquet")
    assert not frame[list(METRICS)].isna().all(axis=1).any()
    assert not frame.duplicated(["timestamp", "server"]).any()
    panel = Fleet(SPEC).panel(START, END)
    times = pd.DatetimeIndex(pd.to_datetime(panel.timestamps, unit="s", utc=True))
    # an outage has no rows, so there are fewer rows than ticks
    assert len(frame) < len(times) * len(panel.profiles)
    for metric in METRICS:
        wide = frame.pivot_table(index="timestamp", columns="server", values=metric, sort=False).reindex(times)
        for key, values in zip(panel.keys, panel.values, strict=True):
            if key.metric == metric:
                np.testing.assert_array_equal(wide[key.server].to_numpy(np.float32), values)
    assert frame[frame.server == "web-01"]["gpu_util_pct"].isna().all()


def test_the_truth_and_the_parameters_are_written(folder: Path) -> None:
    """incidents.parquet has the truth of the fleet, fleet.json its specification."""
    truth = pd.read_parquet(folder / "incidents.parquet")
    pd.testing.assert_frame_equal(truth, to_frame(Fleet(SPEC).incidents(START, END)))
    assert len(truth) > 5
    assert json.loads((folder / "fleet.json").read_text())["spec"]["seed"] == 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "fleet.json",
        "incidents.parquet",
        "server_metrics.parquet",
    ]


def test_a_fleet_without_incidents_has_an_empty_file(tmp_path: Path) -> None:
    """incidents.parquet has the same columns and no rows."""
    write_simulation(Fleet(FleetSpec(incidents_per_server_week=0)), MONDAY, MONDAY + 3600, tmp_path)
    schema = pq.read_schema(tmp_path / "incidents.parquet")
    assert schema.names == ["server", "kind", "metric", "start", "breach", "end", "cause", "precursor"]
    assert str(schema.field("breach").type) == "timestamp[ms, tz=UTC]"
    assert str(schema.field("precursor").type) == "bool"


@pytest.mark.parametrize(
    "incidents", [{}, {"disk_fill": IncidentTuning(weight=20, ramp_hours=(50, 60), hold_hours=(50, 60))}]
)
def test_no_day_is_computed_twice(
    incidents: dict[str, IncidentTuning], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every day is computed once, also with incidents of several days, so the time is linear in the span."""
    made: list[int] = []

    class Counted(DayMaker):
        def make(self, day: int, scenarios: tuple[Scenario, ...] = ()) -> Day:
            made.append(day)
            return super().make(day, scenarios)

    monkeypatch.setattr(fleet_module, "DayMaker", Counted)
    fleet = Fleet(FleetSpec(seed=3, incidents_per_server_week=2, incidents=incidents))
    write_simulation(fleet, MONDAY, MONDAY + 15 * DAY - STEP_SECONDS, tmp_path)
    assert len(made) == len(set(made)) >= 15


def test_progress_rises_to_one(tmp_path: Path) -> None:
    """The reported parts rise and end at 1."""
    reported: list[float] = []
    write_simulation(Fleet(SPEC), START, END, tmp_path, reported.append)
    assert reported == sorted(reported)
    assert len(reported) > 1
    assert reported[-1] == 1


def test_an_interrupted_write_leaves_the_old_files(tmp_path: Path) -> None:
    """After Ctrl-C there is no new and no temporary file, and an older file is unchanged."""
    older = tmp_path / "server_metrics.parquet"
    older.write_bytes(b"older")

    def interrupt(part: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simulation(Fleet(SPEC), START, END, tmp_path, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["server_metrics.parquet"]
    assert older.read_bytes() == b"older"
