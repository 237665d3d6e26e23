from typing import Any

import pytest

from daemon.models.readiness import Check, FileCounts, Readiness, readiness
from tests.training_records import training_info

COMPLETE = FileCounts(epochs_with_losses=6, samples=864, samples_with_actual=860)
LINES = (
    "20 epochs or more",
    "30 days of history or more",
    "losses recorded",
    "samples beside actual values",
    "quantile loss computed",
    "convergence documented",
    "held-out test done",
    "profiles validated",
    "unknown servers tested",
    "inference latency measured",
)


def of(counts: FileCounts = COMPLETE, **changes: object) -> Readiness:
    return readiness(training_info(**changes), counts)


def line(made: Readiness, name: str) -> Check:
    (found,) = (check for check in made.checks if check.name == name)
    return found


def test_a_full_record_passes_every_line_with_its_evidence() -> None:
    """Ten lines, each with its figures and where they stand, and nothing to do."""
    made = of()
    assert tuple(check.name for check in made.checks) == LINES
    assert (made.ready, made.failing, made.level) == (True, (), "production")
    evidence = {check.name: check.evidence for check in made.checks}
    assert evidence == {
        "20 epochs or more": (
            "6 of at most 20 epochs were run; early stopping ended it after 3 epochs without improvement in validation"
        ),
        "30 days of history or more": "720 h (2026-01-02T00:05:00Z to 2026-02-01T00:00:00Z)",
        "losses recorded": "6 of 6 epochs have a training loss and a validation loss",
        "samples beside actual values": "860 of 864 sample predictions have an actual value",
        "quantile loss computed": "0.155 on the held-out test, good",
        "convergence documented": "achieved: by early stopping",
        "held-out test done": "17 origins, 2026-01-29T00:00:00Z to 2026-02-01T00:00:00Z",
        "profiles validated": "pinball loss relative to repeating yesterday: database 0.660",
        "unknown servers tested": (
            "1 server, 51 windows: 0.701 of the loss of repeating yesterday, 0.655 on the other servers"
        ),
        "inference latency measured": "35.2 ms for one forecast of all series",
    }
    assert not [check for check in made.checks if check.fix or ": " not in check.source]
    assert line(made, "losses recorded").source == "epochs.jsonl: train_loss, val_loss"
    assert line(made, "quantile loss computed").source == "training_info.json: quantile_loss"


@pytest.mark.parametrize(
    ("failing", "changes"),
    [
        ("20 epochs or more", {"epochs": 6, "early_stopping": False, "convergence": "not achieved"}),
        ("20 epochs or more", {"planned_epochs": 19}),
        ("20 epochs or more", {"planned_epochs": None}),
        ("30 days of history or more", {"data_hours": 719.9}),
        ("quantile loss computed", {"quantile_loss": None}),
        ("convergence documented", {"convergence": "not achieved"}),
        ("profiles validated", {"by_profile": {}}),
        ("profiles validated", {"by_profile": {"database": {"skill": 0.6}, "web_api": {"skill": None}}}),
        ("unknown servers tested", {"unknown_servers": None}),
        ("unknown servers tested", {"unknown_servers": {"servers": 1, "windows": 0, "skill": 0.7}}),
        ("unknown servers tested", {"unknown_servers": {"servers": 1, "windows": 51, "skill": None}}),
        ("inference latency measured", {"inference_latency_ms": 0}),
    ],
)
def test_each_line_of_the_record_can_fail_alone(failing: str, changes: dict[str, Any]) -> None:
    """What is missing is the evidence, and what to do stands beside it."""
    made = of(**changes)
    assert (made.ready, made.failing) == (False, (failing,))
    assert line(made, failing).fix.endswith(".")


@pytest.mark.parametrize(
    ("failing", "counts"),
    [
        ("losses recorded", FileCounts(None, 864, 860)),
        ("losses recorded", FileCounts(5, 864, 860)),
        ("samples beside actual values", FileCounts(6, None, None)),
        ("samples beside actual values", FileCounts(6, 864, 0)),
    ],
)
def test_each_line_of_the_other_files_can_fail_alone(failing: str, counts: FileCounts) -> None:
    """A file that is missing, or lacks what it should hold, fails its own line."""
    assert of(counts).failing == (failing,)


def test_twenty_epochs_pass_however_they_ended() -> None:
    """Who runs them all need not have been stopped, and early stopping counts only within a plan of 20."""
    run = {"epochs": 20, "early_stopping": False, "convergence": "not achieved", "planned_epochs": 20}
    made = of(FileCounts(20, 864, 860), **run)
    assert made.ready
    assert line(made, "20 epochs or more").evidence == "20 of at most 20 epochs were run"
    assert line(made, "convergence documented").evidence == (
        "not achieved: it reached its last epoch before early stopping ended it"
    )
    assert of(FileCounts(20, 864, 860), **run | {"planned_epochs": None}).ready


@pytest.mark.parametrize("changes", [{"held_out": {"span": "validation"}}, {"level": "validation"}, {"level": "demo"}])
def test_without_a_held_out_test_what_needs_one_fails(changes: dict[str, Any]) -> None:
    """Figures of the span that chose the epoch validate nothing, and are not shown."""
    made = of(**changes)
    assert made.failing == ("held-out test done", "profiles validated", "unknown servers tested")
    evidence = " ".join(check.evidence for check in made.checks)
    assert not [figure for figure in ("0.155", "0.66", "0.701") if figure in evidence]


def test_without_a_model_no_line_passes() -> None:
    """Every check fails."""
    made = readiness(None, FileCounts())
    assert (made.level, made.failing) == (None, LINES)
