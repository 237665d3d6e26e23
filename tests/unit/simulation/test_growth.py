import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY
from daemon.simulation.events import DAYS_PER_MONTH, LARGEST_GROWTH, GROWTH_REFERENCE_DAY, Growth
from daemon.simulation.fleet import Fleet
from daemon.simulation.noise import Key
from daemon.simulation.spec import FleetSpec

KEYS = [Key.of(1, f"web-{number:02d}") for number in range(400)]
DAY = STEPS_PER_DAY * STEP_SECONDS


def fleet(growth_pct_month: float) -> Fleet:
    """Return eight web servers to which nothing happens."""
    spec = FleetSpec(
        counts={"web_api": 8},
        seed=3,
        growth_pct_month=growth_pct_month,
        incidents_per_server_week=0,
        missing_rate=0,
        outages_per_server_week=0,
        reboots_per_server_week=0,
    )
    return Fleet(spec)


def test_traffic_grows_by_so_much_a_month_in_the_mean() -> None:
    """A month after the reference date it is one percent more, a month before one percent less; servers differ."""
    growth = Growth.of(KEYS, 1)
    after = growth.ratio(GROWTH_REFERENCE_DAY + round(DAYS_PER_MONTH))[:, 0]
    before = growth.ratio(GROWTH_REFERENCE_DAY - round(DAYS_PER_MONTH))[:, 0]
    assert after.mean() == pytest.approx(1.01, abs=0.002)
    np.testing.assert_allclose(after * before, 1, rtol=1e-5)
    assert after.min() < 0.995
    assert after.max() > 1.025
    assert (growth.ratio(GROWTH_REFERENCE_DAY)[:, 0] == 1).all()


def test_growth_has_no_seam_and_an_end() -> None:
    """The last step of a day leads to the first of the next; a century away nothing has more than doubled."""
    growth = Growth.of(KEYS, 10)
    today, tomorrow = growth.ratio(GROWTH_REFERENCE_DAY + 50), growth.ratio(GROWTH_REFERENCE_DAY + 51)
    np.testing.assert_allclose(tomorrow[:, 0] / today[:, -1], today[:, -1] / today[:, -2], rtol=1e-5)
    for day in (-40_000, 60_000):
        ratio = growth.ratio(day)
        assert ((ratio <= LARGEST_GROWTH) & (ratio >= 1 / LARGEST_GROWTH)).all()
        assert ratio.max() > 1.9


def test_no_growth_is_none() -> None:
    """At 0 percent the ratio is exactly one."""
    assert (Growth.of(KEYS, 0).ratio(GROWTH_REFERENCE_DAY + 1000) == 1).all()


def test_a_server_that_grows_has_more_of_what_traffic_drives() -> None:
    """Against the same fleet without growth, half a year on: its network carries what the ratio says."""
    day = GROWTH_REFERENCE_DAY + 183
    grown, same = fleet(3), fleet(0)
    rows = [key.metric == "net_in_mb_s" for key in grown.keys]
    seen, usual = (each.panel(day * DAY, day * DAY + DAY).values[rows].mean(axis=1) for each in (grown, same))
    said = Growth.of([server.key for server in grown.servers], 3).ratio(day).mean(axis=1)
    assert said.max() > 1.2
    # Bursts come on top of usual traffic and do not grow.
    np.testing.assert_allclose(seen / usual, said, rtol=0.03)
