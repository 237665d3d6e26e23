from dataclasses import replace

import numpy as np
import pytest

from daemon.core.forecast import Forecast
from daemon.forecasting.verification import LiveAssessment, LiveScore, Tally, VerificationResult
from daemon.models.registry import Demotion
from daemon.pipeline.cycle import Snapshot
from tests.unit.api.test_app import T0, Rig

SCORES = (
    LiveScore(
        origin=T0 - 40_000,
        forecaster="base",
        metric="cpu",
        horizon="1h",
        tally=Tally(count=10, pinball=6.0, naive=10.0, baseline=8.0, inside=(4, 7, 10)),
    ),
    LiveScore(
        origin=T0 - 36_400,
        forecaster="m",
        metric="cpu",
        horizon="1h",
        tally=Tally(count=10, pinball=4.0, naive=10.0, baseline=8.0, inside=(6, 9, 10)),
    ),
    LiveScore(
        origin=T0 - 36_400,
        forecaster="m",
        metric="cpu",
        horizon="8h",
        tally=Tally(count=20, pinball=20.0, naive=16.0, baseline=16.0, inside=(10, 16, 20)),
    ),
    LiveScore(
        origin=T0 - 36_400,
        forecaster="m",
        metric="idle",
        horizon="8h",
        tally=Tally(count=5, pinball=0.0, naive=0.0, baseline=0.0, inside=(5, 5, 5)),
    ),
)
ASSESSMENT = LiveAssessment("m", 86_400, Tally(count=30, pinball=24.0, naive=26.0, baseline=24.0, inside=(16, 25, 30)))
SNAPSHOT = Snapshot(
    at=T0,
    made=T0 + 20,
    forecast=Forecast(origin=T0, keys=(), paths=np.empty((0, 0, 0), np.float32), kinds=()),
    model="m",
    verification=VerificationResult(SCORES, 9, ASSESSMENT),
    demotion=Demotion("noon", "it was worse"),
)


@pytest.fixture
def rig() -> Rig:
    """An application that shows the snapshot."""
    rig = Rig()
    rig.telemetry.publish(SNAPSHOT)
    rig.snapshots.publish(SNAPSHOT)
    return rig


def test_live_figures_are_metrics(rig: Rig) -> None:
    """They cover all served forecasts of any forecaster; a figure without values has no series."""
    lines = [line for line in rig.client.get("/metrics").text.splitlines() if line.startswith("forewarn_live")]
    assert set(lines) == {
        "forewarn_live_forecasts_waiting 9.0",
        'forewarn_live_skill_ratio{horizon="1h",metric="cpu"} 0.5',
        'forewarn_live_skill_ratio{horizon="8h",metric="cpu"} 1.25',
        'forewarn_live_baseline_skill_ratio{horizon="1h",metric="cpu"} 0.8',
        'forewarn_live_baseline_skill_ratio{horizon="8h",metric="cpu"} 1.0',
        'forewarn_live_coverage_ratio{interval="50",metric="cpu"} 0.5',
        'forewarn_live_coverage_ratio{interval="80",metric="cpu"} 0.8',
        'forewarn_live_coverage_ratio{interval="96",metric="cpu"} 1.0',
        'forewarn_live_coverage_ratio{interval="50",metric="idle"} 1.0',
        'forewarn_live_coverage_ratio{interval="80",metric="idle"} 1.0',
        'forewarn_live_coverage_ratio{interval="96",metric="idle"} 1.0',
    }


def test_the_api_has_live_figures_by_forecaster(rig: Rig) -> None:
    """Figures by forecaster, metric and horizon, the span of the origins, and the assessment of the serving model."""
    document = rig.client.get("/api/v1/accuracy").json()
    assert (document["since"], document["until"]) == ("2026-01-04T12:53:20Z", "2026-01-04T13:53:20Z")
    assert document["waiting"] == 9
    by_name = {(each["forecaster"], each["metric"], each["horizon"]): each for each in document["figures"]}
    assert len(by_name) == 4
    assert by_name["m", "cpu", "1h"] == {
        "forecaster": "m",
        "metric": "cpu",
        "horizon": "1h",
        "values": 10,
        "coverage": {"50": 0.6, "80": 0.9, "96": 1.0},
        "skill": 0.4,
        "against_baseline": 0.5,
    }
    assert by_name["m", "idle", "8h"]["skill"] is None
    assert document["judged"]["against_baseline"] == 1
    assert document["judged"]["worse_than_baseline"] == ""


def test_a_demoted_model_is_shown(rig: Rig) -> None:
    """The status holds the reason and the metric is 1; once the model serves again the metric is 0."""
    assert rig.client.get("/api/v1/status").json()["withdrawn"] == "demoted at noon: it was worse"
    assert "forewarn_model_withdrawn 1.0" in rig.client.get("/metrics").text
    rig.telemetry.publish(replace(SNAPSHOT, demotion=None))
    assert "forewarn_model_withdrawn 0.0" in rig.client.get("/metrics").text


def test_before_anything_was_verified_there_is_no_figure() -> None:
    """In the first hours of a service the document is empty and there is no skill metric."""
    rig = Rig()
    rig.publish()
    document = rig.client.get("/api/v1/accuracy").json()
    assert document == {
        "since": None,
        "until": None,
        "waiting": 0,
        "withdrawn": "",
        "judged": None,
        "figures": [],
    }
    assert "forewarn_live_skill_ratio{" not in rig.client.get("/metrics").text
