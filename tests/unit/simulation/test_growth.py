import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY
from daemon.simulation.events import DAYS_PER_MONTH, GROWTH_REFERENCE_DAY, LARGEST_GROWTH, Growth
from daemon.simulation.fleet import Fleet
from daemon.simulation.noise import Key
from daemon.simulation.spec import FleetSpec

KEYS = [Key.of(1, f"web-{number:02d}") for number in range(400)]
DAY = STEPS_PER_DAY * STEP_SECONDS


def fleet(growth_pct_month: float) -> Fleet:
    """Return eight web servers without incidents and gaps."""
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


def test_the_mean_growth_is_that_of_the_fleet() -> None:
    """A month after the reference day traffic is one percent more, a month before one percent less; servers differ."""
    growth = Growth.of(KEYS, 1)
    after = growth.ratio(GROWTH_REFERENCE_DAY + round(DAYS_PER_MONTH))[:, 0]
    before = growth.ratio(GROWTH_REFERENCE_DAY - round(DAYS_PER_MONTH))[:, 0]
    assert after.mean() == pytest.approx(1.01, abs=0.002)
    np.testing.assert_allclose(after * before, 1, rtol=1e-5)
    assert after.min() < 0.995
    assert after.max() > 1.025
    assert (growth.ratio(GROWTH_REFERENCE_DAY)[:, 0] == 1).all()


def test_growth_is_continuous_and_bounded() -> None:
    """There is no jump at midnight; a century away the factor is within 1/2 and 2."""
    growth = Growth.of(KEYS, 10)
    today, tomorrow = growth.ratio(GROWTH_REFERENCE_DAY + 50), growth.ratio(GROWTH_REFERENCE_DAY + 51)
    np.testing.assert_allclose(tomorrow[:, 0] / today[:, -1], today[:, -1] / today[:, -2], rtol=1e-5)
    for day in (-40_000, 60_000):
        ratio = growth.ratio(day)
        assert ((ratio <= LARGEST_GROWTH) & (ratio >= 1 / LARGEST_GROWTH)).all()
        assert ratio.max() > 1.9


def test_zero_growth_is_a_factor_of_one() -> None:
    """At 0 percent the ratio is exactly one."""
    assert (Growth.of(KEYS, 0).ratio(GROWTH_REFERENCE_DAY + 1000) == 1).all()


def test_growth_scales_the_network_rate() -> None:
    """Half a year later, the network rate is that of a fleet without growth times the ratio."""
    day = GROWTH_REFERENCE_DAY + 183
    fleets = fleet(3), fleet(0)
    rows = [key.metric == "net_in_mb_s" for key in fleets[0].keys]
    grown_rate, usual_rate = (each.panel(day * DAY, day * DAY + DAY).values[rows].mean(axis=1) for each in fleets)
    expected = Growth.of([server.key for server in fleets[0].servers], 3).ratio(day).mean(axis=1)
    assert expected.max() > 1.2
    # bursts are added to traffic and do not grow
    np.testing.assert_allclose(grown_rate / usual_rate, expected, rtol=0.03)
