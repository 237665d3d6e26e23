import json
import math
from typing import Any

import pytest

from daemon.core.levels import LEVELS, LevelName, Sayable
from daemon.core.scoring import rating
from daemon.models.claims import Claims, claims, claims_without_model, sayable
from daemon.models.registry import Demotion
from tests.training_records import INFO, training_info

MEASURED: dict[str, Any] = {
    "epochs": 20,
    "num_servers": 20,
    "final_val_loss": 0.1234,
    "coverage_by_metric": {"cpu": {"50": 0.5, "80": 0.791, "96": 0.95}},
    "skill_vs_seasonal_naive": {"cpu": 0.612, "disk": 1.083},
    "unknown_servers": {"servers": 2, "windows": 340, "skill": 0.699, "known_skill": 0.641},
    "incident_figures": {
        "cpu": {"windows": 340, "breaches": 21, "balanced_accuracy": 0.874, "precision": 0.7, "recall": 0.8},
        "disk": {"windows": 340, "breaches": 0, "balanced_accuracy": None, "precision": None, "recall": None},
    },
}


def of(**changes: object) -> Claims:
    return claims(training_info(**{**MEASURED, **changes}))


def sentences(made: Claims) -> str:
    return "\n".join(claim.sentence for claim in made.may)


def test_a_demo_model_may_be_called_a_proof_of_concept_and_nothing_else() -> None:
    """However much was measured, no figure of its accuracy may be claimed."""
    made = of(level="demo")
    assert [claim.number for claim in made.may] == [720.0]
    assert "proof of concept" in sentences(made)
    assert not any(figure in sentences(made) for figure in ("0.155", "87.4", "80.3", "0.612", "0.1234"))
    assert any("Any figure of accuracy" in sentence for sentence in made.must_not)


def test_a_validation_model_has_its_validation_loss_and_no_convergence() -> None:
    """The validation loss is a first baseline; convergence is not claimed even where training stopped early."""
    made = of(level="validation")
    assert [(claim.number, claim.source) for claim in made.may] == [(0.1234, "training_info.json: final_val_loss")]
    assert "0.1234" in sentences(made)
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
        "on the servers that it was trained on, 0.641 times."
    )
    assert all(claim.source.startswith("training_info.json: ") for claim in made.may)


def test_what_the_measurements_do_not_show_must_not_be_claimed() -> None:
    """A metric worse than yesterday, and one without a breach, are named; convergence is not refused."""
    refused = "\n".join(of().must_not)
    assert "better than repeating yesterday for disk: there it is not" in refused
    assert "Any accuracy for disk" in refused
    assert "industry-leading" in refused
    assert "That training converged" not in refused


def test_without_incident_figures_there_is_no_accuracy() -> None:
    """Skill and coverage are no accuracy."""
    made = of(incident_figures=None)
    assert "accuracy of" not in sentences(made)
    assert any(sentence.startswith("Any accuracy: no breach") for sentence in made.must_not)


def test_without_a_test_span_nothing_measured_is_claimed() -> None:
    """Figures from the span that chose the epoch flatter the model."""
    made = of(held_out={"span": "validation"})
    assert made.may == ()
    assert any("no held-out test" in sentence for sentence in made.must_not)
    assert of(held_out=None, measured_on="test").may[0].number == 0.155


def test_what_a_short_training_lacks_is_named() -> None:
    """A production run of one epoch on a week is no production run."""
    refused = "\n".join(of(epochs=1, data_hours=168.0, convergence="not achieved").must_not)
    assert "720 h of history of level production (on record: 168)" in refused
    assert "20 epochs of level production (on record: 1)" in refused
    assert "That training converged" in refused
    assert "100 servers or more (on record: 20)" in "\n".join(of(level="large").must_not)
    assert "early" not in "\n".join(of(epochs=8).must_not)


def test_without_held_out_servers_nothing_is_claimed_of_new_ones() -> None:
    """A fleet too small to hold out a server gives no figure of new ones."""
    assert not any("not trained on" in sentence for sentence in of().must_not)
    made = of(unknown_servers=None)
    assert "not trained on" not in sentences(made)
    assert "Anything about servers that it was not trained on: no server was held out to measure that." in made.must_not


def test_of_a_demoted_model_the_demotion_comes_first() -> None:
    """Its measurements still hold; the claim that it forecasts well now does not."""
    made = claims(training_info(**MEASURED), Demotion("2026-02-03T04:05:06+00:00", "it was worse"))
    assert made.must_not[0] == (
        "That it serves, or forecasts well now: it was demoted at 2026-02-03T04:05:06+00:00: it was worse."
    )
    assert made.may == of().may
    assert not any("demoted" in sentence for sentence in of().must_not)


def test_without_a_model_nothing_may_be_claimed() -> None:
    """What serves instead was not measured on these servers."""
    made = claims_without_model("the base network")
    assert (made.level, made.may) == (None, ())
    assert "no model serves, and the base network, which serves instead, was not measured" in made.must_not[0]
    assert any("industry-leading" in sentence for sentence in made.must_not)


def test_what_may_be_claimed_follows_from_the_level_and_the_test() -> None:
    """A level with a held-out test may claim nothing without one; the other levels need none."""
    expected = {"demo": ("nothing", "nothing"), "validation": ("validation loss", "validation loss")}
    expected |= dict.fromkeys(("production", "large"), ("held out", "nothing"))
    for name in LevelName:
        assert tuple(sayable(LEVELS[name], has_test) for has_test in (True, False)) == expected[name]
    assert of(held_out=None).may == ()
    assert Sayable.NOTHING is sayable(LEVELS[LevelName.DEMO], True)


def test_a_rejected_model_is_not_good_enough_to_serve() -> None:
    """Unless the gate promoted it, that must not be claimed."""
    rejected = "That it is good enough to serve: the promotion gate rejected it."
    assert rejected in of(verdict={"promoted": False}).must_not
    assert rejected not in of(verdict={"promoted": True}).must_not


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
@pytest.mark.parametrize(
    "key",
    [
        "quantile_loss",
        "coverage.80",
        "coverage_by_metric.cpu.80",
        "skill_vs_seasonal_naive.cpu",
        "unknown_servers.skill",
        "incident_figures.cpu.balanced_accuracy",
    ],
)
def test_a_figure_that_was_not_measured_is_not_claimed(key: str, value: float | None) -> None:
    """The other claims stay."""
    changes = json.loads(json.dumps({**INFO, **MEASURED}))
    *parents, last = key.split(".")
    place = changes
    for parent in parents:
        place = place[parent]
    place[last] = value
    sources = {f"training_info.json: {key}"}
    assert {claim.source for claim in of().may} - {claim.source for claim in of(**changes).may} == sources


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
