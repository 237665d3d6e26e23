import math

import pytest

from daemon.reports.charts import (
    coverage_chart,
    fan_chart,
    fans_of,
    label,
    numbers,
    ratio_map,
    reliability_chart,
    varied_choice,
)
from tests.training_records import METRICS, samples


def test_numbers_are_short_and_a_gap_is_none() -> None:
    """Values have five digits; what is no number is a gap."""
    assert numbers([1 / 3, math.nan, None, math.inf, 123456789.0]) == [0.33333, None, None, None, 123460000.0]


def test_the_map_is_as_strong_for_a_half_as_for_a_double() -> None:
    """Shades are symmetrical around 1 and the text is the ratio; what is unknown has neither."""
    made = ratio_map("t", {"cpu": {"a": 0.5, "b": 2.0, "c": 1.0}, "<b>": {"a": None, "c": 0.0}}, ("a", "b", "c"), "n")
    trace = made.traces[0]
    assert trace["z"] == [[-1.0, 1.0, 0.0], [None, None, None]]
    assert trace["text"] == [["0.50", "2.00", "1.00"], ["", "", "0.00"]]
    assert trace["y"] == ["cpu", label("<b>")]
    assert trace["zmin"] == -trace["zmax"]


def test_long_names_that_begin_alike_stay_apart() -> None:
    """An axis shows the beginning of a long name, at the place of the whole name."""
    names = ["m" * 60 + "a", "m" * 60 + "b", "cpu"]
    made = coverage_chart("t", {name: {"80": 0.8} for name in names}, ("80",))
    assert made.traces[0]["y"] == made.layout["yaxis"]["tickvals"] == names
    assert made.layout["yaxis"]["ticktext"] == ["m" * 27 + "…"] * 2 + ["cpu"]


def test_reliability_is_drawn_against_the_diagonal() -> None:
    """Nominal and observed shares in percent, beside the ideal diagonal."""
    made = reliability_chart("t", {"a": {"0.1": 0.12, "0.9": None}, "b": {"0.5": 0.5}}, "n")
    diagonal, first, second = made.traces
    assert diagonal["x"] == diagonal["y"]
    assert (first["x"], first["y"]) == ([10.0, 90.0], [12.0, None])
    assert (second["name"], second["x"], second["y"]) == ("b", [50.0], [50.0])


def test_coverage_stands_beside_its_nominal_share() -> None:
    """Each interval has a colour, its dots and a line at its nominal share."""
    made = coverage_chart("t", {"cpu": {"50": 0.4, "80": 0.75}, "mem": {"50": 0.6}}, ("50", "80"))
    assert [trace["x"] for trace in made.traces] == [[40.0, 60.0], [75.0, None]]
    lines = made.layout["shapes"]
    assert [shape["x0"] for shape in lines] == [50.0, 80.0]
    assert [shape["line"]["color"] for shape in lines] == [trace["marker"]["color"] for trace in made.traces]


def test_a_fan_has_its_bands_and_what_happened() -> None:
    """The outer band is drawn first, then the inner ones, the median and the actual values; axes have units."""
    fan = fans_of(samples(), 1, {"cpu": "%"})[0]
    made = fan_chart(fan)
    bands = made.traces[:6]
    assert bands[0]["y"] == numbers(fan.paths[:, 0].tolist())
    assert bands[1]["y"] == numbers(fan.paths[:, 6].tolist())
    assert [trace.get("fill") for trace in bands] == [None, "tonexty"] * 3
    assert made.traces[6]["y"] == numbers(fan.paths[:, 3].tolist())
    assert made.traces[7]["y"] == numbers(fan.actual.tolist())
    assert (made.traces[7]["x"][0], made.traces[7]["x"][-1]) == (0.083333, 8.0)
    assert made.layout["xaxis"]["title"]["text"] == "hours after the origin (h)"
    assert made.layout["yaxis"]["title"]["text"] == "cpu (%)"
    assert made.title == "server-00 · cpu"


def test_samples_come_back_as_they_were_whatever_their_order() -> None:
    """Shuffled rows of the frame are sorted by step."""
    frame = samples()
    shuffled = fans_of(frame.sample(frac=1, random_state=1), 9, {})
    assert len(shuffled) > 1
    for one, other in zip(fans_of(frame, 9, {}), shuffled, strict=True):
        assert (one.server, one.metric, one.actual.tolist()) == (other.server, other.metric, other.actual.tolist())


def test_the_choice_is_varied() -> None:
    """Every metric is shown before one is repeated, by servers in turn, and varying series come first."""
    moving = {(f"s{number}", metric): number != 0 for number in range(5) for metric in ("a", "b", "c")}
    chosen = varied_choice(moving, 6)
    assert [metric for _, metric in chosen] == ["a", "b", "c", "a", "b", "c"]
    assert len({server for server, _ in chosen}) == 4
    assert all(moving[key] for key in chosen)
    assert len(set(varied_choice(moving, 99))) == len(moving)


@pytest.mark.parametrize("most", [1, 4, 12])
def test_no_more_fans_than_asked(most: int) -> None:
    """Nine series give nine fans at most."""
    assert len(fans_of(samples(), most, {})) == min(most, 3 * len(METRICS))


def test_a_series_without_actual_values_is_not_shown() -> None:
    """A forecast without an actual value is left out."""
    frame = samples()
    frame.loc[frame["server"] == "server-01", "actual"] = math.nan
    assert {fan.server for fan in fans_of(frame, 12, {})} == {"server-00", "server-02"}
    frame["actual"] = math.nan
    assert fans_of(frame, 12, {}) == []
