import numpy as np
import pytest

from daemon.breach.scoring import (
    AlarmWindows,
    alarm_figures,
    average_precision,
    brier,
    decisions,
    numbered,
    over_servers,
    recall_at,
    reliability_bins,
)

HALF_HOUR = 1800


def windows() -> AlarmWindows:
    """Two servers for a day; the first one breaches at its 20th half hour, and 16 windows precede the breach."""
    origin = np.tile(np.arange(48) * HALF_HOUR, 2)
    series = np.repeat([0, 1], 48)
    before = (series == 0) & (origin >= 4 * HALF_HOUR) & (origin < 20 * HALF_HOUR)
    onset = np.where(before, 20 * HALF_HOUR, 0)
    kept = ~((series == 0) & (origin >= 20 * HALF_HOUR) & (origin < 28 * HALF_HOUR))
    return AlarmWindows(series[kept], series[kept], origin[kept], onset[kept])


def test_alarms_are_counted_by_episode() -> None:
    """A run of alarms is one false alarm; the lead is that of the first alarm in the 8 h before the breach."""
    given = windows()
    first, second = given.series == 0, given.series == 1
    hour = given.origin // HALF_HOUR
    alarmed = (first & (hour >= 10) & (hour < 20)) | (second & np.isin(hour, [3, 4, 5, 30]))
    figures = alarm_figures(given, alarmed)
    assert (figures.incidents, figures.caught, figures.false_alarms) == (1, 1, 2)
    assert figures.precision == pytest.approx(10 / 14)
    assert figures.recall == pytest.approx(10 / 16)
    assert figures.median_lead_seconds == 10 * HALF_HOUR
    assert figures.false_per_server_week == pytest.approx(2 / given.server_weeks)


def test_recall_at_a_rate_of_false_alarms() -> None:
    """A score that ranks the breach first catches it without a false alarm; the inverse score needs many."""
    given = windows()
    good = given.happened + np.linspace(0, 0.1, len(given.origin))
    assert recall_at(given, good, 1.0) == 1.0
    assert recall_at(given, -good, 1.0) == 0.0


def test_average_precision_by_hand() -> None:
    """Hits at ranks 1 and 3 of 4 give (1 + 2/3) / 2; windows of one score count together."""
    happened = np.array([True, False, True, False])
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.1]), happened) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.ones(4), happened) == pytest.approx(0.5)
    assert np.isnan(average_precision(np.ones(2), np.zeros(2, dtype=bool)))


def test_the_interval_over_servers_holds_the_figure() -> None:
    """The bootstrap interval over servers contains the average precision of all of them."""
    random = np.random.default_rng(0)
    server = np.repeat(np.arange(20), 50)
    happened = random.random(1000) < 0.2
    score = happened + random.normal(0, 1, 1000)
    onset = np.where(happened, 10_000_000, 0)
    given = AlarmWindows(server, server, np.tile(np.arange(50) * HALF_HOUR, 20), onset)
    low, high = over_servers(given, score)
    assert low < average_precision(score, happened) < high


def test_probabilities_are_scored() -> None:
    """Brier is the mean squared error; bins hold the predicted probability and the observed frequency."""
    probability = np.array([0.01, 0.01, 0.9, 0.7])
    happened = np.array([False, True, True, True])
    assert brier(probability, happened) == pytest.approx((0.01**2 + 0.99**2 + 0.1**2 + 0.3**2) / 4)
    bins = reliability_bins(probability, happened)
    assert [(each.from_, each.windows, each.happened) for each in bins] == [
        (0.0, 2, 0.5),
        (0.65, 1, 1.0),
        (0.8, 1, 1.0),
    ]
    assert bins[0].claimed == pytest.approx(0.01)
    made = decisions(probability >= 0.5, happened)
    assert (made.windows, made.breaches, made.precision) == (4, 3, 1.0)
    assert made.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)


def test_names_get_numbers() -> None:
    """The same name has the same number."""
    assert numbered(["a", "b", "a"]).tolist() == [0, 1, 0]
