"""The reports in a real browser that has no network."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.backtest.forecasts import ServedForecaster, backtest, backtest_document, example_fans
from daemon.core.metric import Metric
from daemon.forecasting.baselines import Climatology
from daemon.forecasting.point_rules import point_peers
from daemon.reports.backtest import render_backtest_report
from daemon.reports.charts import axis, label, layout, line
from daemon.reports.page import Chart, Section, render_page
from daemon.reports.training import render_training_report
from tests.browser.chromium import look_at
from tests.panels import daily_panel
from tests.training_records import EPOCHS, samples, training_info

PHONE, LAPTOP = 500, 1280
MEASURE = """<script>
const root = document.documentElement;
document.body.dataset.beyond = root.scrollWidth - root.clientWidth;
</script></body>"""


def training_report() -> str:
    return render_training_report(training_info(), EPOCHS, samples(), {"cpu": "%"})


def backtest_report() -> str:
    panel = daily_panel(3, 11)
    origins = list(range(panel.start + 8 * 86_400, panel.end - 96 * 300, 8 * 3600))
    served = ServedForecaster(None, Climatology({}))
    result = backtest(
        panel, origins, served, others=point_peers(), on_forecast=lambda forecast: None, on_progress=lambda done: None
    )
    document = backtest_document(result, "", origins)
    fans = example_fans(document, result, served, origins, {"cpu": Metric(name="cpu", unit="%")})
    return render_backtest_report(document, fans)


@pytest.mark.parametrize("width", [PHONE, LAPTOP])
@pytest.mark.parametrize(("report", "charts"), [(training_report, 17), (backtest_report, 11)])
def test_a_report_draws_every_chart_without_a_network(
    report: Callable[[], str], charts: int, width: int, tmp_path: Path
) -> None:
    """Each chart is a picture within the page; the console is empty, and the page requests nothing."""
    page = tmp_path / "report.html"
    page.write_text(report().replace("</body>", MEASURE), encoding="utf-8")
    seen = look_at(page, tmp_path, width)
    assert len(seen.pictures) == charts
    assert all(seen.pictures.values()), seen.pictures
    assert 'data-beyond="0"' in seen.dom
    assert seen.console == ()
    assert seen.requests == ()


def test_a_name_with_markup_does_nothing_in_a_browser(tmp_path: Path) -> None:
    """The browser neither runs nor fetches markup in a name: in text, in a chart or in the tags of plotly."""
    name = '</script><img src="http://127.0.0.1:9/x"><a href="http://evil.example">b</a><script>throw 1</script>'
    trace = {**line(name, [1, 2], [3, 4], "@ink"), "x": [label(name), "b"], "showlegend": True}
    chart = Chart(name, [trace], layout(axis(name, type="category"), axis("y")))
    page = tmp_path / "page.html"
    page.write_text(render_page(name, name, [Section(name, [name, chart])]), encoding="utf-8")
    seen = look_at(page, tmp_path)
    assert seen.pictures["chart-0"] > 0
    assert (seen.console, seen.requests) == ((), ())
    assert "<img" not in seen.dom.split("<script>")[0]
    assert 'xlink:href="http' not in seen.dom


def test_what_these_tests_look_for_would_be_seen(tmp_path: Path) -> None:
    """The test harness sees both a failing script and a request of a page."""
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><body><img src="http://127.0.0.1:9871/x.png"><script>throw Error("boom")</script>')
    seen = look_at(page, tmp_path)
    assert any("boom" in line for line in seen.console)
    assert seen.requests == ("http://127.0.0.1:9871/x.png",)
