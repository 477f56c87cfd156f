// Checks shaders/: each include names a file that exists, none goes in circles, a kernel uses each
// file of shaders/common/, and docs/architecture.md says of each kernel why it stays within its
// buffers. Part of tools/check-house.js.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { resolveShader } from "../wgsl.js";

/** Names of the WGSL files in a folder, sorted. */
function wgslFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".wgsl"))
    .sort();
}

/** Checks a repository's shaders. @returns {string[]} one line per problem */
export function shaderProblems(root) {
  return [...includeProblems(join(root, "shaders")), ...indexTableProblems(root)];
}

function includeProblems(folder) {
  const used = new Set();
  const problems = [];
  for (const kernel of wgslFiles(folder)) {
    try {
      for (const file of resolveShader(kernel, folder).files) used.add(file);
    } catch (error) {
      problems.push(error.message);
    }
  }
  // A kernel that cannot be resolved may use any file.
  if (problems.length > 0) return problems;
  return wgslFiles(join(folder, "common"))
    .filter((name) => !used.has(`common/${name}`))
    .map((name) => `shaders/common/${name}:1: no kernel includes it`);
}

/** Where kernels are listed with the reason why they stay within their buffers. */
const architecture = "docs/architecture.md";

/**
 * Compares the first column of the table in "Indices" with the kernels. `x*` there stands for all
 * names that begin with x.
 */
function indexTableProblems(root) {
  const path = join(root, architecture);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  const start = lines.indexOf("## Indices");
  if (start < 0) return [`${architecture}:1: no section "Indices", which says why kernels stay within their buffers`];
  const end = lines.findIndex((line, i) => i > start && line.startsWith("## "));
  const listed = lines.slice(start, end < 0 ? undefined : end).flatMap((line, i) => {
    // Code in the first column; the host's tensors there are in camelCase, unlike kernels.
    const cell = /^\|([^|]*)\|/.exec(line)?.[1] ?? "";
    return [...cell.matchAll(/`([a-z0-9_]+\*?)`/g)].map(([, name]) => ({ name, line: start + i + 1 }));
  });
  const kernels = wgslFiles(join(root, "shaders")).map((file) => file.slice(0, -".wgsl".length));
  const covers = (name, kernel) => (name.endsWith("*") ? kernel.startsWith(name.slice(0, -1)) : kernel === name);
  return [
    ...kernels
      .filter((kernel) => !listed.some(({ name }) => covers(name, kernel)))
      .map((kernel) => `${architecture}:${start + 1}: "Indices" does not say why ${kernel} stays within its buffers`),
    ...listed
      .filter(({ name }) => !kernels.some((kernel) => covers(name, kernel)))
      .map(({ name, line }) => `${architecture}:${line}: shaders/ has no ${name}`),
  ];
}
