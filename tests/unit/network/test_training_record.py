import pytest

from daemon.breach.training import BreachMeasurement
from daemon.core.levels import LEVELS, Level, LevelName
from daemon.core.training_info import BreachReliability, EpochRecord, TrainingInfo
from daemon.forecasting.evaluation import Evaluation
from daemon.network.calibration import NONE, Calibration
from daemon.network.fitting import Fit
from daemon.network.training_record import TrainingFacts, training_info
from tests.panels import daily_panel

PRODUCTION = LEVELS[LevelName.PRODUCTION]


def record(
    quantile_loss: float = 0.155, train_loss: float = 0.1, val_loss: float = 0.12, level: Level = PRODUCTION
) -> TrainingInfo:
    """Return the record of two epochs, the first of which was kept."""
    losses = ((train_loss, val_loss), (0.01, 9.0))
    epochs = tuple(
        EpochRecord(
            epoch=number,
            train_loss=train,
            val_loss=validation,
            learning_rate=1e-3,
            time_seconds=2.0,
            gpu_memory_mb=0.0,
            samples_per_second=900.0,
        )
        for number, (train, validation) in enumerate(losses)
    )
    measured = Evaluation(
        quantile_loss=quantile_loss,
        skill={},
        skill_by_horizon={},
        coverage={},
        coverage_by_metric={},
        reliability={},
        by_profile={},
        unknown_servers=None,
        origins=13,
    )
    facts = TrainingFacts(
        seed=1,
        seconds=36.0,
        parameters=5,
        latency_ms=30.0,
        started_from="base",
        planned_epochs=20,
        seen=("other",),
    )
    fit, calibration = (
        Fit(records=epochs, best_epoch=0, best_loss=val_loss, early_stopping=True, device="cpu"),
        Calibration(
            stretch=NONE,
            applied=False,
            loss_before=0.2,
            loss_after=0.2,
            coverage_before={},
            coverage_after={},
            reason="",
        ),
    )
    panel = daily_panel()
    return training_info(
        panel,
        level,
        fit,
        measured=measured,
        breaches=BreachMeasurement(
            {}, BreachReliability(windows=0, breaches=0, brier=None, brier_of_the_base_rate=None)
        ),
        calibration=calibration,
        held_out=(panel.start, panel.end),
        facts=facts,
    )


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (0.0999, "excellent"),
        *((0.1, "good"), (0.1999, "good")),
        *((0.2, "acceptable"), (0.3, "acceptable")),
        (0.3001, "needs improvement"),
        (float("nan"), None),
    ],
)
def test_the_quantile_loss_is_rated(loss: float, expected: str | None) -> None:
    """Below 0.10 excellent, below 0.20 good, up to 0.30 acceptable; a loss that was not measured has no rating."""
    assert record(loss).quantile_loss_rating == expected


def test_a_validation_loss_far_above_the_training_loss_is_overfitting() -> None:
    """By the epoch that was kept: from one and a half times as much, the four remedies are named."""
    made = record(train_loss=0.1, val_loss=0.16).overfitting
    assert made is not None
    assert made.warned
    assert made.ratio == pytest.approx(1.6)
    assert made.remedies == ("more dropout", "a smaller model", "more data", "more regularisation")
    sound = record(train_loss=0.1, val_loss=0.14).overfitting
    assert sound is not None
    assert (sound.warned, sound.remedies) == (False, ())


def test_the_plan_and_what_training_started_from_are_recorded() -> None:
    """The planned epochs beside those that were run, and the servers that the weights at the start had seen."""
    made = record()
    assert (made.epochs, made.planned_epochs, made.convergence) == (2, 20, "achieved")
    assert (made.started_from, made.seen_before) == ("base", ("other",))


@pytest.mark.parametrize(("name", "span"), [("validation", "validation"), ("production", "test")])
def test_the_span_that_the_figures_come_from_is_recorded(name: str, span: str) -> None:
    """A level without test hours measures on the span that chose the epoch, and says so."""
    held_out = record(level=LEVELS[LevelName(name)]).held_out
    assert held_out is not None
    assert held_out.span == span
