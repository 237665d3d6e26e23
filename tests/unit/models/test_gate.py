import math

import pytest

from daemon.models.gate import judge

NAN = math.nan


@pytest.mark.parametrize(
    ("loss", "model", "serving", "coverage", "promoted", "says"),
    [
        (0.7, None, None, 0.8, True, "No model serves"),
        (0.7, "old", 0.8, 0.8, True, "0.700 against 0.800"),
        (0.8, "old", 0.7, 0.8, False, "does not beat the serving model old: 0.800 against 0.700"),
        (0.7, "old", 0.7, 0.8, False, "does not beat the serving model old"),
        (0.7, "old", None, 0.8, True, "could forecast none of the windows"),
        (1.0, None, None, 0.8, False, "does not beat seasonal naive: 1.000"),
        (0.7, None, None, 0.6, False, "covers 60.0%, not between 65% and 95%"),
        (0.7, None, None, 0.97, False, "covers 97.0%"),
        (0.7, None, None, NAN, True, "cannot be judged"),
        (NAN, None, None, 0.8, False, "nothing is known of the model"),
    ],
)
def test_a_model_serves_only_if_it_beats_what_serves_and_its_coverage_is_sound(
    loss: float, model: str | None, serving: float | None, *, coverage: float, promoted: bool, says: str
) -> None:
    """Each of the three conditions decides alone, and says its figures."""
    verdict = judge(loss, model, serving, coverage)
    assert verdict.promoted is promoted
    assert says in " ".join(verdict.reasons)


def test_a_verdict_holds_the_figures_that_decided() -> None:
    """What could not be measured is None, as JSON knows no NaN."""
    verdict = judge(0.7, "old", 0.8, 0.81)
    assert (verdict.candidate_loss, verdict.serving_model, verdict.serving_loss) == (0.7, "old", 0.8)
    assert (verdict.naive_loss, verdict.coverage_80) == (1.0, 0.81)
    unknown = judge(NAN, None, None, NAN)
    assert (unknown.candidate_loss, unknown.serving_model, unknown.serving_loss, unknown.coverage_80) == (None,) * 4
