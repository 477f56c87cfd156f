// Sections that the pages share: notes, and settings and versions.
import { h, named, section } from "./dom.js";

/** A list of remarks; undefined if there are none. */
export function notes(list: readonly string[]): HTMLElement | undefined {
  if (list.length === 0) return undefined;
  return section("notes", "Notes", h("ul", {}, ...list.map((note) => h("li", {}, note))));
}

/** A table of names and values; undefined if it is empty. */
export function facts(list: readonly (readonly [name: string, value: string])[]): HTMLElement | undefined {
  if (list.length === 0) return undefined;
  const rows = list.map(([name, value]) => h("div", {}, h("dt", {}, ...breakable(name)), h("dd", {}, named(value))));
  return section("facts", "Settings and versions", h("dl", { class: "facts" }, ...rows));
}

/** A name such as "test.evaluation.map", which may wrap after its dots. */
function breakable(name: string): (string | HTMLElement)[] {
  return name.split(/(?<=\.)/).flatMap((part, i) => (i === 0 ? [part] : [h("wbr", {}), part]));
}
