// Areas as they stand in a configuration.
import type { Area, Corner } from "./area_sketch.js";

/** The YAML of a camera's areas, to paste into the configuration. */
export function areaYaml(camera: string, areas: readonly Area[]): string {
  const of = (kind: Area["kind"]) => areas.filter((area) => area.kind === kind);
  const lines = [
    ...part(
      "zones",
      of("zone").map(({ name, corners }) => `${key(name)}: ${polygon(corners)}`),
    ),
    ...part(
      "ignore",
      of("ignore").map(({ corners }) => `- ${polygon(corners)}`),
    ),
    ...part(
      "privacy",
      of("privacy").map(({ corners }) => `- ${box(corners)}`),
    ),
  ];
  if (lines.length === 0) return "# no areas: the whole picture counts\n";
  return `cameras:\n  ${key(camera)}:\n${lines.map((line) => `    ${line}\n`).join("")}`;
}

const part = (name: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [`${name}:`, ...lines.map((line) => `  ${line}`)];

/** Words that YAML takes for something else. */
const words = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n"]);

const key = (name: string): string =>
  /^[a-z][a-z0-9_-]*$/.test(name) && !words.has(name) ? name : JSON.stringify(name);

/** Without the rounding error of a difference. */
const share = (value: number): string => String(Number(value.toFixed(3)));

const polygon = (corners: readonly Corner[]): string =>
  `[${corners.map(([x, y]) => `[${share(x)}, ${share(y)}]`).join(", ")}]`;

/** [x, y, width, height] of two opposite corners. */
function box([[x1, y1], [x2, y2]]: readonly Corner[]): string {
  const sides = [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)];
  return `[${sides.map(share).join(", ")}]`;
}
