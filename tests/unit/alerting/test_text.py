"""The texts that people read, one golden text per kind of message, compared as a whole."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.alerting.outcomes import PredictionFigures
from daemon.alerting.state import AlertKey, AlertName
from daemon.alerting.text import (
    Context,
    breach_annotations,
    clear_annotations,
    duration,
    ended_annotations,
    forecast_link,
    group_annotations,
    held_annotations,
    stale_annotations,
)
from daemon.breach.definition import MonitoredThreshold, Risk, Severity
from daemon.core.metric import Direction, Metric
from daemon.core.series import SeriesKey, parse_time

DOCUMENT = Path(__file__).parents[3] / "docs" / "early-warning.md"
AT = parse_time("2026-03-03T04:00:00Z")
HOUR = 3600
MEMORY = Metric(name="mem_used_pct", display_name="Memory used", unit="%", hint="the processes that grow")
LINK = "http://f/api/v1/forecasts?server=web-02"
RISK = Risk(
    monitored=MonitoredThreshold(
        SeriesKey("web-02", "mem_used_pct"), Severity.CRITICAL, 95.0, Direction.ABOVE, "web_api"
    ),
    probability=0.761,
    breached=False,
    value=57.12,
    earlier=41.4,
    peak=(48.4, 57.95, 61.02),
    peak_seconds=3 * HOUR + 55 * 60,
    seen_days=0,
    same_hour_history=7,
)
CONTEXT = Context(
    at=AT,
    fired_at=AT - 600,
    metric=MEMORY,
    track_record=None,
    target_precision=0.8,
    model="20260301T033000Z-1a2b3c4d (level production)",
    link=LINK,
)
GROUP = AlertKey(AlertName.GROUP_PREDICTED_BREACH, "", "mem_used_pct", Severity.CRITICAL, "web_api")


def test_a_predicted_breach() -> None:
    """Golden text of a firing PredictedBreach."""
    assert breach_annotations(RISK, CONTEXT) == {
        "summary": "web-02: Memory used will probably reach 95 % (critical) within 8 h (probability 76 %).",
        "description": "Now 57 %; six hours ago 41 %. "
        "Median forecast peaks at 58 % (07:55 UTC); 80 % interval 48–61 %. "
        "It crossed this threshold in the same hours on 0 of the last 7 days. "
        "Check the processes that grow.",
        "probability": "0.76",
        "threshold": "95 %",
        "value": "57.12 %",
        "predicted": "57.95 %",
        "interval": "48.4 % to 61.02 %",
        "precision": "No track record on this fleet yet (target 80 %).",
        "model": "20260301T033000Z-1a2b3c4d (level production)",
        "link": LINK,
    }


def test_a_breach_as_predicted() -> None:
    """Golden text of a PredictedBreach that came true, with a track record and in a group."""
    figures = PredictionFigures(hits=12, late=1, false=2, missed=0, unknown=0, open=1, lead_seconds=())
    group = "3 servers of profile web_api: Memory used will probably reach the critical threshold within 8 h."
    context = replace(CONTEXT, fired_at=AT - 3 * HOUR - 55 * 60, track_record=figures, group=group)
    assert breach_annotations(replace(RISK, breached=True, value=96.3, peak=None), context) == {
        "summary": "web-02: Memory used has reached the critical threshold of 95 % (predicted 3 h 55 min ago).",
        "description": "Now 96 %; six hours ago 41 %. "
        "It crossed this threshold in the same hours on 0 of the last 7 days. "
        "3 servers of profile web_api: Memory used will probably reach the critical threshold within 8 h. "
        "Check the processes that grow.",
        "probability": "0.76",
        "threshold": "95 %",
        "value": "96.3 %",
        "precision": "80 % of the last 15 such alerts on this fleet came true in time (target 80 %).",
        "model": "20260301T033000Z-1a2b3c4d (level production)",
        "link": LINK,
        "fleet": group,
    }


def test_a_group_alert() -> None:
    """Golden text of a FleetPredictedBreach."""
    assert group_annotations(GROUP, ["web-01", "web-02", "web-03"], MEMORY) == {
        "summary": "3 servers of profile web_api: Memory used will probably reach the critical threshold within 8 h.",
        "description": "Servers: web-01, web-02, web-03. Check shared causes first: deploy, dependency, network.",
        "servers": "web-01, web-02, web-03",
    }


def test_a_stale_server() -> None:
    """Golden text of ServerDataMissing."""
    assert stale_annotations("web-02", AT - 1200, LINK) == {
        "summary": "web-02: no data since 2026-03-03T03:40:00Z.",
        "description": "Its other alerts keep their state until data arrives. "
        "Check whether the server is up, and whether its metrics are collected.",
        "link": LINK,
    }


def test_an_alert_that_is_held_without_data() -> None:
    """Golden text of the annotation that a held alert gets besides its last texts."""
    assert held_annotations({"summary": "s", "value": "57.12 %"}, AT - 1200, 24) == {
        "summary": "s",
        "value": "57.12 %",
        "data": "No data since 2026-03-03T03:40:00Z. The alert keeps its state until data arrives, for at most 24 h.",
    }


def test_a_resolved_alert() -> None:
    """Golden text of a PredictedBreach that resolved."""
    assert clear_annotations(RISK, MEMORY, LINK) == {
        "summary": "web-02: Memory used is no longer predicted to reach 95 % (critical).",
        "description": "Now 57 %; six hours ago 41 %.",
        "link": LINK,
    }
    assert ended_annotations("web-02: data arrives again.", "") == {"summary": "web-02: data arrives again."}


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        (
            {"median_seconds": 2 * HOUR + 600, "early_seconds": HOUR, "probability": 0.93},
            "web-02: Memory used will probably reach 95 % (critical) in about 2 h 10 min, at 06:10 UTC "
            "(probability 93 %).",
        ),
        (
            {"early_seconds": HOUR, "probability": 0.31},
            "web-02: Memory used may reach 95 % (critical) within 8 h, at 05:00 UTC at the earliest "
            "(probability 31 %).",
        ),
    ],
)
def test_the_time_of_a_predicted_breach(changes: dict[str, float], summary: str) -> None:
    """It is that of the median forecast, else of the 90th percentile; below 50 % the breach is not probable."""
    texts = breach_annotations(replace(RISK, **changes), CONTEXT)  # type: ignore[arg-type]
    assert texts["summary"] == summary
    seconds = changes.get("median_seconds", changes["early_seconds"])
    assert parse_time(texts["expected_at"]) == AT + seconds


def test_a_metric_that_is_bad_below() -> None:
    """It falls; a metric without a display name has its name, a plain number no unit, a small one two digits."""
    free = Metric(name="free", unit="1", direction=Direction.BELOW)
    monitored = MonitoredThreshold(SeriesKey("a", "free"), Severity.WARNING, 2.5, Direction.BELOW, "generic")
    risk = replace(RISK, monitored=monitored, value=4.567, earlier=None, peak=(1.04, 2.06, 3.0), same_hour_history=0)
    context = replace(CONTEXT, metric=free, fired_at=None)
    texts = breach_annotations(risk, context)
    assert texts["summary"] == "a: free will probably fall to 2.5 (warning) within 8 h (probability 76 %)."
    assert texts["description"] == "Now 4.6. Median forecast falls to 2.1 (07:55 UTC); 80 % interval 1–3."
    breached = breach_annotations(replace(risk, breached=True), context)
    assert breached["summary"] == "a: free has fallen to the warning threshold of 2.5."
    assert clear_annotations(risk, free, "")["summary"] == "a: free is no longer predicted to fall to 2.5 (warning)."


def test_a_group_names_twenty_servers() -> None:
    """The rest is a number."""
    texts = group_annotations(GROUP, [f"web-{number:02}" for number in range(22)], MEMORY)
    assert texts["servers"].endswith("web-18, web-19 and 2 more")
    assert texts["summary"].startswith("22 servers")


@pytest.mark.parametrize(
    ("seconds", "text"), [(20, "0 min"), (300, "5 min"), (3600, "1 h"), (14_100, "3 h 55 min"), (93_600, "26 h")]
)
def test_durations(seconds: int, text: str) -> None:
    """Hours and minutes; a zero is omitted where the other says enough."""
    assert duration(seconds) == text


def test_links() -> None:
    """A link has the query, encoded; without an external URL there is none."""
    assert forecast_link("http://f/", {"server": "a b"}) == "http://f/api/v1/forecasts?server=a+b"
    assert forecast_link("", {"server": "a"}) == ""


def test_the_document_for_on_call_engineers_quotes_these_texts() -> None:
    """Every summary, and every sentence of a description, that it explains is the golden one."""
    document = DOCUMENT.read_text(encoding="utf-8")
    breached = replace(CONTEXT, fired_at=AT - 3 * HOUR - 55 * 60)
    figures = PredictionFigures(hits=12, late=1, false=2, missed=0, unknown=0, open=1, lead_seconds=())
    predicted = breach_annotations(RISK, CONTEXT)
    group = group_annotations(GROUP, ["web-01", "web-02", "web-03"], MEMORY)
    stale = stale_annotations("web-02", AT - 1200, LINK)
    texts = [
        predicted["summary"],
        *(f"{sentence.rstrip('.')}." for sentence in predicted["description"].split(". ")),
        predicted["precision"],
        breach_annotations(RISK, replace(CONTEXT, track_record=figures))["precision"],
        breach_annotations(replace(RISK, breached=True), breached)["summary"],
        clear_annotations(RISK, MEMORY, LINK)["summary"],
        group["summary"],
        group["description"],
        stale["summary"],
        stale["description"],
        held_annotations({}, AT - 1200, 24)["data"],
    ]
    assert [text for text in texts if text not in document] == []
