import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.forecast import HORIZONS, QUANTILES, Forecast, ForecasterKind
from daemon.core.scoring import pinball, seasonal_error
from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Panel
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.verification import (
    DUE_SECONDS,
    LiveScore,
    PendingVerification,
    Tally,
    live_assessment,
    live_scores,
    total,
)
from tests.panels import daily_panel

PANEL = daily_panel(3, 10, missing=0)
ORIGIN = PANEL.start + (9 * STEPS_PER_DAY - 1) * STEP_SECONDS
NAIVE, BASELINE = (each({}).forecast(PANEL, ORIGIN) for each in (SeasonalNaive, Climatology))


def forecast_of(panel: Panel, offset: float, spread: float) -> Forecast:
    """Return a forecast of the future itself, ``offset`` too high, with quantiles ``spread`` apart."""
    first = (ORIGIN - panel.start) // STEP_SECONDS + 1
    levels = (np.arange(len(QUANTILES)) - 3) * spread + offset
    paths = (panel.values[:, first : first + 96, None] + levels).astype(np.float32)
    return Forecast(
        origin=ORIGIN, keys=panel.keys, paths=paths, kinds=(ForecasterKind.MODEL,) * len(panel.keys), model="m"
    )


def test_a_forecast_is_scored_at_its_horizons() -> None:
    """Counts, coverage and pinball loss are those of the definition, by hand."""
    pending = PendingVerification.of(forecast_of(PANEL, 1.5, 1.0))
    scores = live_scores(pending, PANEL, NAIVE, BASELINE)
    assert {(score.forecaster, score.metric, score.horizon) for score in scores} == {
        ("m", metric, horizon) for metric in ("cpu", "mem") for horizon in HORIZONS
    }
    assert all(score.tally.count == 3 for score in scores)
    # 1.5 too high: outside the 50 % interval of ±1, inside that of ±2
    assert total(scores).coverage == {"50": 0.0, "80": 1.0, "96": 1.0}
    some = next(score for score in scores if (score.metric, score.horizon) == ("cpu", "2h"))
    rows = [row for row, key in enumerate(PANEL.keys) if key.metric == "cpu"]
    actual = PANEL.values[rows, (ORIGIN - PANEL.start) // STEP_SECONDS + 24]
    known = PANEL.between(PANEL.start, ORIGIN).values[rows]
    loss = pinball(actual, pending.paths[rows, 2]).mean(axis=-1) / seasonal_error(known)
    assert some.tally.pinball == pytest.approx(loss.sum(), rel=1e-5)
    naive = pinball(actual, NAIVE.paths[rows, 23]).mean(axis=-1) / seasonal_error(known)
    assert some.tally.naive == pytest.approx(naive.sum(), rel=1e-5)


def test_seasonal_naive_has_a_skill_of_one_and_the_baseline_is_as_good_as_itself() -> None:
    """A reference that serves scores like the reference."""
    for forecast, ratio in ((NAIVE, "skill"), (BASELINE, "against_baseline")):
        tally = total(live_scores(PendingVerification.of(forecast), PANEL, NAIVE, BASELINE))
        assert getattr(tally, ratio) == pytest.approx(1)


def test_missing_samples_and_constant_series_are_not_scored() -> None:
    """A missing sample and a constant series are left out; the other rows count as before."""
    values = PANEL.values.copy()
    values[0] = 7
    values[1, (ORIGIN - PANEL.start) // STEP_SECONDS + HORIZONS["1h"]] = np.nan
    panel = Panel(PANEL.keys, PANEL.start, values)
    scores = live_scores(PendingVerification.of(forecast_of(PANEL, 0, 1)), panel, NAIVE, BASELINE)
    counts = {(score.metric, score.horizon): score.tally.count for score in scores}
    assert counts == {
        (metric, horizon): 2 if metric == "cpu" or horizon == "1h" else 3
        for metric in ("cpu", "mem")
        for horizon in HORIZONS
    }


def test_a_score_uses_nothing_after_the_origin_to_scale() -> None:
    """Samples after the last horizon change no score."""
    forecast = PendingVerification.of(forecast_of(PANEL, 1, 1))
    values = PANEL.values.copy()
    later = (ORIGIN - PANEL.start) // STEP_SECONDS + 97
    values[:, later:] = 1e6
    changed = Panel(PANEL.keys, PANEL.start, values)
    assert live_scores(forecast, changed, NAIVE, BASELINE) == live_scores(forecast, PANEL, NAIVE, BASELINE)


def test_a_series_that_hardly_moved_does_not_outweigh_the_others() -> None:
    """The scale of an almost constant series is not far below the median of its metric."""
    values = PANEL.values.copy()
    values[0] = 0
    values[0, 100] = 0.01
    values[0, -STEPS_PER_DAY:] = 50
    panel = Panel(PANEL.keys, PANEL.start, values)
    naive, baseline = (each({}).forecast(panel, ORIGIN) for each in (SeasonalNaive, Climatology))
    scores = live_scores(PendingVerification.of(naive), panel, naive, baseline)
    cpu = total(score for score in scores if score.metric == "cpu")
    assert cpu.pinball < 1_000


tallies = st.builds(
    Tally,
    count=st.integers(0, 9),
    pinball=st.floats(0, 9),
    naive=st.floats(0, 9),
    baseline=st.floats(0, 9),
    inside=st.tuples(*[st.integers(0, 9)] * 3),
)


@given(st.lists(tallies, max_size=6))
def test_tallies_add_up(parts: list[Tally]) -> None:
    """Counts and losses add up; an empty tally has no ratio and no coverage."""
    whole = total(LiveScore(origin=0, forecaster="m", metric="cpu", horizon="1h", tally=each) for each in parts)
    assert whole.count == sum(each.count for each in parts)
    assert whole.pinball == pytest.approx(sum(each.pinball for each in parts))
    assert (whole.skill is None) == (whole.naive == 0)
    assert (whole.coverage == {}) == (whole.count == 0)


def hours(count: int, forecaster: str, pinball: float, inside: int = 8) -> list[LiveScore]:
    """Return the scores of ``count`` hours, ten values each."""
    tally = Tally(count=10, pinball=pinball, naive=10.0, baseline=8.0, inside=(5, inside, 9))
    return [
        LiveScore(origin=ORIGIN + hour * 3600, forecaster=forecaster, metric="cpu", horizon="1h", tally=tally)
        for hour in range(count)
    ]


def test_an_assessment_needs_most_of_its_hours() -> None:
    """18 of 24 hours are enough; scores of other forecasters and older scores do not count."""
    at = ORIGIN + 24 * 3600 + DUE_SECONDS
    assert live_assessment(hours(17, "m", 9), "m", at, 86_400) is None
    assert live_assessment(hours(24, "other", 9), "m", at, 86_400) is None
    assessment = live_assessment(hours(24, "m", 9), "m", at, 86_400)
    assert assessment is not None
    assert (assessment.tally.skill, assessment.tally.against_baseline) == (pytest.approx(0.9), pytest.approx(9 / 8))
    assert live_assessment(hours(24, "m", 9), "m", at + 10 * 3600, 86_400) is None


@pytest.mark.parametrize(
    ("pinball", "inside", "worse", "bounds"),
    [
        (7.0, 8, "", ""),
        (9.0, 8, "1.125 of the climatology's", ""),
        (11.0, 8, "1.375 of the climatology's", "1.100 of seasonal naive's"),
        (7.0, 6, "", "covered 60.0%"),
        (7.0, 10, "", "covered 100.0%"),
    ],
)
def test_an_assessment_names_its_reason(pinball: float, inside: int, worse: str, bounds: str) -> None:
    """The reason holds the figure; a sound forecaster has no reason."""
    assessment = live_assessment(hours(24, "m", pinball, inside), "m", ORIGIN + 24 * 3600, 86_400)
    assert assessment is not None
    for text, reason in ((assessment.worse_than_baseline, worse), (assessment.out_of_bounds, bounds)):
        assert reason in (text or "")
        assert bool(reason) == bool(text)
