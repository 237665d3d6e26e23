import pytest

from daemon.core.training_info import TrainingInfo
from daemon.models.claims import shown_figures
from daemon.models.gate import decide
from tests.training_records import training_info

DECISION = decide(0.712, "other", 0.834, 0.801)
FIGURES = {
    "verdict": DECISION.model_dump(mode="json", by_alias=True),
    "skill_vs_seasonal_naive": {"cpu": 0.61, "odd": None},
}


@pytest.mark.parametrize("level", ["production", "large"])
def test_what_a_held_out_test_measured_is_shown(level: str) -> None:
    """At the levels that claim it all figures are shown, except those that were not measured."""
    shown = shown_figures(training_info(**FIGURES, level=level))
    assert (shown.train_loss, shown.validation_loss, shown.quantile_loss) == (0.101, 0.121, 0.155)
    assert shown.skill == {"cpu": 0.61}
    assert shown.reasons == DECISION.reasons


def test_of_a_validation_model_the_validation_loss_alone_is_shown() -> None:
    """Its span chose the epoch, so no skill and no figure of the gate may be claimed."""
    shown = shown_figures(training_info(**FIGURES, level="validation"))
    assert (shown.validation_loss, shown.quantile_loss, shown.skill) == (0.121, None, {})
    assert shown.reasons == (
        "It beats seasonal naive.",
        "It beats the serving model other.",
        "The coverage of its 80 % interval is sound.",
    )


@pytest.mark.parametrize(
    "info", [training_info(**FIGURES, level="demo"), training_info(**FIGURES, held_out={"span": "validation"})]
)
def test_of_a_demo_and_of_an_untested_model_no_figure_of_accuracy_is_shown(info: TrainingInfo) -> None:
    """The loss on the training data is shown, as it is no measure of accuracy."""
    shown = shown_figures(info)
    assert (shown.train_loss, shown.validation_loss, shown.quantile_loss, shown.skill) == (0.101, None, None, {})
    assert shown.reasons[0] == "It beats seasonal naive."
