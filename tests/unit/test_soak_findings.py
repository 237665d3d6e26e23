"""The findings of the soak can fail."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from daemon.alerting.outcomes import Prediction
from daemon.breach.definition import Severity
from daemon.core.series import Panel, SeriesKey
from tests.soak.findings import fired_twice, notified_twice, ticks_without_samples, wrong_samples

KEYS = (SeriesKey("a", "cpu"), SeriesKey("b", "cpu"))
TRUTH = Panel(KEYS, 300, np.array([[1, np.nan, 3], [4, 5, 6]], np.float32))


def notification(status: str, starts_at: str = "t0", server: str = "a") -> dict[str, Any]:
    return {"labels": {"server": server}, "status": status, "startsAt": starts_at}


FIRING = notification("firing")


@pytest.mark.parametrize(
    ("alerts", "twice"),
    [
        (
            [
                notification("firing"),
                notification("firing", server="b"),
                notification("resolved"),
                notification("firing", "t1"),
            ],
            0,
        ),
        ([FIRING, FIRING], 1),
        ([FIRING, notification("firing", "t1")], 1),
        ([FIRING, notification("resolved"), FIRING], 1),
    ],
)
def test_an_alert_that_is_notified_twice_is_counted(alerts: list[dict[str, Any]], twice: int) -> None:
    """A second firing notification while the alert fires, or after its end with the same start."""
    assert notified_twice(alerts) == twice


def test_an_alert_that_fires_too_soon_again_is_counted() -> None:
    """An alert resolves and fires again only after the hold time of both; sooner is an error."""
    prediction = Prediction(
        server="a", metric="cpu", severity=Severity.CRITICAL, profile="generic", made=3000, probability=0.9
    )
    later = [replace(prediction, made=made) for made in (3300, 6900)]
    assert fired_twice([prediction, *later, replace(prediction, server="b", made=3300)], 3600) == 1


def test_lost_and_changed_samples_are_counted() -> None:
    """Changed values, a missing value and a missing series count; a gap in the truth does not."""
    assert wrong_samples(TRUTH, TRUTH) == 0
    assert wrong_samples(replace(TRUTH, values=TRUTH.values + 1), TRUTH) == 5
    assert wrong_samples(Panel(KEYS[1:], 300, TRUTH.values[1:]), TRUTH) == 2
    lost = TRUTH.values.copy()
    lost[1, 2] = np.nan
    assert wrong_samples(replace(TRUTH, values=lost), TRUTH) == 1


def test_a_tick_without_samples_is_counted() -> None:
    """A grid time with one sample is not empty; one beyond the stored span is."""
    values = TRUTH.values.copy()
    assert ticks_without_samples(replace(TRUTH, values=values), 3) == 0
    values[:, 1] = np.nan
    assert ticks_without_samples(replace(TRUTH, values=values), 3) == 1
    assert ticks_without_samples(Panel(KEYS, 300, values[:, :2]), 3) == 2
