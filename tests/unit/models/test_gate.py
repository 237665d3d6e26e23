import math

import pytest

from daemon.core.levels import Sayable
from daemon.core.training_info import GateDecision
from daemon.models.gate import Reason, decide, reasons_of, shown_reasons

NAN = math.nan


@pytest.mark.parametrize(
    ("loss", "model", "serving", "coverage", "promoted", "reason"),
    [
        (0.7, None, None, 0.8, True, "There is no serving model to compare with."),
        (0.7, "old", 0.8, 0.8, True, "It beats the serving model old: 0.700 against 0.800."),
        (0.8, "old", 0.7, 0.8, False, "It does not beat the serving model old: 0.800 against 0.700."),
        (0.7, "old", 0.7, 0.8, False, "It does not beat the serving model old: 0.700 against 0.700."),
        (
            *(0.7, "old", None, 0.8, True),
            "The serving model old could not forecast any of these windows, so it was not compared.",
        ),
        (
            *(1.0, None, None, 0.8, False),
            "It does not beat seasonal naive: 1.000 of its pinball loss on the held-out span.",
        ),
        (
            *(0.7, None, None, 0.6, False),
            "The coverage of its 80 % interval is not sound: 60.0%; 65% to 95% is required.",
        ),
        (
            *(0.7, None, None, 0.97, False),
            "The coverage of its 80 % interval is not sound: 97.0%; 65% to 95% is required.",
        ),
        (0.7, None, None, NAN, True, "No series varies in the held-out span, so coverage was not checked."),
        (
            *(NAN, None, None, 0.8, False),
            "No window of the held-out span could be scored, so the model was not measured.",
        ),
    ],
)
def test_a_model_serves_only_if_it_beats_what_serves_and_its_coverage_is_sound(
    loss: float, model: str | None, serving: float | None, *, coverage: float, promoted: bool, reason: str
) -> None:
    """Each of the three conditions decides alone, and gives its figures."""
    decision = decide(loss, model, serving, coverage)
    assert decision.promoted is promoted
    assert reason in decision.reasons
    assert len(decision.reasons) == 3


def test_a_decision_holds_the_figures_that_decided() -> None:
    """A figure that could not be measured is None, as JSON has no NaN."""
    decision = decide(0.7, "old", 0.8, 0.81)
    assert (decision.candidate_loss, decision.serving_model, decision.serving_loss) == (0.7, "old", 0.8)
    assert (decision.naive_loss, decision.coverage_80) == (1.0, 0.81)
    unmeasured = decide(NAN, None, None, NAN)
    assert (unmeasured.candidate_loss, unmeasured.serving_loss, unmeasured.coverage_80) == (None, None, None)


def test_a_reason_keeps_text_and_figure_apart() -> None:
    """Without its figure the reason is still a sentence, whatever punctuation a model's name has."""
    reason = Reason("It beats the serving model a:b", "0.700 against 0.800")
    assert reason.sentence() == "It beats the serving model a:b: 0.700 against 0.800."
    assert reason.sentence(with_figure=False) == "It beats the serving model a:b."


def test_reasons_of_an_earlier_version_are_shown_as_they_are_or_without_a_figure() -> None:
    """The sentences on record are shown where figures may be; elsewhere their texts follow from the figures."""
    decision = GateDecision.model_validate_json(
        '{"promoted": true, "reasons": ["It wins, with 0.433."], "candidate_loss": 0.433, "serving_model": null, '
        '"serving_loss": null, "coverage_80": 0.809, "naive_loss": 1.0}'
    )
    assert shown_reasons(decision, Sayable.HELD_OUT) == ("It wins, with 0.433.",)
    assert shown_reasons(decision, Sayable.NOTHING) == (
        "It beats seasonal naive.",
        "There is no serving model to compare with.",
        "The coverage of its 80 % interval is sound.",
    )


def test_reasons_without_figures_on_record_are_withheld() -> None:
    """A sentence may hold a figure anywhere, so it is not shown where no figure may be."""
    decision = GateDecision(promoted=False, reasons=("It lost: 1.234.",))
    assert reasons_of(decision) == ()
    assert shown_reasons(decision, Sayable.VALIDATION_LOSS) == ()
    assert shown_reasons(decision, Sayable.HELD_OUT) == ("It lost: 1.234.",)
