// Checks the rules of the house: floors import downwards only (docs/architecture.md), no imports in
// circles, no Node API in the core, files that say what they are for, sound includes of shaders,
// tests that mirror src/, prose of at most 100 columns, and references to files that exist. Usage:
// node tools/check-house.js [ROOT], the folder that holds src/.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, posix, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { mirrorProblems } from "./house/mirror.js";
import { openingProblem } from "./house/openings.js";
import { shaderProblems } from "./house/shaders.js";
import { textProblems } from "./house/texts.js";

/** The floors from the ground up: folders and files of src/. */
const floors = [
  ["errors.ts", "counted.ts", "half.ts", "random.ts", "wgsl.d.ts"],
  ["gpu"],
  ["graph"],
  ["ops"],
  ["model", "checkpoint", "data"],
  ["tuner"],
  ["detector", "train", "eval", "watch"],
  ["core.ts"],
  ["node"],
  ["report", "fixture"],
  ["server", "cluster"],
  ["cli"],
  ["bench"],
];
const core = new Set(
  floors
    .slice(
      0,
      floors.findIndex((floor) => floor.includes("node")),
    )
    .flat(),
);
/** Packages with native code or Node's modules. */
const nodePackages = ["webgpu", "sharp", "@sparticuz/chromium", "@ffmpeg-installer/ffmpeg"];
const nodeGlobals = ["process", "Buffer", "__dirname", "__filename", "require", "setImmediate"];

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), ".."));
const source = join(root, "src");
const problems = [];

/** The part of the house that a path in src/ belongs to: its folder, or the file itself. */
const partOf = (path) => path.split("/")[0];
const floorOf = (part) => floors.findIndex((floor) => floor.includes(part));

/**
 * Replaces comments, and with `strings` also quoted text, by blanks. Line breaks stay, so that
 * positions keep their lines.
 */
function blank(text, strings) {
  const pattern =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`|(?<=[=(,:;!&|?{}\n[]\s*)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g;
  return text.replace(pattern, (found) => {
    if (!strings && /^["']/.test(found)) return found;
    const spaces = (part) => part.replace(/[^\n]/g, " ");
    if (!found.startsWith("`")) return spaces(found);
    // Expressions in a template are code.
    let out = "";
    let at = 0;
    for (let start = found.indexOf("${"); start >= 0; start = found.indexOf("${", at)) {
      let depth = 1;
      let end = start + 2;
      for (; end < found.length && depth > 0; end++) depth += found[end] === "{" ? 1 : found[end] === "}" ? -1 : 0;
      out += `${spaces(found.slice(at, start + 2))}${blank(found.slice(start + 2, end - 1), strings)} `;
      at = end;
    }
    return out + spaces(found.slice(at));
  });
}

const lineAt = (text, index) => text.slice(0, index).split("\n").length;

/** Everything that a file imports or re-exports, including types. */
function importsOf(text) {
  const code = blank(text, false);
  const pattern =
    /(?:^|[\n;{}])\s*(?:import|export)\b(?:[^"'`;()]*?\bfrom\b)?\s*["']([^"'\n]+)["']|\b(?:import|require)\s*\(\s*["']([^"'\n]+)["']/g;
  return [...code.matchAll(pattern)].map((match) => {
    const specifier = match[1] ?? match[2];
    return { specifier, line: lineAt(code, match.index + match[0].lastIndexOf(specifier)) };
  });
}

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesUnder(path);
    return /\.[cm]?[jt]sx?$/.test(entry.name) ? [path] : [];
  });
}

if (!existsSync(source) || !statSync(source).isDirectory()) {
  console.error(`${source} is not a folder: give the folder that holds src/`);
  process.exit(2);
}

/** @type {Map<string, {path: string, to: string, line: number}[]>} imports within src/, by file */
const graph = new Map();
let imports = 0;
for (const file of filesUnder(source).sort()) {
  const path = relative(source, file).split(sep).join("/");
  const text = readFileSync(file, "utf8");
  const part = partOf(path);
  const floor = floorOf(part);
  const report = (line, message) => problems.push(`src/${path}:${line}: ${message}`);
  const edges = [];
  graph.set(path, edges);
  if (floor < 0) {
    report(1, `${part} is on no floor: add it to tools/check-house.js and docs/architecture.md`);
    continue;
  }
  const opening = openingProblem(text, blank(text, true));
  if (opening) report(1, opening);
  for (const { specifier, line } of importsOf(text)) {
    imports++;
    if (!specifier.startsWith(".")) {
      const isNode =
        specifier.startsWith("node:") || nodePackages.some((p) => specifier === p || specifier.startsWith(`${p}/`));
      if (core.has(part) && isNode) report(line, `the core imports ${specifier}, which a browser does not have`);
      continue;
    }
    const target = posix.normalize(posix.join(posix.dirname(path), specifier));
    if (specifier.endsWith(".wgsl")) {
      // The shaders are beside src/, and belong to the ops.
      if (!/^\.\.\/shaders\/[^/]+$/.test(target)) report(line, `${specifier} is not a file in shaders/`);
      else if (!existsSync(join(source, target))) report(line, `${target.slice(3)} does not exist`);
      if (part !== "ops") report(line, `${part} imports ${specifier}: only ops has kernels`);
      continue;
    }
    if (target.startsWith("../")) {
      report(line, `${specifier} is outside src/`);
      continue;
    }
    const to = [target, target.replace(/\.js$/, ".ts"), target.replace(/\.js$/, ".d.ts"), `${target}.ts`].find(
      (candidate) => existsSync(join(source, candidate)),
    );
    if (!to) {
      report(line, `${specifier} does not exist`);
      continue;
    }
    edges.push({ path, to, line });
    if (floorOf(partOf(to)) > floor) report(line, `${part} imports upwards from ${partOf(to)} (${specifier})`);
  }
  if (core.has(part)) {
    const code = blank(text, true);
    const pattern = new RegExp(`(?<![.\\w$])(?:${nodeGlobals.join("|")})\\b(?!\\s*[?]?:|\\w)`, "g");
    for (const match of code.matchAll(pattern)) {
      report(lineAt(code, match.index), `the core uses ${match[0]}, which a browser does not have`);
    }
  }
}

/** The circles that a walk from each node finds, as lists of nodes. */
function circles(edges) {
  const state = new Map();
  const found = [];
  const walk = (node, trail) => {
    state.set(node, "open");
    for (const next of edges.get(node) ?? []) {
      if (state.get(next) === "open") found.push([...trail.slice(trail.indexOf(next)), next]);
      else if (!state.has(next)) walk(next, [...trail, next]);
    }
    state.set(node, "done");
  };
  for (const node of edges.keys()) if (!state.has(node)) walk(node, [node]);
  return found;
}

for (const circle of circles(new Map([...graph].map(([path, edges]) => [path, edges.map((e) => e.to)])))) {
  const { line } = graph.get(circle[0]).find((edge) => edge.to === circle[1]);
  problems.push(`src/${circle[0]}:${line}: files import each other in a circle: ${circle.join(" → ")}`);
}
/** By folder: the folders of the same floor that it imports from. */
const siblings = new Map();
for (const edge of [...graph.values()].flat()) {
  const [from, to] = [partOf(edge.path), partOf(edge.to)];
  if (from === to || floorOf(from) !== floorOf(to)) continue;
  siblings.set(from, (siblings.get(from) ?? new Map()).set(to, edge));
}
for (const circle of circles(new Map([...siblings].map(([part, to]) => [part, [...to.keys()]])))) {
  const { path, line } = siblings.get(circle[0]).get(circle[1]);
  problems.push(`src/${path}:${line}: folders of one floor import each other in a circle: ${circle.join(" → ")}`);
}

problems.push(...shaderProblems(root), ...mirrorProblems(root), ...textProblems(root));

for (const problem of problems) console.error(problem);
const summary = `${graph.size} files, ${imports} imports, ${floors.length} floors; the core is ${[...core].join(", ")}`;
console.log(`check-house: ${summary}: ${problems.length === 0 ? "in order" : `${problems.length} violations`}`);
process.exitCode = problems.length === 0 ? 0 : 1;
