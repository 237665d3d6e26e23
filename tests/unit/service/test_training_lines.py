import json
from dataclasses import asdict
from typing import Any

import pytest

from daemon.cli import train as module
from daemon.service.training_process import EpochLine, ResultLine, StepLine, parse_line
from tests.training_records import EPOCHS


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"epoch": 2, "epoch_share": 0.25}, StepLine(epoch=2, epoch_share=0.25)),
        ({"record": asdict(EPOCHS[1])}, EpochLine(record=EPOCHS[1])),
        (
            {"model": "m", "promoted": False, "reasons": ["It lost."]},
            ResultLine(model="m", promoted=False, reasons=("It lost.",)),
        ),
        ({"epoch": "two", "epoch_share": 0.25}, None),
        ({"warning": "x"}, None),
    ],
)
def test_each_line_of_the_child_has_its_record(document: dict[str, Any], expected: object) -> None:
    """A line of another form is none of them."""
    assert parse_line(json.dumps(document).encode()) == expected


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 200_000])
def test_other_output_is_ignored(line: bytes) -> None:
    """What a library prints is no progress."""
    assert parse_line(line) is None


def test_the_child_prints_lines_that_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """The share of an epoch once for each percent, and the record of each epoch."""
    progress = module._JsonLines()
    for step in range(1, 401):
        progress.step(0, step, 400)
    progress.epoch(EPOCHS[0])
    *steps, epoch = (parse_line(line.encode()) for line in capsys.readouterr().out.splitlines())
    assert steps == [StepLine(epoch=0, epoch_share=percent / 100) for percent in range(101)]
    assert epoch == EpochLine(record=EPOCHS[0])
