import math
from typing import Any

import pytest

from daemon.core.errors import BadModel
from daemon.core.levels import LEVELS, LevelName, Sayable
from daemon.core.scoring import rating
from daemon.models.claims import Claims, claims, claims_without_model, sayable

MEASURED: dict[str, Any] = {
    "level": "production",
    "epochs": 20,
    "data_hours": 720.0,
    "num_servers": 20,
    "final_val_loss": 0.1234,
    "quantile_loss": 0.155,
    "convergence": "achieved",
    "held_out": {"span": "test", "from": "2026-01-25T00:00:00Z", "to": "2026-01-28T00:00:00Z", "origins": 17},
    "coverage": {"50": 0.512, "80": 0.803, "96": 0.955},
    "coverage_by_metric": {"cpu": {"50": 0.5, "80": 0.791, "96": 0.95}},
    "skill_vs_seasonal_naive": {"cpu": 0.612, "disk": 1.083},
    "unknown_servers": {"servers": 2, "windows": 340, "skill": 0.699, "known_skill": 0.641},
    "incident_figures": {
        "cpu": {"windows": 340, "breaches": 21, "balanced_accuracy": 0.874, "precision": 0.7, "recall": 0.8},
        "disk": {"windows": 340, "breaches": 0, "balanced_accuracy": None, "precision": None, "recall": None},
    },
}


def of(**changes: object) -> Claims:
    return claims({**MEASURED, **changes})


def said(made: Claims) -> str:
    return "\n".join(claim.sentence for claim in made.may)


def test_a_demo_model_may_be_called_a_proof_of_concept_and_nothing_else() -> None:
    """However much was measured, no accuracy figure of a demo model may be said."""
    made = of(level="demo")
    assert [claim.number for claim in made.may] == [720.0]
    assert "proof of concept" in said(made)
    assert not any(figure in said(made) for figure in ("0.155", "87.4", "80.3", "0.612", "0.1234"))
    assert any("Any figure of accuracy" in sentence for sentence in made.must_not)


def test_a_validation_model_has_its_validation_loss_and_no_convergence() -> None:
    """The validation loss is a first baseline; convergence is not claimed even where training stopped early."""
    made = of(level="validation")
    assert [(claim.number, claim.source) for claim in made.may] == [(0.1234, "training_info.json: final_val_loss")]
    assert "0.1234" in said(made)
    assert any("converged" in sentence for sentence in made.must_not)


@pytest.mark.parametrize("level", ["production", "large"])
def test_a_tested_model_has_what_was_measured(level: str) -> None:
    """Every sentence has its number in it and names the file and the key."""
    made = of(level=level)
    sources = {claim.source.removeprefix("training_info.json: "): claim for claim in made.may}
    assert sources["quantile_loss"].sentence.startswith(
        "On the held-out test, a quantile loss of 0.155, which is rated good"
    )
    assert "an accuracy of 87.4 %" in sources["incident_figures.cpu.balanced_accuracy"].sentence
    assert "340 windows, 21 of which breached" in sources["incident_figures.cpu.balanced_accuracy"].sentence
    assert "80.3 %" in sources["coverage.80"].sentence
    assert "79.1 %" in sources["coverage_by_metric.cpu.80"].sentence
    assert "0.612" in sources["skill_vs_seasonal_naive.cpu"].sentence
    assert "converged" in sources["epochs"].sentence
    assert sources["unknown_servers.skill"].sentence == (
        "On 2 servers that it was not trained on, 0.699 times the pinball loss of repeating yesterday (340 windows); "
        "on those that it was trained on, 0.641 times."
    )
    assert all(claim.source.startswith("training_info.json: ") for claim in made.may)


def test_what_the_measurements_do_not_show_must_not_be_said() -> None:
    """A metric worse than yesterday, and one without a breach, are named; convergence is not refused."""
    refused = "\n".join(of().must_not)
    assert "better than repeating yesterday for disk: there it is not" in refused
    assert "Any accuracy for disk" in refused
    assert "industry-leading" in refused
    assert "That training converged" not in refused


def test_without_incident_figures_there_is_no_accuracy() -> None:
    """Skill and coverage are no accuracy."""
    made = of(incident_figures=None)
    assert "accuracy of" not in said(made)
    assert any(sentence.startswith("Any accuracy: no breach") for sentence in made.must_not)


def test_without_a_test_span_nothing_measured_is_claimed() -> None:
    """Figures from the span that chose the epoch flatter the model."""
    made = of(held_out={"span": "validation"})
    assert made.may == ()
    assert any("no held-out test" in sentence for sentence in made.must_not)
    assert of(held_out=None, measured_on="test").may


def test_a_level_that_was_cut_short_says_so() -> None:
    """A production run of one epoch on a week is no production run."""
    refused = "\n".join(of(epochs=1, data_hours=168.0, convergence="not achieved").must_not)
    assert "720 h of history of level production (on record: 168)" in refused
    assert "20 epochs of level production (on record: 1)" in refused
    assert "That training converged" in refused
    assert "100 servers or more (on record: 20)" in "\n".join(of(level="large").must_not)
    assert "early" not in "\n".join(of(epochs=8).must_not)


def test_without_servers_kept_apart_nothing_is_said_of_new_ones() -> None:
    """A fleet too small to spare a server gives no figure of unknown ones."""
    assert not any("not trained on" in sentence for sentence in of().must_not)
    made = of(unknown_servers=None)
    assert "not trained on" not in said(made)
    assert "Anything of servers that it was not trained on: none were kept apart to measure that." in made.must_not


def test_of_a_withdrawn_model_the_withdrawal_is_said_first() -> None:
    """What was measured stays measured; that it forecasts well now is no longer true."""
    made = claims(MEASURED, "withdrawn at 2026-02-03T04:05:06+00:00: it was worse")
    assert made.must_not[0] == (
        "That it serves, or forecasts well now: it was withdrawn at 2026-02-03T04:05:06+00:00: it was worse."
    )
    assert made.may == of().may
    assert not any("withdrawn" in sentence for sentence in of().must_not)


def test_without_a_model_nothing_may_be_said() -> None:
    """What serves in its place was not measured on these servers."""
    made = claims_without_model("the base network, which does")
    assert (made.level, made.may) == (None, ())
    assert "no model serves, and of the base network, which does, nothing was measured" in made.must_not[0]
    assert any("industry-leading" in sentence for sentence in made.must_not)


def test_what_may_be_said_follows_from_the_level_and_the_test() -> None:
    """A level that promises a held-out test may say nothing without one; the other levels need none."""
    expected = {"demo": ("nothing", "nothing"), "validation": ("validation loss", "validation loss")}
    expected |= dict.fromkeys(("production", "large"), ("held out", "nothing"))
    for name in LevelName:
        assert tuple(sayable(LEVELS[name], has_test) for has_test in (True, False)) == expected[name]
    assert of(held_out=None).may == ()
    assert Sayable.NOTHING is sayable(LEVELS[LevelName.DEMO], True)


def test_a_refused_model_must_not_be_praised() -> None:
    """What the gate refused is not good enough to serve."""
    assert any("refused" in sentence for sentence in of(verdict={"promoted": False}).must_not)
    assert not any("refused" in sentence for sentence in of(verdict={"promoted": True}).must_not)


@pytest.mark.parametrize("key", [key for key in MEASURED if key != "level"])
@pytest.mark.parametrize("value", [None, math.nan, "a word", [1]])
def test_whatever_is_missing_or_strange_is_not_claimed(key: str, value: object) -> None:
    """A damaged record gives fewer claims, none of them from the damaged key."""
    made = of(**{key: value})
    assert not [claim for claim in made.may if claim.source.removeprefix("training_info.json: ").split(".")[0] == key]
    assert all(math.isfinite(claim.number) for claim in made.may)


def test_an_unknown_level_is_refused() -> None:
    """A record without a level allows no claim, and says what to do."""
    with pytest.raises(BadModel, match="level is None; it must be one of demo, validation, production, large"):
        claims({})


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (0.0, "excellent"),
        (0.0999, "excellent"),
        (0.10, "good"),
        (0.1999, "good"),
        (0.20, "acceptable"),
        (0.30, "acceptable"),
        (0.3001, "needs improvement"),
        (7.0, "needs improvement"),
    ],
)
def test_a_loss_is_rated_by_the_table(loss: float, name: str) -> None:
    """The borders of the design's table."""
    assert rating(loss) == name


@pytest.mark.parametrize("loss", [math.nan, -0.1])
def test_what_is_no_loss_is_not_rated(loss: float) -> None:
    """A loss that was not measured has no rating."""
    with pytest.raises(ValueError, match="cannot be rated"):
        rating(loss)
