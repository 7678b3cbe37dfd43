"""The frame of report.html: head, style for light and dark screens, the script that draws."""

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>"""

STYLE = """
:root { --ink: #1d2430; --soft: #5b6472; --line: #d9dee6; --paper: #ffffff; --wash: #f4f6f9;
  --accent: #1f6fd6; --bad: #b3263a; --bad-wash: #fdf0f1; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --soft: #9aa5b4; --line: #39424f; --paper: #161b22; --wash: #1e252e;
    --accent: #6fa8ee; --bad: #ff8a98; --bad-wash: #33202a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 80px; }
h1 { font-size: 30px; line-height: 1.25; font-weight: 650; margin: 4px 0 20px; max-width: 32em; }
h2 { font-size: 22px; margin: 56px 0 12px; padding-top: 12px; border-top: 1px solid var(--line); }
.name { color: var(--soft); margin: 0; }
nav ol { columns: 2; margin: 0; padding: 14px 14px 14px 36px; background: var(--wash);
  border-radius: 8px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 28px 0; }
figcaption, caption { font-weight: 600; text-align: left; margin-bottom: 4px; }
caption { padding: 6px 0; }
.chart { width: 100%; min-height: 160px; }
.note { background: var(--wash); border-left: 3px solid var(--accent); padding: 10px 14px; }
.small { color: var(--soft); font-size: 14px; margin: 4px 0 0; }
.table { overflow-x: auto; margin: 20px 0 0; }
table { border-collapse: collapse; font-size: 14px; min-width: 50%;
  font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
td.short { white-space: nowrap; }
tr.bad td { background: var(--bad-wash); }
tr.bad td:first-child { color: var(--bad); font-weight: 600; }
pre { overflow-x: auto; background: var(--wash); padding: 14px; border-radius: 8px;
  font-size: 13px; }
summary { cursor: pointer; padding: 6px 0; font-weight: 600; }
@media (max-width: 700px) { nav ol { columns: 1; } h1 { font-size: 24px; } }
"""

DRAW = """
(function () {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function draw() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
    for (const box of document.querySelectorAll("[data-figure]")) {
      const figure = figures[Number(box.dataset.figure)];
      const layout = Object.assign({}, figure.layout, {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
        margin: { l: 64, r: 16, t: 12, b: 48 }, hovermode: "closest",
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      });
      for (const key of Object.keys(layout)) {
        if (/^[xy]axis/.test(key)) layout[key] = Object.assign({}, axis, layout[key]);
      }
      if (layout.showlegend) layout.margin = { l: 64, r: 16, t: 44, b: 48 };
      Plotly.react(box, figure.data, layout, { responsive: true, displayModeBar: false });
    }
  }
  dark.addEventListener("change", draw);
  draw();
})();
"""

__all__ = ["DRAW", "HEAD", "STYLE"]
