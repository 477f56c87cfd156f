// Pages of finished markup; their programs only add the button for the colours.
import { htmlPage } from "./html.js";

/** The parts of a page, in the order in which they come. */
export interface StaticPage {
  title: string;
  /** ISO 8601. */
  created: string;
  sections: readonly { id: string; heading: string; markup: string }[];
  /** Remarks for the reader. */
  notes?: readonly string[];
  /** Settings and versions. */
  facts: readonly (readonly [name: string, value: string])[];
  script: string;
  style: string;
}

/** A page as one HTML file that loads nothing. */
export function staticPage({ title, created, sections, notes = [], facts, script, style }: StaticPage): string {
  const date = `<p class="date"><time datetime="${escaped(created)}">${escaped(created.slice(0, 16).replace("T", " "))} UTC</time></p>`;
  const list = notes.map((note) => `<li>${escaped(note)}</li>`).join("\n");
  const rows = facts.map(
    ([name, value]) => `<div><dt>${escaped(name)}</dt><dd><bdi>${escaped(value)}</bdi></dd></div>`,
  );
  const body = `<main>
<header><div><h1>${escaped(title)}</h1>${date}</div></header>
${sections.map(({ id, heading, markup }) => section(id, heading, markup)).join("\n")}
${notes.length > 0 ? section("notes", "Notes", `<ul>${list}</ul>`) : ""}
${section("facts", "Settings and versions", `<dl class="facts">${rows.join("\n")}</dl>`)}
</main>`;
  return htmlPage({ title, script, style, body });
}

function section(id: string, heading: string, content: string): string {
  return `<section id="${id}" aria-labelledby="${id}-heading"><h2 id="${id}-heading">${escaped(heading)}</h2>\n${content}</section>`;
}

/**
 * Markup of a table. The first cell of a row is its head. With `words` the last column holds words,
 * which may wrap. Cells are text, not markup.
 */
export function tableMarkup(options: {
  /** The id of the section around it. */
  section: string;
  caption?: string;
  head: readonly string[];
  /** Rows that are our own are set off. */
  rows: readonly { cells: readonly string[]; own?: boolean }[];
  words?: boolean;
}): string {
  const { head, rows, words } = options;
  const classOf = (i: number) => (words && i === head.length - 1 ? ' class="words"' : "");
  const heads = head.map((name, i) => `<th scope="col"${classOf(i)}>${escaped(name)}</th>`);
  const lines = rows.map(({ cells, own }) => {
    const [first = "", ...rest] = cells;
    const others = rest.map((cell, i) => `<td${classOf(i + 1)}>${escaped(cell)}</td>`);
    return `<tr${own ? ' class="own"' : ""}><th scope="row">${escaped(first)}</th>${others.join("")}</tr>`;
  });
  return `<div class="scroll" tabindex="0" role="region" aria-labelledby="${options.section}-heading"><table>
${options.caption === undefined ? "" : `<caption>${escaped(options.caption)}</caption>\n`}<thead><tr>${heads.join("")}</tr></thead>
<tbody>
${lines.join("\n")}
</tbody></table></div>`;
}

/** Text as markup, also for quoted attributes. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** A coordinate, for SVG. */
export const coordinate = (value: number): string => value.toFixed(1);
