// The head of a report, and its figures of merit.
import { h, named, section } from "../../web/dom.js";
import * as format from "../../web/format.js";
import { themeToggle } from "../../web/theme.js";
import type { Data, Metric } from "./model.js";

/** Title, date, and the button for the colours. */
export function header({ title, created }: Data): HTMLElement {
  const date = new Date(created);
  const shown = Number.isNaN(date.getTime())
    ? created
    : date.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  return h(
    "header",
    {},
    h("div", {}, h("h1", {}, named(title)), h("p", { class: "date" }, h("time", { datetime: created }, shown))),
    themeToggle(),
  );
}

/** Figures of merit, beside the published ones; undefined if there are none. */
export function metrics(list: readonly Metric[]): HTMLElement | undefined {
  if (list.length === 0) return undefined;
  // Without ground truth, figures say what was found, not how well.
  const heading = list.every(({ text }) => text != null) ? "At a glance" : "Figures of merit";
  return section("metrics", heading, h("ul", { class: "tiles" }, ...list.map(tile)));
}

function tile({ name, value, published, text, note }: Metric): HTMLElement {
  const children = [h("h3", {}, name)];
  if (text != null) children.push(h("p", { class: "value" }, text));
  else if (value == null) children.push(h("p", { class: "value absent" }, "not computed"));
  else children.push(h("p", { class: "value" }, format.percent(value), h("small", {}, "%")));
  if (published != null) {
    const comparison = h("p", { class: "published" }, h("span", {}, `paper ${format.percent(published)}`));
    if (value != null) comparison.append(h("b", { title: "percentage points" }, format.difference(value - published)));
    children.push(comparison);
  }
  if (note) children.push(h("p", { class: "note" }, note));
  return h("li", {}, ...children);
}
