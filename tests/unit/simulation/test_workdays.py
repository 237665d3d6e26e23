from datetime import date

import numpy as np
import pytest

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Float32, Panel
from daemon.simulation.fleet import Fleet
from daemon.simulation.profile import Rhythm
from daemon.simulation.spec import FleetSpec
from daemon.simulation.work import Workdays, expected_traffic

DAY = STEPS_PER_DAY * STEP_SECONDS
COUNTS = {"database": 3, "web_api": 2, "risk_analytics": 3, "generic": 1}


def number(text: str) -> int:
    """Return the number of a day."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def fleet(**changes: object) -> Fleet:
    """Return a fleet without incidents, reboots and gaps."""
    rates = ("incidents_per_server_week", "missing_rate", "outages_per_server_week", "reboots_per_server_week")
    no_events: dict[str, object] = dict.fromkeys(rates, 0)
    return Fleet(FleetSpec(counts=COUNTS, seed=4, **{**no_events, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("day", "holidays", "turns"),
    [
        ("2026-01-29", (), False),
        ("2026-01-30", (), True),  # a Friday
        ("2026-01-31", (), False),  # a Saturday
        ("2026-02-01", (), True),  # the first, though a Sunday
        ("2026-02-02", (), False),
        ("2025-12-31", (), True),
        ("2025-12-31", ("12-31",), False),
        ("2025-12-30", ("12-31",), True),
        ("2026-06-17", tuple(f"06-{day:02}" for day in range(1, 31) if day != 17), True),
    ],
)
def test_a_month_turns_on_its_last_working_day_and_its_first(day: str, holidays: tuple[str, ...], turns: bool) -> None:
    """Weekends and holidays are no working days; the first of a month counts on every day of the week."""
    assert Workdays.of(holidays).turns_month(number(day)) == turns


def test_weekends_and_holidays_are_free() -> None:
    """Weekend days and holidays are free, in every year."""
    workdays = Workdays.of(("01-01",))
    assert [workdays.is_free(number(f"2026-01-{day:02}")) for day in range(1, 6)] == [True, False, True, True, False]
    assert workdays.is_holiday(number("1987-01-01"))


def one(value: float) -> Float32:
    return np.array([[value]], dtype=np.float32)


def test_a_holiday_has_the_traffic_of_a_weekend_day() -> None:
    """At noon a holiday equals a Saturday; the evening before and the morning after are transitions."""
    rhythm = Rhythm(one(0.4), one(0.1), one(14), one(0.3))
    tuesday = number("2026-01-13")
    usual, festive = Workdays.of(()), Workdays.of(("01-13",))
    noon = slice(144, 200)
    saturday = expected_traffic(rhythm, tuesday + 4, usual)[0, noon]
    np.testing.assert_allclose(expected_traffic(rhythm, tuesday, festive)[0, noon], saturday, rtol=1e-6)
    assert (expected_traffic(rhythm, tuesday, usual)[0, noon] > 2 * saturday).all()
    for day, same in ((-2, slice(None)), (-1, slice(0, 190)), (1, slice(80, None)), (2, slice(None))):
        ours, theirs = (expected_traffic(rhythm, tuesday + day, each)[0, same] for each in (festive, usual))
        np.testing.assert_array_equal(ours, theirs)
    path = np.concatenate([expected_traffic(rhythm, tuesday + day, festive)[0] for day in (-1, 0, 1)])
    assert abs(np.diff(path)).max() < 0.02


def changed(ours: Panel, theirs: Panel) -> dict[str, np.ndarray]:
    """Return by profile whether each day differs, ``(days,)``."""
    differs = (ours.values != theirs.values).reshape(len(ours.keys), -1, STEPS_PER_DAY).any(axis=2)
    return {
        profile: differs[[ours.profiles[key.server] == profile for key in ours.keys]].any(axis=0) for profile in COUNTS
    }


def test_month_ends_are_long_for_those_that_close_the_books() -> None:
    """Databases and risk servers are busy for longer on 30 January and 1 February, other profiles are not."""
    start = number("2026-01-26")
    panels = [fleet(month_turn_ratio=ratio).panel(start * DAY, (start + 10) * DAY - STEP_SECONDS) for ratio in (1, 2.5)]
    days = changed(panels[1], panels[0])
    for profile in ("web_api", "generic"):
        assert not days[profile].any()
    for profile in ("database", "risk_analytics"):
        assert not days[profile][: 30 - 26].any()
        assert days[profile][4]
        assert days[profile][6]
        # long work can last into the next days, and not longer
        assert not days[profile][9:].any()
    rows = [key.metric == "cpu_busy_pct" and key.server.startswith(("risk", "db")) for key in panels[0].keys]
    usual, long = (panel.values[rows].reshape(6, -1, STEPS_PER_DAY).mean(axis=(0, 2)) for panel in panels)
    assert long[4] > 1.05 * usual[4]
    assert long[6] > 1.2 * usual[6]


def test_on_a_holiday_people_hand_in_few_jobs() -> None:
    """On a holiday risk servers have the load of a weekend; without holidays they do not."""
    day = number("2026-01-13")
    panels = [
        fleet(holidays=holidays).panel((day - 3) * DAY, (day + 4) * DAY - STEP_SECONDS) for holidays in ((), ("01-13",))
    ]
    rows = [key.metric == "cpu_busy_pct" and key.server.startswith("risk") for key in panels[0].keys]
    usual, festive = (panel.values[rows].reshape(3, -1, STEPS_PER_DAY).mean(axis=(0, 2)) for panel in panels)
    assert festive[3] < 0.85 * usual[3]
    assert usual[:2].tolist() == festive[:2].tolist()
