from typing import Any

from daemon.reports.training import NOTHING, next_steps
from tests.training_records import EPOCHS, training_info


def steps(**changes: Any) -> str:
    return "\n".join(next_steps(training_info(**changes), EPOCHS))


def test_a_sound_run_asks_for_nothing() -> None:
    """Where the figures are good, one sentence states it."""
    assert steps() == NOTHING


def test_a_level_that_allows_no_figures_is_to_be_raised() -> None:
    """Demo and validation are steps on the way; so is a production run without a test."""
    assert "level validation" in steps(level="demo")
    assert "level production" in steps(level="validation")
    assert "held-out test" in steps(held_out={"span": "validation"})


def test_overfitting_is_named_with_its_remedies() -> None:
    """The ratio and all remedies on record are listed."""
    advice = steps(overfitting={"warned": True, "ratio": 1.618, "remedies": ["more dropout", "more data"]})
    assert "1.62 times the training loss" in advice
    assert "more dropout, more data" in advice


def test_metrics_no_better_than_yesterday_are_named_worst_first() -> None:
    """The metrics that are worse than seasonal naive are listed."""
    advice = steps(skill_vs_seasonal_naive={"cpu": 0.6, "disk": 1.02, "mem": 1.31})
    assert "mem (1.31), disk (1.02)." in advice
    assert "cpu" not in advice


def test_coverage_off_its_nominal_share_is_reported_with_its_side() -> None:
    """Too narrow and too wide differ; within five points neither is reported."""
    assert "70.0 % of the actual values; it is too narrow" in steps(coverage={"80": 0.70})
    assert "90.0 % of the actual values; it is wider" in steps(coverage={"80": 0.90})
    assert steps(coverage={"80": 0.76}) == NOTHING


def test_a_run_that_did_not_converge_needs_more_epochs() -> None:
    """A loss that was still falling at the last epoch asks for more epochs."""
    assert "still falling" in steps(convergence="not achieved", best_epoch=5)
    assert "had not converged" in steps(convergence="not achieved", best_epoch=4)


def test_a_rejected_model_and_a_short_history_are_named() -> None:
    """What prevents the model from serving comes first."""
    advice = steps(verdict={"promoted": False}, data_hours=200.0)
    assert advice.startswith("This model does not serve")
    assert "the level needs 720 h, and there were 200 h" in advice


def test_a_demo_model_is_given_no_figure_of_its_accuracy() -> None:
    """However bad its skill and coverage are, they are not mentioned."""
    advice = steps(level="demo", skill_vs_seasonal_naive={"cpu": 1.5}, coverage={"80": 0.2}, convergence="not achieved")
    assert "1.5" not in advice
    assert "20.0" not in advice
    assert "epochs" not in advice
