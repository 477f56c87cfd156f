import { facts, notes } from "../../evaluation/page/summary.js";
import { h, named, section } from "../../web/dom.js";
import { themeToggle } from "../../web/theme.js";
import { STAGE } from "../data.js";
import { type Data, Plots } from "./plots.js";
import { news, partDone, status, table, tiles } from "./summary.js";

// The page of a training run. It may not read files, but it may load scripts: `curves.js`, written anew every few seconds, is a call of
// trainingCurves with all there is to show, as text and numbers only.

/** Milliseconds between two looks at `curves.js`. */
const EVERY = 2000;

const plots = new Plots();
const logarithmic = h("input", { type: "checkbox" });
logarithmic.addEventListener("change", () => plots.setLogarithmic(logarithmic.checked));
const progress = h("progress", { class: "done", "aria-label": "Part of the time that has passed", max: 1 });
const line = (name: string, text: string) => h("li", {}, h("i", { "data-line": name }), text);

/** Places for what changes. */
const place = {
  status: h("div", { role: "status" }),
  news: h("div"),
  tiles: h("div"),
  stages: h("div"),
  table: h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Tests" }),
  notes: h("div"),
  facts: h("div"),
};
const parts = {
  loss: section(
    "loss",
    "Loss",
    h("div", { class: "head" }, place.stages, h("label", {}, logarithmic, "logarithmic")),
    plots.loss,
    h("p", { class: "hint" }, "Drag along a plot to zoom in, double-click it to zoom out."),
  ),
  tests: section(
    "tests",
    "Tests",
    h(
      "div",
      { class: "tests" },
      h(
        "div",
        {},
        h(
          "ul",
          { class: "key" },
          line("stage-1", "micro-AUC"),
          line("macro", "macro-AUC"),
          line("best", "best of its stage"),
        ),
        plots.auc,
      ),
      place.table,
    ),
  ),
  curves: section(
    "curves",
    "Learning rate and speed",
    h(
      "div",
      { class: "curves" },
      h("figure", {}, h("figcaption", {}, "Learning rate"), plots.rate),
      h("figure", {}, h("figcaption", {}, "Samples a second"), plots.speed),
    ),
  ),
};
for (const part of Object.values(parts)) part.hidden = true;
document.body.prepend(
  h(
    "main",
    {},
    h("header", {}, h("div", {}, h("h1", {}, named(document.title)), place.news), themeToggle()),
    section("progress", "Progress", place.status, progress, place.tiles),
    place.notes,
    ...Object.values(parts),
    place.facts,
  ),
);
progress.hidden = true;
place.status.append(h("p", { class: "status" }, "Waiting for the run to begin …"));

let shown: Data | undefined;

/** Replaces what a place holds, unless it would be the same: a reader may have selected or scrolled something. */
function put(where: HTMLElement, content: HTMLElement | undefined): void {
  if (where.innerHTML === (content?.outerHTML ?? "")) return;
  where.replaceChildren(...(content ? [content] : []));
}

function show(data: Data): void {
  put(place.news, news(data));
  if (data.updated === shown?.updated) return;
  shown = data;
  put(place.status, status(data));
  put(place.tiles, tiles(data));
  const part = partDone(data);
  progress.hidden = part === undefined;
  progress.value = part ?? 0;
  parts.loss.hidden = parts.curves.hidden = data.steps.length === 0;
  parts.tests.hidden = data.tests.length === 0;
  const stages = [...new Set(data.steps.map((point) => point[STAGE]))];
  const means = stages.map((stage, i) =>
    line(`stage-${(i % 2) + 1}`, stages.length > 1 ? `stage ${stage}, running mean` : "running mean"),
  );
  put(place.stages, h("ul", { class: "key" }, ...means, line("steps", "steps, from the least to the largest")));
  put(place.table, table(data));
  put(place.notes, notes(data.notes));
  put(place.facts, facts(data.facts));
  plots.show(data);
}

/** Loads the latest news, and again while the run goes on. */
function ask(): void {
  const script = h("script", { src: `curves.js?${Date.now()}` });
  const next = () => {
    script.remove();
    if (!shown || shown.state.state === "running") setTimeout(ask, EVERY);
  };
  script.addEventListener("load", next);
  // Not written yet, or just being replaced.
  script.addEventListener("error", next);
  document.head.append(script);
}

Object.assign(globalThis, { trainingCurves: show });
ask();
