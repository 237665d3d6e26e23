import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from daemon.core.training_info import EpochRecord, TrainingInfo
from daemon.models.claims import claims
from daemon.reports.training import WITHHELD, render_training_report
from tests.pages import Page
from tests.training_records import EPOCHS, INFO, METRICS, samples, training_info

LATER_KEYS = {
    "skill_by_horizon": "Pinball loss relative to seasonal naive",
    "reliability": "Reliability of the quantiles",
    "coverage_by_metric": None,
    "by_profile": "Coverage of the intervals by profile",
    "calibration_effect": "Calibration changed the loss from 0.1601 to 0.1550",
    "incident_figures": "balanced accuracy",
    "verdict": "It beats seasonal naive: 0.710 of its pinball loss on the held-out span.",
}


def page(epochs: Sequence[EpochRecord] = EPOCHS, **changes: Any) -> Page:
    return Page(render_training_report(training_info(**changes), epochs, samples()))


def test_the_report_shows_every_part_of_a_full_record() -> None:
    """Losses, learning rate, time, skill, two reliabilities, two kinds of coverage and nine samples are drawn."""
    made = page()
    assert len(made.charts) == 3 + 1 + 2 + 1 + 1 + 9
    for sentence in LATER_KEYS.values():
        assert sentence is None or sentence in made.text
    assert "This was not measured" not in made.text
    assert {"0.0667", "87.4 %", "81.0 %", "69,682", "3.0 min"} <= set(made.cells)


def test_the_report_has_what_may_be_claimed_and_what_must_not() -> None:
    """The same sentences as in the command, each with its source."""
    made, expected = page(), claims(training_info())
    for claim in expected.may:
        assert claim.sentence in made.cells
        assert claim.source in made.cells
    for sentence in expected.must_not:
        assert sentence in made.text


@pytest.mark.parametrize("key", LATER_KEYS)
def test_a_missing_part_is_named(key: str) -> None:
    """A record without one of the later keys gives a report without that part, and a sentence about it."""
    made = page(**{key: None})
    assert f"training_info.json has no {key}." in made.text


def test_a_record_of_an_older_version_still_gives_a_report() -> None:
    """With none of the later keys there is still skill by metric, coverage overall, losses and samples."""
    old = {key: value for key, value in INFO.items() if key not in {*LATER_KEYS, "held_out", "overfitting"}}
    info = TrainingInfo.parse(json.dumps({**old, "measured_on": "test"}))
    made = Page(render_training_report(info, EPOCHS, samples()))
    assert len(made.charts) == 3 + 1 + 1 + 9
    assert made.text.count("This was not measured") == len(LATER_KEYS)


def test_the_best_epoch_is_marked() -> None:
    """Epochs count from 1; the star is on the validation loss of the epoch that was kept."""
    chart = page().charts[0]
    mark = chart["traces"][2]
    assert (mark["name"], mark["x"], mark["y"]) == ("best epoch, 3", [3.0], [0.12])
    assert len(page(best_epoch=None).charts[0]["traces"]) == 2


def test_gpu_memory_is_drawn_where_a_gpu_was_used() -> None:
    """Without one a sentence stands in its place."""
    assert "No GPU was used" in page().text
    with_gpu = page([replace(epoch, gpu_memory_mb=812.0) for epoch in EPOCHS], gpu_memory_peak_mb=812.0)
    assert "No GPU was used" not in with_gpu.text
    assert len(with_gpu.charts) == len(page().charts) + 1


def test_a_demo_report_has_no_figure_of_accuracy() -> None:
    """The level allows none, so none is drawn or written."""
    made = page(level="demo", verdict=None)
    assert WITHHELD in made.text
    assert len(made.charts) == 3 + 9
    assert not {"0.155", "87.4 %", "80.3 %", "79.0 %"} & set(made.cells)
    assert "80.3" not in made.text
    assert "0.155" not in made.text
    decided = page(level="demo").text
    assert "It beats seasonal naive." in decided
    assert "0.710" not in decided


def test_figures_that_chose_the_epoch_are_not_to_be_quoted() -> None:
    """A validation report shows what was measured, and warns of it."""
    assert page(level="validation", held_out={"span": "validation"}).text.count("do not quote them") == 4
    assert "do not quote them" not in page().text


def test_one_epoch_makes_no_curve() -> None:
    """A single point is a number: it stands in the table."""
    made = page(EPOCHS[:1])
    assert "A curve needs two epochs; on record: 1." in made.text
    assert "0.2000" in made.cells
    assert len(made.charts) == 1 + 2 + 1 + 1 + 9


def test_hostile_names_are_shown_as_they_are() -> None:
    """A server and a metric of hostile names are text in titles and tables, and escaped for plotly."""
    frame = samples(1)
    frame["server"] = "</script><b>x"
    hostile = {"<i>cpu": dict(INFO["skill_by_horizon"]["cpu"])}
    made = Page(render_training_report(training_info(skill_by_horizon=hostile), EPOCHS, frame))
    assert "</script><b>x · cpu" in made.text
    assert not {"b", "i"} & set(made.tags)
    assert made.charts[3]["traces"][0]["y"] == ["&lt;i&gt;cpu"]


def test_units_stand_on_the_axes_of_the_samples() -> None:
    """Where they are known, an axis names its unit."""
    units = dict.fromkeys(METRICS, "%")
    made = Page(render_training_report(training_info(), EPOCHS, samples(), units))
    assert {chart["layout"]["yaxis"]["title"]["text"] for chart in made.charts[-9:]} == {
        "cpu (%)",
        "disk (%)",
        "mem (%)",
    }
