// Checks the includes in shaders/: each names a file that exists, none goes in circles, and a
// kernel uses each file of shaders/common/. Part of tools/check-house.js.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { resolveShader } from "../wgsl.js";

/** Checks the includes of a repository's shaders. @returns {string[]} one line per problem */
export function shaderProblems(root) {
  const folder = join(root, "shaders");
  const wgslFiles = (of) => (existsSync(of) ? readdirSync(of).filter((name) => name.endsWith(".wgsl")) : []);
  const used = new Set();
  const problems = [];
  for (const kernel of wgslFiles(folder).sort()) {
    try {
      for (const file of resolveShader(kernel, folder).files) used.add(file);
    } catch (error) {
      problems.push(error.message);
    }
  }
  // A kernel that cannot be resolved may use any file.
  if (problems.length > 0) return problems;
  return wgslFiles(join(folder, "common"))
    .sort()
    .filter((name) => !used.has(`common/${name}`))
    .map((name) => `shaders/common/${name}:1: no kernel includes it`);
}
