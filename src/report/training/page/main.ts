// The program of a training run's page. It may load scripts, but not data. So it loads `curves.js`,
// which the run writes every few seconds: a call of trainingCurves with all that the page shows, as
// text and numbers only.
import "../../web/locale.js";

import { h, named, section } from "../../web/dom.js";
import { facts, notes } from "../../web/sections.js";
import { themeToggle } from "../../web/theme.js";
import { chosenTests } from "../best.js";
import { STAGE } from "../data.js";
import { type Data, Plots } from "./plots.js";
import { news, partDone, status, table, testWords, tiles } from "./summary.js";
import { chosenWay, disturbanceTable, kindTable, modelOf } from "./validation.js";
import { ValidationPlot } from "./validation_plot.js";

/** Milliseconds between two loads of `curves.js`. */
const EVERY = 2000;

const plots = new Plots();
const validationPlot = new ValidationPlot();
const logarithmic = h("input", { type: "checkbox" });
logarithmic.addEventListener("change", () => plots.setLogarithmic(logarithmic.checked));
const progress = h("progress", { class: "done", "aria-label": "Part of the run's time that has passed", max: 1 });
const line = (name: string, text: string) => h("li", {}, h("i", { "data-line": name }), text);

/** The places whose content changes. */
const place = {
  status: h("div", { role: "status" }),
  news: h("div"),
  tiles: h("div"),
  stages: h("div"),
  validationKey: h("div"),
  way: h("div"),
  kinds: h("div", { class: "kinds all" }),
  disturbances: h("div", { class: "kinds" }),
  testWords: h("div"),
  testKey: h("div"),
  table: h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Tests" }),
  notes: h("div"),
  facts: h("div"),
};
const parts = {
  loss: section(
    "loss",
    "Loss",
    h("div", { class: "head" }, place.stages, h("label", {}, logarithmic, "logarithmic axis")),
    plots.loss,
    h("p", { class: "hint" }, "Drag across a plot to zoom in; double-click it to zoom out."),
  ),
  validation: section(
    "validation",
    "Validation",
    h(
      "p",
      { class: "about" },
      "Pseudo-anomalies in training clips that are kept apart choose the epoch and the way of scoring. No labels are used. An anomaly is found if its highest score exceeds that of 95\u00a0% of normal stretches as long.",
    ),
    h(
      "div",
      { class: "validation" },
      h("div", {}, place.validationKey, validationPlot.host, place.way),
      place.kinds,
      place.disturbances,
    ),
  ),
  tests: section(
    "tests",
    "Tests",
    place.testWords,
    h("div", { class: "tests" }, h("div", {}, place.testKey, plots.auc), place.table),
  ),
  curves: section(
    "curves",
    "Learning rate and speed",
    h(
      "div",
      { class: "curves" },
      h("figure", {}, h("figcaption", {}, "Learning rate"), plots.rate),
      h("figure", {}, h("figcaption", {}, "Samples per second"), plots.speed),
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

/**
 * Replaces the content of a place, unless it is the same: a reader may have selected or scrolled
 * something.
 */
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
  parts.validation.hidden = data.validations.length === 0;
  parts.tests.hidden = data.tests.length === 0;
  const stages = [...new Set(data.steps.map((point) => point[STAGE]))];
  const means = stages.map((stage, i) =>
    line(`stage-${(i % 2) + 1}`, stages.length > 1 ? `stage ${stage}: running mean` : "running mean"),
  );
  put(place.stages, h("ul", { class: "key" }, ...means, line("steps", "single steps, with their range")));
  put(place.validationKey, validationKey(data));
  put(place.way, chosenWay(data));
  put(place.kinds, kindTable(data));
  put(place.disturbances, disturbanceTable(data));
  put(place.testWords, testWords(data));
  put(place.testKey, testKey(data));
  put(place.table, table(data));
  put(place.notes, notes(data.notes));
  put(place.facts, facts(data.facts));
  plots.show(data);
  validationPlot.show(data);
}

/** Which line is what, and in which colour if both stages have been validated. */
function validationKey({ validations }: Data): HTMLElement {
  const stages = [...new Set(validations.map(({ stage }) => stage))];
  const models = stages.map((stage, i) => line(`stage-${(i % 2) + 1}`, modelOf(stage)));
  return h(
    "ul",
    { class: stages.length > 1 ? "key several" : "key" },
    ...(stages.length > 1 ? models : []),
    line("figure", "figure: the mean of the other two"),
    line("auc", "AUC"),
    line("found", "events found"),
    line("best", "best figure of a stage"),
  );
}

function testKey({ select, tests, validations }: Data): HTMLElement {
  const isMarked = chosenTests(select, tests, validations).length > 0;
  const marked = select === "validation" ? "epoch that validation chose" : "best test of a stage";
  const lines = [line("stage-1", "micro-AUC"), line("macro", "macro-AUC")];
  return h("ul", { class: "key" }, ...lines, isMarked ? line("best", marked) : undefined);
}

/** Loads the latest data, again and again while the run is running. */
function load(): void {
  const script = h("script", { src: `curves.js?${Date.now()}` });
  const next = () => {
    script.remove();
    if (!shown || shown.state.state === "running") setTimeout(load, EVERY);
  };
  script.addEventListener("load", next);
  // It is not written yet, or is just being replaced.
  script.addEventListener("error", next);
  document.head.append(script);
}

Object.assign(globalThis, { trainingCurves: show });
load();
