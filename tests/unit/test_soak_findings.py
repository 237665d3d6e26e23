"""What the soak is judged by can fail."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from daemon.alerting.outcomes import Prediction
from daemon.breach.definition import Severity
from daemon.core.series import Panel, SeriesKey
from tests.soak.findings import fired_twice, ticks_without_samples, told_twice, wrong_samples

KEYS = (SeriesKey("a", "cpu"), SeriesKey("b", "cpu"))
TRUTH = Panel(KEYS, 300, np.array([[1, np.nan, 3], [4, 5, 6]], np.float32))


def told(status: str, starts_at: str = "t0", server: str = "a") -> dict[str, Any]:
    return {"labels": {"server": server}, "status": status, "startsAt": starts_at}


@pytest.mark.parametrize(
    ("alerts", "twice"),
    [
        ([told("firing"), told("firing", server="b"), told("resolved"), told("firing", "t1")], 0),
        ([told("firing"), told("firing")], 1),
        ([told("firing"), told("firing", "t1")], 1),
        ([told("firing"), told("resolved"), told("firing")], 1),
    ],
)
def test_an_alert_that_is_told_twice_is_counted(alerts: list[dict[str, Any]], twice: int) -> None:
    """Again while it fires, by whichever start, or after its end by the same start."""
    assert told_twice(alerts) == twice


def test_an_alert_that_fires_too_soon_again_is_counted() -> None:
    """Between one firing and the next of the same alert lie a resolving and the hold of both."""
    line = Prediction(
        server="a", metric="cpu", severity=Severity.CRITICAL, profile="generic", made=3000, probability=0.9
    )
    ledger = [line, replace(line, made=3300), replace(line, server="b", made=3300), replace(line, made=6900)]
    assert fired_twice(ledger, 3600) == 1


def test_lost_and_changed_samples_are_counted() -> None:
    """A value that differs, one that is gone, and a series that is gone; what was never made is not missed."""
    assert wrong_samples(TRUTH, TRUTH) == 0
    assert wrong_samples(replace(TRUTH, values=TRUTH.values + 1), TRUTH) == 5
    assert wrong_samples(Panel(KEYS[1:], 300, TRUTH.values[1:]), TRUTH) == 2
    lost = TRUTH.values.copy()
    lost[1, 2] = np.nan
    assert wrong_samples(replace(TRUTH, values=lost), TRUTH) == 1


def test_a_tick_without_samples_is_counted() -> None:
    """A grid time counts as there as soon as it has one sample."""
    values = TRUTH.values.copy()
    assert ticks_without_samples(replace(TRUTH, values=values), 3) == 0
    values[:, 1] = np.nan
    assert ticks_without_samples(replace(TRUTH, values=values), 3) == 1
    assert ticks_without_samples(Panel(KEYS, 300, values[:, :2]), 3) == 2
