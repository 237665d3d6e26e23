import json
from pathlib import Path

import pytest

from daemon.core.errors import BadModel
from daemon.core.levels import LevelName
from daemon.models.record import read_record

INFO = {
    "level": "production",
    "trained_at": "2026-01-05T00:00:00+00:00",
    "epochs": 12,
    "final_train_loss": 0.2,
    "final_val_loss": 0.25,
    "training_time_hours": 0.05,
    "quantile_loss": 0.3,
    "skill_vs_seasonal_naive": {"cpu": 0.6},
}


def write(folder: Path, info: object, epochs: str = '{"learning_rate": 0.01, "samples_per_second": 900}\n') -> Path:
    (folder / "training_info.json").write_text(json.dumps(info), encoding="utf-8")
    (folder / "epochs.jsonl").write_text(epochs, encoding="utf-8")
    return folder


def test_a_record_is_read(tmp_path: Path) -> None:
    """Times become seconds, the level a level."""
    record = read_record(write(tmp_path, INFO))
    assert record is not None
    assert (record.level, record.epochs, record.duration_seconds) == (LevelName.PRODUCTION, 12, 180)
    assert record.trained_at == 1_767_571_200
    assert record.skill == {"cpu": 0.6}
    assert (record.promoted, record.reasons) == (None, ())


def test_a_verdict_is_read(tmp_path: Path) -> None:
    """The gate's decision and its sentences; of a model from before the gate there is none."""
    verdict = {"promoted": False, "reasons": ["It does not beat seasonal naive: 1.100."]}
    record = read_record(write(tmp_path, {**INFO, "verdict": verdict}))
    assert record is not None
    assert (record.promoted, record.reasons) == (False, ("It does not beat seasonal naive: 1.100.",))


def test_what_a_model_was_trained_on_is_read(tmp_path: Path) -> None:
    """Until when and which servers; of an older model that is not known."""
    record = read_record(write(tmp_path, {**INFO, "data_to": "2026-01-05T00:00:00Z", "servers": ["a", "b"]}))
    assert record is not None
    assert (record.trained_until, record.servers) == (1_767_571_200, ("a", "b"))
    record = read_record(write(tmp_path, INFO))
    assert record is not None
    assert (record.trained_until, record.servers) == (None, ())


def test_whether_it_was_tested_is_read(tmp_path: Path) -> None:
    """By the span that its figures come from; of an older record by its own key, or else it was not."""
    for told, tested in (
        ({"held_out": {"span": "test"}}, True),
        ({"held_out": {"span": "validation"}}, False),
        ({"measured_on": "test"}, True),
        ({}, False),
    ):
        record = read_record(write(tmp_path, {**INFO, **told}))
        assert record is not None
        assert record.tested == tested


def test_no_record_is_none(tmp_path: Path) -> None:
    """A model directory without a record can still serve."""
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    "info",
    [
        *([], {**INFO, "level": "super"}, {**INFO, "epochs": None}, {"level": "demo"}),
        *({**INFO, "epochs": float("inf")}, {**INFO, "verdict": ["promoted"]}),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, info: object) -> None:
    """What cannot be understood is an error that names the model."""
    with pytest.raises(BadModel, match="damaged"):
        read_record(write(tmp_path, info))
    with pytest.raises(BadModel, match="damaged"):
        read_record(write(tmp_path, INFO, epochs=""))
