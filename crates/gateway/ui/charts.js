// Charts of the last two minutes as SVG: drawn once, then only their paths and words change.

import { h, s, say } from "./dom.js";

const HEIGHT = 150;
const LEFT = 58;
const BOTTOM = 20;
const TOP = 8;

/** The next of 1, 2, 5, 10, 20, … that isn't below `value`. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

/**
 * A chart with the newest at its right edge. `unit` puts a value into words; `spanMs` is what it shows.
 * `update(now, marks, words)`: marks are `{ at, value }`; as bars of `barMs`, or as dots.
 */
export function chart({ heading, note, unit, spanMs, barMs }) {
  const area = s("path", { class: barMs ? "bars" : "dots" });
  const grid = s("path", { class: "grid" });
  const labels = [0, 1, 2].map(() => s("text", { class: "tick", x: LEFT - 8, "text-anchor": "end" }));
  const times = [0, 0.5, 1].map(() => s("text", { class: "tick", y: HEIGHT - 5, "text-anchor": "middle" }));
  const svg = s("svg", { class: "chart", role: "img", height: HEIGHT }, grid, area, labels, times);
  const value = h("strong", { class: "figure" }, "–");
  const nothing = h("p", { class: "over" });
  const element = h(
    "section",
    { class: "card" },
    h("header", { class: "chart-head" }, h("h2", {}, heading), value),
    h("div", { class: "chart-box" }, svg, nothing),
    h("p", { class: "note" }, note),
  );

  function update(now, marks, { figure, summary, none }) {
    say(value, figure);
    say(nothing, marks.length === 0 ? none : "");
    svg.setAttribute("aria-label", summary);
    const width = svg.clientWidth;
    if (width === 0) return;
    const most = ceiling(Math.max(...marks.map((mark) => mark.value), barMs ? 1 : 10));
    const right = width - 8;
    const x = (at) => right - ((now - at) / spanMs) * (right - LEFT);
    const y = (number) => TOP + (1 - number / most) * (HEIGHT - TOP - BOTTOM);
    [0, most / 2, most].forEach((number, index) => {
      say(labels[index], unit(number));
      labels[index].setAttribute("y", y(number) + 4);
    });
    grid.setAttribute("d", [0, most / 2, most].map((number) => `M${LEFT} ${y(number).toFixed(1)}H${right}`).join(""));
    [spanMs, spanMs / 2, 0].forEach((before, index) => {
      say(times[index], before === 0 ? "now" : `−${before / 1000} s`);
      times[index].setAttribute("x", index === 2 ? right - 10 : Math.max(x(now - before), LEFT + 14));
    });
    area.setAttribute(
      "d",
      marks
        .map(({ at, value: number }) => {
          if (!barMs) return `M${x(at).toFixed(1)} ${y(number).toFixed(1)}h0`;
          const wide = Math.max((barMs / spanMs) * (right - LEFT) - 1.5, 1);
          return `M${x(at).toFixed(1)} ${y(0).toFixed(1)}h${wide.toFixed(1)}V${y(number).toFixed(1)}h${(-wide).toFixed(1)}z`;
        })
        .join(""),
    );
  }
  return { element, update };
}
