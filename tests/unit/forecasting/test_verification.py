from dataclasses import replace

import numpy as np
import pytest

from daemon.config.training import VerificationConfig
from daemon.core.errors import StoreUnavailable
from daemon.core.forecast import HORIZONS, Forecast
from daemon.core.series import STEP_SECONDS, Panel
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.verification import DUE_SECONDS, Verification, VerificationResult, total
from tests.fakes.verification_repository import FakeVerificationRepository
from tests.panels import daily_panel

HOUR, DAY = 3_600, 86_400
PANEL = daily_panel(2, 14, missing=0)
AT = PANEL.start + 8 * DAY
RULES = VerificationConfig(window_hours=24, judged_hours=6)


class Rig:
    """Verification of forecasts of the climatology."""

    def __init__(self, rules: VerificationConfig = RULES) -> None:
        self.repository, self.rules = FakeVerificationRepository(), rules
        self.restart()

    def restart(self) -> None:
        self.verification = Verification(self.repository, SeasonalNaive({}), Climatology({}), self.rules)

    def tick(self, at: int, known_until: int | None = None, offset: float = 0) -> VerificationResult:
        """Run a tick: samples arrived up to ``known_until``, and the served forecast is ``offset`` too high."""
        panel = PANEL.between(PANEL.start, at if known_until is None else known_until).between(PANEL.start, at)
        made = Climatology({}).forecast(panel, at)
        return self.verification.run(at, replace(made, paths=made.paths + offset), panel, "baseline")


def test_a_forecast_an_hour_is_kept_and_scored_when_its_time_has_come() -> None:
    """Twelve ticks keep one; after 8.5 hours it is scored once at every horizon and deleted."""
    rig = Rig()
    for step in range(13):
        rig.tick(AT + step * STEP_SECONDS)
    assert [pending.origin for pending in rig.repository.pending()] == [AT, AT + HOUR]
    assert rig.tick(AT + DUE_SECONDS - STEP_SECONDS).scores == ()
    verification = rig.tick(AT + DUE_SECONDS)
    assert {(score.origin, score.forecaster, score.horizon) for score in verification.scores} == {
        (AT, "baseline", horizon) for horizon in HORIZONS
    }
    assert total(verification.scores).count == len(PANEL.keys) * len(HORIZONS)
    assert (
        set(rig.tick(AT + DUE_SECONDS + STEP_SECONDS).scores)
        == set(verification.scores)
        == set(rig.repository.scores(0))
    )
    assert AT not in [pending.origin for pending in rig.repository.pending()]


def test_a_restart_loses_nothing() -> None:
    """Pending forecasts and scores are read back; a forecast that came due meanwhile is scored at the first tick."""
    rig = Rig()
    rig.tick(AT)
    rig.restart()
    rig.tick(AT + HOUR)
    rig.restart()
    verification = rig.tick(AT + HOUR + DUE_SECONDS)
    assert {score.origin for score in verification.scores} == {AT, AT + HOUR}
    rig.restart()
    assert set(rig.tick(AT + HOUR + DUE_SECONDS + STEP_SECONDS).scores) == set(verification.scores)


def test_late_samples_are_waited_for_but_not_for_ever() -> None:
    """While a source is down nothing is scored; after two days the samples that arrived count."""
    rig = Rig(VerificationConfig(window_hours=96, judged_hours=6))
    rig.tick(AT)
    outage = AT + 2 * HOUR
    assert rig.tick(AT + DUE_SECONDS, known_until=outage).scores == ()
    assert rig.tick(AT + DUE_SECONDS + 6 * HOUR, known_until=outage).scores == ()
    verification = rig.tick(AT + DUE_SECONDS + 2 * DAY, known_until=outage)
    assert {score.horizon for score in verification.scores if score.origin == AT} == {"30m", "1h", "2h"}


def test_a_failing_store_leaves_everything_as_it_was() -> None:
    """The next tick scores and writes again."""
    rig = Rig()
    rig.tick(AT)
    rig.repository.failure = StoreUnavailable("full")
    with pytest.raises(StoreUnavailable):
        rig.tick(AT + DUE_SECONDS)
    rig.repository.failure = None
    verification = rig.tick(AT + DUE_SECONDS + STEP_SECONDS)
    assert total(verification.scores).count == len(PANEL.keys) * len(HORIZONS)


def test_old_scores_are_dropped() -> None:
    """Scores that leave the window are deleted in memory and in the repository."""
    rig = Rig()
    for hour in range(48):
        rig.tick(AT + hour * HOUR)
    last = AT + 47 * HOUR
    origins = {score.origin for score in rig.repository.scores(0)}
    assert min(origins) >= last - DUE_SECONDS - DAY
    assert len(origins) == 24


def test_the_serving_forecaster_is_assessed_by_its_last_hours() -> None:
    """A forecaster far off is worse than the climatology; it falls back only if the rules have the fallback."""
    for fallback in (True, False):
        rig = Rig(VerificationConfig(window_hours=24, judged_hours=6, fallback=fallback))
        for hour in range(16):
            verification = rig.tick(AT + hour * HOUR, offset=40)
        assert verification.assessment is not None
        assert verification.assessment.worse_than_baseline
        assert bool(verification.fallback) is fallback
    rig = Rig()
    for hour in range(16):
        verification = rig.tick(AT + hour * HOUR)
    assert verification.assessment is not None
    assert verification.fallback is None


def test_references_use_nothing_after_the_origin() -> None:
    """The references forecast the same paths whether or not samples after the origin exist."""

    class Blindfolded:
        """Compares the climatology on the whole panel with that on the panel up to the origin."""

        last_origin = 0

        def forecast(self, panel: Panel, origin: int) -> Forecast:
            made = Climatology({}).forecast(panel, origin)
            values = panel.values.copy()
            values[:, (origin - panel.start) // STEP_SECONDS + 1 :] = np.nan
            blind = Climatology({}).forecast(Panel(panel.keys, panel.start, values), origin)
            np.testing.assert_array_equal(made.paths, blind.paths)
            Blindfolded.last_origin = origin
            return made

    repository = FakeVerificationRepository()
    verification = Verification(repository, Blindfolded(), Blindfolded(), RULES)
    panel = PANEL.between(PANEL.start, AT + 12 * HOUR)
    verification.run(AT, Climatology({}).forecast(panel, AT), panel, "baseline")
    verification.run(AT + DUE_SECONDS, Climatology({}).forecast(panel, AT), panel, "baseline")
    assert Blindfolded.last_origin == AT
