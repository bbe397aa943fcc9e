"""How report and Explorer look, and the few lines that draw the report's figures."""

from typing import Final

ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E"
    "%3Ccircle cx='4' cy='4' r='4' fill='%230b3c5d'/%3E%3C/svg%3E"
)

ROOT: Final = """
:root { --ink: #1f2933; --muted: #5f6b76; --line: #e1e5ea; --paper: #ffffff; --back: #f5f6f8; }
"""
_PAGE: Final = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 1.7rem; margin: 8px 0 4px; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 0 0 4px; }
h3 { font-size: 1.02rem; margin: 0; overflow-wrap: anywhere; }
p { margin: 6px 0; }
section, details { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 16px 0; }
.alert { border-left: 6px solid #d55e00; }
summary { cursor: pointer; font-weight: 600; font-size: 1.1rem; }
details h3 { margin-top: 22px; }
"""
PARTS: Final = """
.lead, .note { color: var(--muted); }
.note { font-size: .88rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px;
  margin: 12px 0; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.tile b { display: block; font-size: 1.55rem; line-height: 1.2; }
.tile span { color: var(--muted); font-size: .88rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 14px;
  margin-top: 12px; }
.card { border: 1px solid var(--line); border-top: 8px solid var(--colour); border-radius: 8px;
  padding: 12px 14px; display: flex; flex-direction: column; }
.card .numbers { display: flex; gap: 18px; margin: 8px 0; flex-wrap: wrap; }
.card .numbers b { display: block; font-size: 1.2rem; line-height: 1.2; }
.card .numbers span { color: var(--muted); font-size: .82rem; }
.card ul { margin: 6px 0 10px; padding-left: 18px; }
.card li { font-size: .92rem; }
.card .do { margin: auto 0 0; background: var(--back); border-radius: 6px; padding: 8px 10px;
  font-size: .92rem; }
.tag { font-size: .75rem; color: var(--muted); border: 1px solid var(--line); border-radius: 99px;
  padding: 1px 8px; white-space: nowrap; }
.dot { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .45em;
  background: var(--colour); vertical-align: -0.05em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: 8px 0; }
th { text-align: left; color: var(--muted); font-weight: 600; }
th, td { padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.wide { min-width: 240px; }
.whole { white-space: nowrap; }
a.button { display: inline-block; background: #0b3c5d; color: #fff; text-decoration: none;
  padding: 8px 14px; border-radius: 6px; margin: 6px 0; }
.figure { width: 100%; min-width: 0; }
ol.changes { padding-left: 22px; } ol.changes li { margin: 4px 0; }
code { background: var(--back); padding: 1px 5px; border-radius: 4px; }
@media (max-width: 640px) {
  .cards { grid-template-columns: 1fr; } .tiles { grid-template-columns: 1fr 1fr; }
  .stack thead { display: none; } .stack tr { display: block; padding: 8px 0;
    border-bottom: 1px solid var(--line); }
  .stack td { display: inline-block; border: 0; padding: 0 12px 0 0; }
  .stack td:first-child { font-weight: 600; display: block; }
  .stack td:not(:first-child)::before { content: attr(data-label) ": "; color: var(--muted); }
  .laptop { display: none; } .tile b { font-size: 1.3rem; }
}
"""
_PAGE_MEDIA: Final = """
@media (max-width: 640px) {
  main { padding: 12px 10px 40px; } section, details { padding: 14px 12px; }
}
@media print {
  body { background: #fff; } section, .card { break-inside: avoid; } a.button { display: none; }
  main { max-width: none; padding: 0; } .tall { max-height: none; }
}
"""

STYLE: Final = ROOT + _PAGE + PARTS + _PAGE_MEDIA
"""Of the report. Within the Explorer's own pages only `ROOT` and `PARTS` are used."""

DRAW: Final = """
(function () {
  function draw(place) {
    if (place.dataset.drawn || !place.offsetParent) return;
    place.dataset.drawn = "yes";
    var figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    Plotly.newPlot(place, figure.data, figure.layout, {displayModeBar: false, responsive: true});
  }
  function drawAll() { document.querySelectorAll(".figure").forEach(draw); }
  document.querySelectorAll("details").forEach(function (d) {
    d.addEventListener("toggle", drawAll);
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.open = true; });
    drawAll();
  });
  window.addEventListener("resize", drawAll);
  drawAll();
})();
"""
