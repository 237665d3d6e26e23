"""Held-out spans and held-out servers."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import NotEnoughHistory
from daemon.core.levels import LEVELS, LevelName
from daemon.core.series import STEPS_PER_HOUR, Panel, SeriesKey
from daemon.forecasting.baselines import SeasonalNaive
from daemon.forecasting.evaluation import evaluate
from daemon.network.sampling import held_out_servers, without_servers
from daemon.network.training import last_hours, split, train
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")


def fleet(servers: int, metrics: tuple[str, ...] = ("cpu", "mem")) -> Panel:
    """Return a panel without values of servers that are all alike."""
    keys = tuple(SeriesKey(f"server-{number:03}", metric) for number in range(servers) for metric in metrics)
    return Panel(keys, START, np.zeros((len(keys), 1), dtype=np.float32))


@given(st.integers(0, 60), st.integers(1, 12))
def test_one_in_a_number_of_servers_is_held_out(servers: int, every: int) -> None:
    """A fleet with fewer has none; whatever the fleet, a server is left to train on."""
    chosen = held_out_servers(fleet(servers), every)
    assert len(chosen) == min(servers // every, max(0, servers - 1))
    assert chosen <= {key.server for key in fleet(servers).keys}


def test_none_is_held_out_where_the_level_asks_for_none() -> None:
    """Demo and validation train on all servers."""
    assert held_out_servers(fleet(40), 0) == frozenset()
    asked = {name: level.unknown_server_every for name, level in LEVELS.items()}
    assert asked == {"demo": 0, "validation": 0, "production": 10, "large": 10}


def test_the_same_servers_are_held_out_each_time() -> None:
    """The order of the series does not matter, and another server changes at most one of them."""
    panel = fleet(40)
    chosen = held_out_servers(panel, 10)
    assert held_out_servers(panel.select(np.arange(len(panel.keys))[::-1]), 10) == chosen
    assert len(chosen - held_out_servers(fleet(41), 10)) <= 1


def test_the_only_server_with_a_trait_stays_in_training() -> None:
    """The only server with a metric or of a profile is trained on; another server is held out."""
    panel = fleet(20)
    first, second = sorted(held_out_servers(panel, 10))
    alone = Panel((*panel.keys, SeriesKey(first, "gpu")), START, np.zeros((41, 1), dtype=np.float32))
    assert first not in held_out_servers(alone, 10)
    chosen = held_out_servers(replace(panel, profiles={second: "database"}), 10)
    assert second not in chosen
    assert len(chosen) == len(held_out_servers(alone, 10)) == 2


def test_servers_of_the_start_are_not_held_out() -> None:
    """The initial weights were trained on them."""
    panel = fleet(20)
    all_servers = {key.server for key in panel.keys}
    assert held_out_servers(panel, 10, all_servers) == frozenset()
    assert held_out_servers(panel, 10, all_servers - {"server-007", "server-011"}) == {"server-007", "server-011"}


def test_held_out_servers_have_figures_of_their_own() -> None:
    """They are those of a panel of these servers alone; the others have those of the rest."""
    panel = daily_panel()
    forecaster, start = SeasonalNaive({}), panel.end - 2 * 86_400
    held_out = {"server-01", "server-03"}
    measured = evaluate(forecaster, panel, start, panel.end, held_out).unknown_servers
    assert measured is not None
    alone = evaluate(forecaster, without_servers(panel, {"server-00", "server-02"}), start, panel.end)
    others = evaluate(forecaster, without_servers(panel, held_out), start, panel.end)
    assert measured.model_dump() == {
        "servers": 2,
        "names": ("server-01", "server-03"),
        "windows": 4 * alone.origins,
        "quantile_loss": pytest.approx(alone.quantile_loss),
        "skill": pytest.approx(1),
        "known_quantile_loss": pytest.approx(others.quantile_loss),
        "known_skill": pytest.approx(1),
    }
    assert measured.quantile_loss != pytest.approx(measured.known_quantile_loss)
    assert evaluate(forecaster, panel, start, panel.end).unknown_servers is None


def test_held_out_spans_follow_the_level() -> None:
    """Validation, then the test span of a level that claims accuracy, are at the end."""
    spans = split(daily_panel(days=30), LEVELS[LevelName.PRODUCTION])
    assert (spans.training, spans.validation, spans.end) == (24 * 288, 27 * 288, 30 * 288)


def test_held_out_days_come_after_the_hours_of_the_level() -> None:
    """With enough history a level trains on all its hours; with less, its hours include the held-out spans."""
    level = LEVELS[LevelName.PRODUCTION]
    trained_hours = [
        split(last_hours(daily_panel(servers=1, days=days), level.history_hours), level).training / STEPS_PER_HOUR
        for days in (40, 36, 30)
    ]
    assert trained_hours == [720, 720, 576]


@pytest.mark.parametrize(("days", "expected"), [(6.5, "training needs 168 h"), (0.5, "training needs 168 h")])
def test_less_than_a_week_is_refused(days: float, expected: str) -> None:
    """The error of a training on less than seven days has the hours that it needs."""
    with pytest.raises(NotEnoughHistory, match=expected):
        train(daily_panel(days=days), {}, UTC, LEVELS[LevelName.DEMO])


def test_half_a_day_is_too_little_even_by_force() -> None:
    """Without a window there is no training, forced or not."""
    with pytest.raises(NotEnoughHistory, match="no window"):
        train(daily_panel(days=0.5), {}, UTC, LEVELS[LevelName.DEMO], force=True)
