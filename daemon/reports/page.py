"""A report as one HTML file with its style, tables, charts and the script of the charts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from plotly.offline import get_plotlyjs

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff;
  --ink: #1f2328; --muted: #5d6670; --line: #dcdfe3; --soft: #f6f7f8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #e3e6ea; --muted: #9aa3ad; --line: #30353b; --soft: #1c2025; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0; }
p, ul { margin: .5rem 0; max-width: 46rem; }
ul { padding-left: 1.25rem; }
li { margin: .25rem 0; }
.muted, figcaption { color: var(--muted); font-size: .9rem; }
figure { margin: 1rem 0; padding: .75rem; background: var(--soft); border-radius: .5rem; min-width: 0; }
figcaption { max-width: 46rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1rem; }
.charts figure { margin: 0; }
.chart { width: 100%; overflow: hidden; margin: .5rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th { color: var(--muted); font-weight: 600; }
td { white-space: nowrap; }
.text { text-align: left; white-space: normal; overflow-wrap: break-word; min-width: 8rem; max-width: 32rem; }
.words .text { overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--muted); }
"""

# A colour that starts with @ is a variable of the page, which differs in light and dark mode.
SCRIPT = """
const charts = JSON.parse(document.getElementById("charts").textContent);
const night = matchMedia("(prefers-color-scheme: dark)");
function painted(key, value, page) {
  if (Array.isArray(value)) return value.map(each => painted(key, each, page));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, painted(name, each, page)]));
  }
  const named = /color/.test(key) && typeof value === "string" && value.startsWith("@");
  return named ? page.getPropertyValue("--" + value.slice(1)).trim() : value;
}
function draw() {
  const page = getComputedStyle(document.documentElement);
  charts.forEach((chart, number) => {
    const { traces, layout } = painted("", chart, page);
    const place = document.getElementById("chart-" + number);
    layout.width = place.clientWidth;
    // on a phone a long legend takes a line for each name
    const names = traces.filter(trace => trace.name && trace.showlegend !== false).length;
    if (layout.width < 500 && names > 3) layout.height += 19 * names;
    place.style.height = layout.height + "px";
    Plotly.react(place, traces, layout, { displayModeBar: false });
  });
}
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  draw();
});
night.addEventListener("change", draw);
draw();
"""

# The browser fetches and sends nothing, even if a server's name holds markup.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: what it shows.
        traces: in plotly's format; a colour that starts with ``@`` is one of the page: paper, ink, muted, line.
        layout: in plotly's format.
        note: how to read it.
    """

    title: str
    traces: Sequence[dict[str, Any]]
    layout: dict[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Charts:
    """Small charts side by side."""

    charts: Sequence[Chart]


@dataclass(frozen=True)
class Table:
    """Rows of text; the first ``text_columns`` columns are aligned left, the others are figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Folded:
    """A long table that opens when ``title`` is clicked."""

    title: str
    table: Table


Part = str | Points | Table | Folded | Chart | Charts
"""A part of a section; a string is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and its parts."""

    title: str
    parts: Sequence[Part]


@dataclass
class _PlacedCharts:
    """The charts of a page, in order."""

    charts: list[Chart] = field(default_factory=list)

    def place(self, chart: Chart) -> str:
        number = len(self.charts)
        self.charts.append(chart)
        note = f"<figcaption>{escape(chart.note)}</figcaption>" if chart.note else ""
        height = int(chart.layout["height"])
        return (
            f'<figure><h3>{escape(chart.title)}</h3><div class="chart" id="chart-{number}" role="img" '
            f'aria-label="{escape(chart.title)}" style="height:{height}px"></div>{note}</figure>'
        )


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return a page as HTML; every text in it is escaped, and it needs no network."""
    placed = _PlacedCharts()
    body = "".join(_section(section, placed) for section in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="muted">{escape(subtitle)}</p>{body}'
        "<noscript><p>The charts need JavaScript; everything else does not.</p></noscript></main>"
        f"{_scripts(placed.charts) if placed.charts else ''}</body></html>\n"
    )


def _section(section: Section, placed: _PlacedCharts) -> str:
    return (
        f"<section><h2>{escape(section.title)}</h2>{''.join(_part(part, placed) for part in section.parts)}</section>"
    )


def _part(part: Part, placed: _PlacedCharts) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Points):
        return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in part.sentences)}</ul>"
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Folded):
        return f"<details><summary>{escape(part.title)}</summary>{_table(part.table)}</details>"
    if isinstance(part, Chart):
        return placed.place(part)
    return f'<div class="charts">{"".join(placed.place(chart) for chart in part.charts)}</div>'


def _table(table: Table) -> str:
    head = "".join(_cell("th", text, column < table.text_columns) for column, text in enumerate(table.columns))
    rows = "".join(
        f"<tr>{''.join(_cell('td', text, column < table.text_columns) for column, text in enumerate(row))}</tr>"
        for row in table.rows
    )
    kind = ' class="words"' if table.text_columns == len(table.columns) else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(tag: str, text: str, is_text: bool) -> str:
    kind = ' class="text"' if is_text else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"


def _scripts(charts: Sequence[Chart]) -> str:
    data = json.dumps([{"traces": chart.traces, "layout": chart.layout} for chart in charts], allow_nan=False)
    # no text of a chart can end the script that holds it
    data = data.replace("<", "\\u003c")
    plotly = get_plotlyjs().replace("</script", "<\\/script")
    return (
        f'<script>{plotly}</script><script type="application/json" id="charts">{data}</script><script>{SCRIPT}</script>'
    )
