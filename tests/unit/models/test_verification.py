import json
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from daemon.core.training_info import write_epochs
from daemon.models.record import cannot_serve, problems
from tests.model_directory import write_model
from tests.training_records import EPOCHS


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "20260101T000000Z-00000000"
    folder.mkdir()
    write_model(folder)
    return folder


def test_a_complete_model_has_no_problems(model: Path) -> None:
    """Every file of a model, and nothing else."""
    assert problems(model) == []
    assert cannot_serve(model) is None


@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors", "model.json", "calibration.json", "training_info.json", "epochs.jsonl"),
        *("samples.parquet", "report.html"),
    ],
)
def test_each_file_is_needed_and_read(name: str, model: Path) -> None:
    """One that is missing, or holds a pickle instead, is named; without the first three a model cannot serve."""
    (model / name).write_bytes(pickle.dumps({"weights": [1.0]}, protocol=4))
    assert [problem.split(": ")[:2] for problem in problems(model)] == [[name, "cannot be read"]]
    (model / name).unlink()
    assert problems(model) == [f"{name}: is missing"]
    needed = name in ("model.safetensors", "model.json", "calibration.json")
    assert cannot_serve(model) == (f"{name}: is missing" if needed else None)


def truncate_weights(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def add_pickle(model: Path) -> None:
    (model / "network.pkl").write_bytes(pickle.dumps([1]))


def add_folder(model: Path) -> None:
    (model / "more").mkdir()


def link_outside(model: Path) -> None:
    outside = model.parent / "outside.html"
    (model / "report.html").rename(outside)
    (model / "report.html").symlink_to(outside)


def change_info(**changes: Any) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        path = model / "training_info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def remove_gate_decision(model: Path) -> None:
    path = model / "training_info.json"
    info = json.loads(path.read_text())
    del info["verdict"]
    path.write_text(json.dumps(info))


def change_last_epoch(**changes: Any) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        lines = [json.dumps(record) for record in (*map(asdict, EPOCHS[:-1]), asdict(EPOCHS[-1]) | changes)]
        (model / "epochs.jsonl").write_text("\n".join(lines) + "\n")

    return change


def remove_loss(model: Path) -> None:
    record = {key: value for key, value in asdict(EPOCHS[0]).items() if key != "val_loss"}
    (model / "epochs.jsonl").write_text(json.dumps(record))


def remove_epoch(model: Path) -> None:
    write_epochs(model, EPOCHS[1:])


def remove_actual_values(model: Path) -> None:
    path = model / "samples.parquet"
    pd.read_parquet(path).drop(columns=["actual"]).to_parquet(path)


@pytest.mark.parametrize(
    ("integrity_error", "problem"),
    [
        (truncate_weights, "model.safetensors: cannot be read: "),
        (add_pickle, "network.pkl: does not belong to a model; remove it"),
        (add_folder, "more: does not belong to a model; remove it"),
        (link_outside, "report.html: is a link; a model directory holds its files itself"),
        (remove_gate_decision, "training_info.json: verdict is missing"),
        (change_info(final_val_loss=None), "training_info.json: final_val_loss is None, and should be a finite number"),
        (change_info(epochs=True), "training_info.json: epochs is True, and should be a finite number"),
        (change_info(verdict=3), "training_info.json: verdict is 3: "),
        (change_info(data_hours=float("inf")), "training_info.json: cannot be read: Infinity is not a number"),
        (remove_loss, "epochs.jsonl: line 1: val_loss is missing"),
        (
            change_last_epoch(train_loss="low"),
            "epochs.jsonl: line 6: train_loss is 'low', and should be a finite number",
        ),
        (change_last_epoch(train_loss=None), "epochs.jsonl: line 6: train_loss is None, and should be a finite number"),
        (change_last_epoch(train_loss=float("nan")), "epochs.jsonl: cannot be read: NaN is not a number"),
        (remove_epoch, "epochs.jsonl: 5 lines, and training_info.json has 6 epochs"),
        (remove_actual_values, "samples.parquet: actual is missing"),
    ],
)
def test_each_problem_is_named(integrity_error: Callable[[Path], None], problem: str, model: Path) -> None:
    """One thing that is wrong gives one sentence, with the file first."""
    integrity_error(model)
    found = problems(model)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_every_problem_is_listed(model: Path) -> None:
    """Not only the first one."""
    add_pickle(model)
    truncate_weights(model)
    remove_gate_decision(model)
    (model / "report.html").write_text(" \n")
    assert [problem.split(": ")[0] for problem in problems(model)] == [
        *("network.pkl", "model.safetensors", "training_info.json", "report.html"),
    ]


def test_a_list_is_no_record(model: Path) -> None:
    """JSON of another form is a problem with the text it has, and no traceback."""
    (model / "training_info.json").write_text("[1, 2]")
    (model / "epochs.jsonl").write_text("5\n")
    assert problems(model) == [
        "training_info.json: cannot be read: a JSON object is expected, not '[1, 2]'",
        "epochs.jsonl: cannot be read: a JSON object is expected, not '5'",
    ]
