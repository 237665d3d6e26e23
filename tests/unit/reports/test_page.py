import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.reports.charts import axis, label, layout, line
from daemon.reports.page import Chart, Charts, Folded, Points, Section, Table, render_page
from tests.pages import Page

HOSTILE = '</script></style><img src="http://evil.example/x" onerror="alert(1)">&amp;'
OWN_TAGS = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "ul", "li", "section"} | {
    *("div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "noscript", "figure", "figcaption"),
    "script",
}


def chart(name: str) -> Chart:
    trace = line(name, [1, 2], [3, None], "@ink")
    return Chart(name, [trace], layout(axis(name), axis("y (%)")), f"of {name}")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    """Any name stays text, in every part of a page."""
    table = Table((text, "n"), [(text, "1")])
    parts = [text, Points([text]), table, Folded(text, table)]
    page = Page(render_page(text, text, [Section(text, parts)]))
    assert set(page.tags) <= OWN_TAGS
    assert page.text.count(text) >= 8
    assert page.cells[0] == text


def test_a_hostile_name_opens_no_element_from_within_a_chart() -> None:
    """A name that ends the script stays data, and its title stays text."""
    page = Page(render_page("t", "s", [Section("a", [chart(HOSTILE)])]))
    assert set(page.tags) <= OWN_TAGS
    assert page.tags["script"] == 3
    assert page.charts[0]["traces"][0]["name"] == label(HOSTILE)
    assert HOSTILE in page.text


def test_plotly_gets_no_markup_to_read() -> None:
    """Plotly interprets some HTML tags, so names are escaped for it."""
    assert label("<b>a</b> & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"


def test_the_page_asks_nothing_of_any_network() -> None:
    """No element has an address, and the policy of the page forbids all connections."""
    page = Page(render_page("t", "s", [Section("a", [chart("cpu"), Charts([chart("mem"), chart("disk")])])]))
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in page.attributes}
    named = page.attributes.index(("http-equiv", "Content-Security-Policy"))
    _, policy = page.attributes[named + 1]
    assert str(policy).startswith("default-src 'none'; ")
    assert "http" not in str(policy)


def test_the_script_that_draws_is_in_a_page_once() -> None:
    """A page with charts has plotly once; a page without a chart does not have it."""
    html = render_page("t", "s", [Section("a", [chart("cpu"), chart("mem"), Charts([chart("disk")])])])
    assert html.count("plotly.js v") == 1
    assert len(Page(html).charts) == 3
    assert "<script" not in render_page("t", "s", [Section("a", ["no chart"])])


def test_a_value_that_is_not_a_number_never_reaches_the_browser() -> None:
    """JSON has no NaN: numbers() makes it a gap, and a chart with NaN raises."""
    assert json.dumps(line("a", [1.0], [float("nan")], "@ink")["y"]) == "[null]"
    bad = Chart("a", [{"y": [float("nan")]}], layout(axis("x"), axis("y")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        render_page("t", "s", [Section("a", [bad])])


def test_tables_are_real_tables() -> None:
    """A table has a header and a row for each row; figures are aligned apart from text."""
    html = render_page("t", "s", [Section("a", [Table(("name", "count"), [("a", "1"), ("b", "2")])])])
    page = Page(html)
    assert (page.tags["table"], page.tags["tr"], page.tags["th"], page.tags["td"]) == (1, 3, 2, 4)
    assert page.cells == ["name", "count", "a", "1", "b", "2"]
    assert html.count('class="text"') == 3
