import gzip
import shutil
import subprocess

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.alerting.engine import AlertingResult
from daemon.api.exposition import expose
from daemon.breach.definition import DecisionThreshold, MonitoredThreshold, Risk, Severity
from daemon.core.forecast import Forecast, ForecasterKind
from daemon.core.metric import Direction
from daemon.core.series import SeriesKey

KEYS = (SeriesKey("db-3", "disk"), SeriesKey('odd"na\\me', "free"))


def forecast() -> Forecast:
    steps = np.arange(1, 97, dtype=np.float32)[None, :, None]
    spread = np.arange(7, dtype=np.float32)[None, None]
    paths = np.repeat(steps * 10 + spread, 2, axis=0)
    return Forecast(origin=1_767_571_200, keys=KEYS, paths=paths, kinds=(ForecasterKind.MODEL,) * 2, model="m")


def alerting() -> AlertingResult:
    risks = [
        Risk(
            monitored=MonitoredThreshold(KEYS[0], Severity.WARNING, 80, Direction.ABOVE, "generic"),
            probability=0.25,
            breached=True,
            value=81,
            earlier=70,
            median_seconds=3600,
            early_seconds=3000,
        ),
        Risk(
            monitored=MonitoredThreshold(KEYS[0], Severity.CRITICAL, 90, Direction.ABOVE, "generic"),
            probability=0.75,
            breached=False,
            value=81,
            earlier=70,
            median_seconds=None,
            early_seconds=7200,
        ),
        Risk(
            monitored=MonitoredThreshold(KEYS[1], Severity.CRITICAL, 5, Direction.BELOW, "generic"),
            probability=0.1,
            breached=False,
            value=81,
            earlier=70,
            median_seconds=None,
            early_seconds=7200,
        ),
        Risk(
            monitored=MonitoredThreshold(SeriesKey("gone", "disk"), Severity.CRITICAL, 90, Direction.ABOVE, "generic"),
            probability=None,
            breached=False,
        ),
    ]
    threshold = DecisionThreshold(
        probability=0.6, precision=0.8, recall=0.5, reached=True, chosen_on="its own threshold", windows=30
    )
    kinds = {(risk.monitored.key.metric, risk.monitored.severity) for risk in risks}
    return AlertingResult(risks=tuple(risks), decision_thresholds=dict.fromkeys(kinds, threshold))


def samples(text: str) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_horizons_and_quantiles() -> None:
    """Step k is origin + k times five minutes: 8h is the 96th step, 30m the 6th."""
    found = samples(expose(forecast(), AlertingResult(), {}, 1000).text.decode())
    assert found["forewarn_forecast", "db-3", "disk", "8h", "0.5"] == 963
    assert found["forewarn_forecast", "db-3", "disk", "30m", "0.1"] == 61
    assert found["forewarn_forecast", 'odd"na\\me', "free", "1h", "0.9"] == 125
    assert sum(key[0] == "forewarn_forecast" for key in found) == 2 * 5 * 3


def test_the_peak_is_on_the_bad_side() -> None:
    """Where below is bad, the peak is the lowest value."""
    found = samples(expose(forecast(), AlertingResult(), {"free": Direction.BELOW}, 1000).text.decode())
    assert found["forewarn_forecast_peak", "db-3", "disk", "0.9"] == 965
    assert found["forewarn_forecast_peak", 'odd"na\\me', "free", "0.9"] == 15


def test_above_the_budget_the_export_narrows_and_counts_the_dropped_series() -> None:
    """The lean profile keeps 1h and 8h, 0.5 and 0.9, and counts the dropped series."""
    found = samples(expose(forecast(), AlertingResult(), {}, 30).text.decode())
    shown = [key for key in found if key[0].startswith("forewarn_forecast")]
    assert {key[3] for key in shown if key[0] == "forewarn_forecast"} == {"1h", "8h"}
    assert {key[-1] for key in shown} == {"0.5", "0.9"}
    assert found[("forewarn_exposition_series_dropped",)] == 2 * 6 * 3 - len(shown)


def test_compressed_is_the_same() -> None:
    """The gzipped text, with what follows it, is the text with what follows it."""
    made = expose(forecast(), AlertingResult(), {}, 1000)
    assert gzip.decompress(made.compressed_followed_by(b"rest 1\n")) == made.followed_by(b"rest 1\n")


def test_risks_are_shown() -> None:
    """Every threshold with a probability has it; a time only where a breach is predicted, never −1 or +Inf."""
    found = samples(expose(forecast(), alerting(), {}, 1000).text.decode())
    assert found["forewarn_breach_probability", "db-3", "disk", "critical"] == 0.75
    assert found["forewarn_breached", "db-3", "disk", "warning"] == 1
    assert found["forewarn_alert_cut", "disk", "critical"] == 0.6
    times = {key[1:]: value for key, value in found.items() if key[0] == "forewarn_time_to_breach_seconds"}
    assert times == {("db-3", "disk", "warning"): 3600, ("db-3", "disk", "critical"): 7200}
    assert not [key for key in found if "gone" in key]


def test_promtool_passes() -> None:
    """Prometheus' own linter finds nothing."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    text = expose(forecast(), alerting(), {}, 1000).text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
