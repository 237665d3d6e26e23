from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.levels import LEVELS, LevelName
from daemon.core.series import Panel, SeriesKey
from daemon.forecasting.baselines import SeasonalNaive
from daemon.forecasting.evaluation import evaluate
from daemon.network.sampling import held_out_servers, without_servers
from daemon.network.training import TrainedModel, train
from tests.panels import START, daily_panel

UTC = ZoneInfo("UTC")
LEVEL = replace(LEVELS[LevelName.PRODUCTION], epochs=1, unknown_server_every=4)


def fleet(servers: int, metrics: tuple[str, ...] = ("cpu", "mem")) -> Panel:
    """Return a panel without values of servers that are all alike."""
    keys = tuple(SeriesKey(f"server-{number:03}", metric) for number in range(servers) for metric in metrics)
    return Panel(keys, START, np.zeros((len(keys), 1), dtype=np.float32))


@given(st.integers(0, 60), st.integers(1, 12))
def test_one_of_so_many_is_held_out(servers: int, every: int) -> None:
    """A tenth of ten or more, none of fewer; whatever the fleet, some are left to train on."""
    chosen = held_out_servers(fleet(servers), every)
    assert len(chosen) == min(servers // every, max(0, servers - 1))
    assert chosen <= {key.server for key in fleet(servers).keys}


def test_none_is_held_out_where_the_level_asks_for_none() -> None:
    """Demo and validation train on all servers."""
    assert held_out_servers(fleet(40), 0) == frozenset()
    asked = {name: level.unknown_server_every for name, level in LEVELS.items()}
    assert asked == {"demo": 0, "validation": 0, "production": 10, "large": 10}


def test_the_same_servers_are_held_out_each_time() -> None:
    """Whatever the order of the series; and a server more exchanges one at most."""
    panel = fleet(40)
    chosen = held_out_servers(panel, 10)
    assert held_out_servers(panel.select(np.arange(len(panel.keys))[::-1]), 10) == chosen
    assert len(chosen - held_out_servers(fleet(41), 10)) <= 1


def test_what_only_one_server_has_stays_in_training() -> None:
    """A metric, or a profile, of a single server is trained on; another server is held out."""
    panel = fleet(20)
    first, second = sorted(held_out_servers(panel, 10))
    alone = Panel((*panel.keys, SeriesKey(first, "gpu")), START, np.zeros((41, 1), dtype=np.float32))
    assert first not in held_out_servers(alone, 10)
    chosen = held_out_servers(replace(panel, profiles={second: "database"}), 10)
    assert second not in chosen
    assert len(chosen) == len(held_out_servers(alone, 10)) == 2


def test_servers_that_the_start_has_seen_are_not_unknown() -> None:
    """Weights that were trained on a server know it, whatever is left out afterwards."""
    panel = fleet(20)
    everybody = {key.server for key in panel.keys}
    assert held_out_servers(panel, 10, everybody) == frozenset()
    assert held_out_servers(panel, 10, everybody - {"server-007", "server-011"}) == {"server-007", "server-011"}


def held_out(model: TrainedModel) -> tuple[str, ...]:
    assert model.info.unknown_servers is not None
    return model.info.unknown_servers.names


def test_the_network_learns_nothing_of_a_server_that_was_held_out() -> None:
    """Its history before the held-out time changes no weight, no epoch and no calibration; that of another does."""
    panel = daily_panel()
    model = train(panel, {}, UTC, LEVEL, seed=1)
    (name,) = held_out(model)
    for server, same in ((name, True), ("server-00", False)):
        rows = [row for row, key in enumerate(panel.keys) if key.server == server]
        other = Panel(panel.keys, panel.start, panel.values.copy(), panel.profiles)
        other.values[rows, : model.spans.validation] *= np.linspace(0.5, 1.5, model.spans.validation, dtype=np.float32)
        again = train(other, {}, UTC, LEVEL, seed=1)
        assert held_out(again) == (name,)
        tensors = zip(model.network.state_dict().values(), again.network.state_dict().values(), strict=True)
        assert all(torch.equal(*pair) for pair in tensors) == same
        assert (again.fit.best_loss == model.fit.best_loss) == same
        assert (again.calibration == model.calibration) == same
    assert name in (model.info.servers or ())


def test_unknown_servers_have_figures_of_their_own() -> None:
    """They are those of a panel of these servers alone, and the known ones' those of the rest."""
    panel = daily_panel()
    forecaster, start = SeasonalNaive({}), panel.end - 2 * 86_400
    unknown = {"server-01", "server-03"}
    measured = evaluate(forecaster, panel, start, panel.end, unknown).unknown_servers
    assert measured is not None
    alone = evaluate(forecaster, without_servers(panel, {"server-00", "server-02"}), start, panel.end)
    others = evaluate(forecaster, without_servers(panel, unknown), start, panel.end)
    assert measured == {
        "servers": 2,
        "names": ["server-01", "server-03"],
        "windows": 4 * alone.origins,
        "quantile_loss": pytest.approx(alone.quantile_loss),
        "skill": pytest.approx(1),
        "known_quantile_loss": pytest.approx(others.quantile_loss),
        "known_skill": pytest.approx(1),
    }
    assert measured["quantile_loss"] != pytest.approx(measured["known_quantile_loss"])
    assert evaluate(forecaster, panel, start, panel.end).unknown_servers is None
