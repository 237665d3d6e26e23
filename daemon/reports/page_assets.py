"""The look of a report and how its charts are drawn, as the browser gets them."""

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

# A colour that starts with @ is one of the page's own; it follows the reader's light or dark.
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
