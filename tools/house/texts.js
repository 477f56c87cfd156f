// Checks the prose of a repository (comments, docstrings, Markdown, issue forms): lines over 100
// columns, and references to files or sections that do not exist. Part of tools/check-house.js.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join, posix, relative, sep } from "node:path";

/** Most columns of a line of prose. */
const columns = 100;
/** Folders that hold data, or files that are not written by hand. */
const skipped = new Set(["node_modules", "dist", ".git", ".gpu", "sdmae-demo", "results", "models"]);
const slashed = new Set([".ts", ".js", ".wgsl", ".css"]);
const hashed = new Set([".sh", ".yml", ".yaml", ""]);
/** Folders that a reference may begin with. */
const topFolders = ["src", "shaders", "test", "tools", "bench", "docs", "examples", "models", ".github"];

/** Files below a folder, as paths relative to `root` with forward slashes. */
function filesBelow(root, folder = root) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : filesBelow(root, path);
    return entry.isFile() ? [relative(root, path).split(sep).join("/")] : [];
  });
}

/** One match per comment, string or regular expression. Comments inside templates are missed. */
const token =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`|(?<=[=(,:;!&|?{}\n[]\s*)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g;

/** The same of Python. */
const pythonToken = /#[^\n]*|[rR]?(?:"""[\s\S]*?"""|'''[\s\S]*?''')|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g;

// Lines such as //#include are instructions to tools/wgsl.js.
const isSlashedProse = (found) => /^\/[/*]/.test(found) && !found.startsWith("//#");
/** A comment, or a docstring: a string of three quotes that begins its line. */
const isPythonProse = (found, before) =>
  /^#(?!!)/.test(found) || (/^[rR]?("""|''')/.test(found) && before.trim() === "");

/**
 * @param {RegExp} tokens comments and strings
 * @param {(found: string, before: string) => boolean} isProse whether a token is prose; `before` is
 * its line up to it
 * @returns {{text: string, line: number, end: number}[]} lines of prose; `end` is the last column
 */
function proseTokens(text, tokens, isProse) {
  const prose = [];
  let line = 1;
  let at = 0;
  for (const { 0: found, index } of text.matchAll(tokens)) {
    const start = index - (text.lastIndexOf("\n", index - 1) + 1);
    if (!isProse(found, text.slice(index - start, index))) continue;
    line += text.slice(at, index).split("\n").length - 1;
    at = index;
    found.split("\n").forEach((part, i) => {
      prose.push({ text: part, line: line + i, end: (i === 0 ? start : 0) + part.length });
    });
  }
  return prose;
}

function hashedProse(text) {
  return text.split("\n").flatMap((part, i) => {
    return /^\s*#(?!!)/.test(part) ? [{ text: part, line: i + 1, end: part.length }] : [];
  });
}

/** An issue form without its examples of input, which are single lines. */
function formProse(text) {
  return text.split("\n").flatMap((part, i) => {
    return /^\s*placeholder:/.test(part) ? [] : [{ text: part, line: i + 1, end: part.length }];
  });
}

/** Markdown without code blocks; tables are marked, since they may be wide. */
function markdownProse(text) {
  const prose = [];
  let fence = "";
  let blankBefore = true;
  let inCode = false;
  text.split("\n").forEach((part, i) => {
    const mark = /^\s*(```|~~~)/.exec(part)?.[1];
    if (mark && (!fence || fence === mark)) {
      fence = fence ? "" : mark;
      return;
    }
    if (fence) return;
    inCode = /^(?: {4}|\t)/.test(part) && (blankBefore || inCode);
    blankBefore = part.trim() === "";
    if (!inCode) prose.push({ text: part, line: i + 1, end: part.length, table: /^\s*\|/.test(part) });
  });
  return prose;
}

function proseOf(path, text) {
  const extension = extname(path);
  if (extension === ".md") return markdownProse(text);
  if (slashed.has(extension)) return proseTokens(text, token, isSlashedProse);
  if (extension === ".py") return proseTokens(text, pythonToken, isPythonProse);
  if (path.startsWith(".github/ISSUE_TEMPLATE/")) return formProse(text);
  return hashed.has(extension) ? hashedProse(text) : [];
}

/** Columns of a line that are addresses, which cannot be wrapped. */
function addressColumns(text) {
  const found = text.match(/\]\([^)\s]+\)|https?:\/\/[^\s)>]+|src="[^"]*"/g) ?? [];
  return found.reduce((sum, { length }) => sum + length, 0);
}

/** Whether a name is a placeholder: x.ts, NAME.js, N_label.mat. */
const isPlaceholder = (path) => path.split("/").some((part) => /^(?:[a-z]|[A-Z]+)\./.test(part) || part.includes("*"));

/** Every path, also without its first folders: src/gpu/gpu.ts, gpu/gpu.ts, gpu.ts. */
function withSuffixes(files) {
  return new Set(
    files.flatMap((file) => {
      const parts = file.split("/");
      return parts.map((_, i) => parts.slice(i).join("/"));
    }),
  );
}

/** File names in a line of prose. */
const fileName = /(?<![\w./~$-])(?:[\w.-]+\/)*[\w-]+\.(?:ts|js|wgsl|md|sh|py|css|json)\b(?![\w/])/g;

/** @returns {(path: string, prose: string) => string[]} what a line refers to and does not exist */
function referenceCheck(root, files) {
  const suffixes = withSuffixes(files);
  const exists = (path) => suffixes.has(path) || existsSync(join(root, path));
  const method = join(root, "docs/method.md");
  const methodText = existsSync(method) ? readFileSync(method, "utf8") : "";
  const sections = new Set([...methodText.matchAll(/^## (\d+)\./gm)].map((match) => match[1]));
  return (path, prose) => {
    const missing = [];
    const links = path.endsWith(".md") ? prose.matchAll(/(?:\]\(|src=")([^)"\s]+)/g) : [];
    for (const [, target] of links) {
      if (/^(?:[a-z]+:|#)/.test(target)) continue;
      if (!exists(posix.join(posix.dirname(path), target.replace(/#.*$/, "")))) missing.push(target);
    }
    for (const [name] of prose.replace(/\]\([^)]*\)/g, "").matchAll(fileName)) {
      // Other names, such as curves.js, may be the user's files.
      const isOurs = /\.(?:ts|wgsl)$/.test(name) || (name.includes("/") && topFolders.includes(name.split("/")[0]));
      if (isOurs && !isPlaceholder(name) && !exists(name)) missing.push(name);
    }
    for (const [, section] of prose.matchAll(/docs\/method\.md §(\d+)/g)) {
      if (!sections.has(section)) missing.push(`§${section} of docs/method.md`);
    }
    return missing;
  };
}

/**
 * Checks the prose of a repository.
 * @param {string} root
 * @returns {string[]} one line per problem
 */
export function textProblems(root) {
  const files = filesBelow(root).sort();
  const missingIn = referenceCheck(root, files);
  return files.flatMap((path) => {
    if (![".md", ".py", ...slashed, ...hashed].includes(extname(path))) return [];
    return proseOf(path, readFileSync(join(root, path), "utf8")).flatMap(({ text, line, end, table }) => {
      const isLong = !table && end - addressColumns(text) > columns && !text.includes("biome-ignore");
      return [
        ...(isLong ? [`${path}:${line}: prose of ${end} columns: wrap it at ${columns}`] : []),
        ...missingIn(path, text).map((name) => `${path}:${line}: refers to ${name}, which does not exist`),
      ];
    });
  });
}
