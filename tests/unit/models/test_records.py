import json
import math
from pathlib import Path
from typing import Any

import pytest

from daemon.core.errors import BadModel
from daemon.core.levels import LevelName
from daemon.core.training_info import TrainingInfo, read_epochs, write_epochs
from daemon.models.record import read_record
from tests.training_records import EPOCHS, INFO, training_info

LATER_KEYS = (
    *("planned_epochs", "servers", "quantile_loss_rating", "overfitting", "started_from", "seen_before", "held_out"),
    *("coverage_by_metric", "reliability", "skill_by_horizon", "by_profile", "unknown_servers"),
    *("incident_figures", "breach_reliability", "calibration_effect", "verdict"),
)
FIRST_VERSION = {key: value for key, value in INFO.items() if key not in LATER_KEYS}


def write(folder: Path, info: object) -> Path:
    (folder / "training_info.json").write_text(json.dumps(info), encoding="utf-8")
    write_epochs(folder, EPOCHS)
    return folder


def test_a_record_is_read(tmp_path: Path) -> None:
    """Times become seconds, the level a level, and the last epoch stands beside them."""
    record = read_record(write(tmp_path, INFO))
    assert record is not None
    info = record.info
    assert (info.level, info.epochs, info.duration_seconds) == (LevelName.PRODUCTION, 6, 180)
    assert (info.trained_seconds, info.trained_until) == (1_769_915_045, 1_769_904_000)
    assert info.skill == {"cpu": 0.61, "disk": 0.83, "mem": 0.72}
    assert info.verdict is not None
    assert (info.verdict.promoted, info.verdict.coverage_80) == (True, 0.803)
    assert record.last_epoch == EPOCHS[-1]


def test_a_record_is_written_as_it_was_read(tmp_path: Path) -> None:
    """All keys of the file, and null for what was not measured."""
    info = training_info(skill_vs_seasonal_naive={"cpu": math.nan, "mem": 0.5}, quantile_loss=math.inf)
    info.write(tmp_path)
    document = json.loads((tmp_path / "training_info.json").read_text(encoding="utf-8"))
    assert document["skill_vs_seasonal_naive"] == {"cpu": None, "mem": 0.5}
    assert document["quantile_loss"] is None
    assert document["held_out"] == INFO["held_out"]
    assert (document["data_hours"], document["seed"]) == (720, 7)
    assert TrainingInfo.read(tmp_path) == info


def test_a_record_of_the_first_version_is_read(tmp_path: Path) -> None:
    """What it lacks is not known, and its figures are of no test."""
    info = TrainingInfo.read(write(tmp_path, FIRST_VERSION))
    assert info is not None
    assert [getattr(info, key) for key in LATER_KEYS] == [() if key == "seen_before" else None for key in LATER_KEYS]
    assert not info.tested


def test_a_record_of_a_later_version_is_read() -> None:
    """A key that this version does not know is ignored."""
    assert training_info(of_a_later_version=1) == training_info()


@pytest.mark.parametrize(
    ("changes", "tested"),
    [
        ({"held_out": {"span": "test"}}, True),
        ({"held_out": {"span": "validation"}}, False),
        ({"held_out": None, "measured_on": "test"}, True),
        ({"held_out": None, "measured_on": "validation"}, False),
        ({"held_out": None}, False),
    ],
)
def test_whether_it_was_tested_is_read(changes: dict[str, Any], tested: bool) -> None:
    """From the span of its figures; the first versions have it under another key."""
    assert training_info(**changes).tested is tested


def test_halves_of_surrogate_pairs_become_question_marks() -> None:
    """No reader of the record meets text that cannot be encoded."""
    assert training_info(skill_vs_seasonal_naive={"m\udc80": 0.5}).skill == {"m?": 0.5}


def test_a_missing_record_is_none(tmp_path: Path) -> None:
    """A model directory without a record can still serve."""
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ([], "a JSON object is expected, not '[]'"),
        ({**INFO, "level": "super"}, "level is 'super': Input should be 'demo', 'validation', 'production' or 'large'"),
        ({**INFO, "epochs": None}, "epochs is None, and should be a finite number"),
        ({**INFO, "epochs": True}, "epochs is True, and should be a finite number"),
        ({**INFO, "final_val_loss": math.inf}, "final_val_loss is inf, and should be a finite number"),
        ({**INFO, "final_val_loss": "0.1"}, "final_val_loss is '0.1', and should be a finite number"),
        ({**INFO, "verdict": ["promoted"]}, "verdict is ['promoted']: "),
        ({**INFO, "data_to": "yesterday"}, "data_to is 'yesterday': "),
        ({**INFO, "data_to": "2026-01-01T00:00:00"}, "the time has no zone"),
        ({**INFO, "held_out": {"span": "training"}}, "held_out.span is 'training': "),
        ({key: value for key, value in INFO.items() if key != "seed"}, "seed is missing"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, info: object, problem: str) -> None:
    """The error has the model, the key and the value."""
    with pytest.raises(BadModel, match="the record of its training is damaged") as raised:
        read_record(write(tmp_path, info))
    assert str(raised.value).startswith(f"{tmp_path}: ")
    assert problem in str(raised.value)


@pytest.mark.parametrize("epochs", ["", "{", "[1]\n", '{"epoch": 0}\n'])
def test_damaged_epochs_are_named(tmp_path: Path, epochs: str) -> None:
    """A file without an epoch, or with a line that is none."""
    (write(tmp_path, INFO) / "epochs.jsonl").write_text(epochs)
    with pytest.raises(BadModel, match="the record of its training is damaged"):
        read_record(tmp_path)


def test_a_loss_that_is_no_number_is_null_on_disk(tmp_path: Path) -> None:
    """JSON has no NaN; an earlier version wrote it all the same."""
    write_epochs(tmp_path, [EPOCHS[0], *EPOCHS[1:2]])
    path = tmp_path / "epochs.jsonl"
    path.write_text(path.read_text().replace(str(EPOCHS[1].val_loss), "NaN"))
    first, second = read_epochs(tmp_path)
    assert first == EPOCHS[0]
    assert math.isnan(second.val_loss)
    write_epochs(tmp_path, [second])
    assert '"val_loss":null' in path.read_text()
    assert math.isnan(read_epochs(tmp_path)[0].val_loss)
