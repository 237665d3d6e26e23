from dataclasses import replace

import pytest

from daemon.core.levels import LevelName
from daemon.models.claims import shown_figures
from daemon.models.gate import judge
from daemon.models.record import ModelRecord

REASONS = judge(0.712, "other", 0.834, 0.801).reasons
RECORD = ModelRecord(
    model="m",
    level=LevelName.PRODUCTION,
    trained_at=0,
    epochs=10,
    train_loss=0.101,
    validation_loss=0.121,
    learning_rate=1e-3,
    samples_per_second=900,
    duration_seconds=60,
    quantile_loss=0.155,
    skill={"cpu": 0.61, "odd": float("nan")},
    reasons=REASONS,
    tested=True,
)


def test_what_a_held_out_test_measured_is_shown() -> None:
    """At the levels that claim it all figures are shown, but none that is no number."""
    for level in (LevelName.PRODUCTION, LevelName.LARGE):
        shown = shown_figures(replace(RECORD, level=level))
        assert (shown.train_loss, shown.validation_loss, shown.quantile_loss) == (0.101, 0.121, 0.155)
        assert shown.skill == {"cpu": 0.61}
        assert shown.reasons == REASONS


def test_of_a_validation_model_the_validation_loss_alone_is_shown() -> None:
    """Its span chose the epoch, so that no skill and no figure of the gate's may be said."""
    shown = shown_figures(replace(RECORD, level=LevelName.VALIDATION))
    assert (shown.validation_loss, shown.quantile_loss, shown.skill) == (0.121, None, {})
    assert shown.reasons[0] == "It beats seasonal naive"
    assert not any(character.isdigit() for character in "".join(shown.reasons).replace("80 %", ""))


@pytest.mark.parametrize("record", [replace(RECORD, level=LevelName.DEMO), replace(RECORD, tested=False)])
def test_of_a_demo_and_of_an_untested_model_no_figure_of_accuracy_is_shown(record: ModelRecord) -> None:
    """Neither has anything that may be said of it; how well it fits its own training says nothing of that."""
    shown = shown_figures(record)
    assert (shown.train_loss, shown.validation_loss, shown.quantile_loss, shown.skill) == (0.101, None, None, {})
    assert shown.reasons[0] == "It beats seasonal naive"
