// Imports WGSL files as text, for esbuild and for Vite, and resolves their includes. A line
// `//#include "common/erf.wgsl"` stands for the text of that file in shaders/. A second include of
// the same file stands for nothing.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder shaders/. */
export const shaders = fileURLToPath(new URL("../shaders", import.meta.url));

/**
 * The text of a kernel with its includes resolved, and the files that it is made of.
 * @param name of the kernel, within `folder`
 * @throws Error of one line that names file and line
 */
export function resolveShader(name, folder = shaders) {
  /** By name: where the file was included first, or nothing for the kernel. */
  const included = new Map([[name, ""]]);
  const read = (file, trail) => {
    const out = [];
    let depth = 0;
    for (const [i, line] of readFileSync(join(folder, file), "utf8").split("\n").entries()) {
      const fail = (message) => {
        throw new Error(`shaders/${file}:${i + 1}: ${message}`);
      };
      if (/^\s*\/\/#if\b/.test(line)) depth++;
      if (/^\s*\/\/#endif\b/.test(line)) depth--;
      if (!/^\s*\/\/\s*#include\b/.test(line)) {
        out.push(line);
        continue;
      }
      const [, target] = /^\/\/#include "(common\/\w+\.wgsl)"$/.exec(line) ?? [];
      if (target === undefined) fail('an include is a line of its own: //#include "common/x.wgsl"');
      if (trail.includes(target)) fail(`files include each other in a circle: ${[...trail, target].join(" → ")}`);
      const first = included.get(target);
      // Only flags tell whether the first one is there.
      if (first) fail(`${target} is included within //#if before (${first})`);
      if (first !== undefined) continue;
      included.set(target, depth > 0 || included.get(file) ? `shaders/${file}:${i + 1}` : "");
      let text;
      try {
        text = read(target, [...trail, target]);
      } catch (error) {
        if (error.code === "ENOENT") fail(`there is no shaders/${target}`);
        throw error;
      }
      out.push(text.replace(/\n$/, ""));
    }
    return out.join("\n");
  };
  return { text: read(name, [name]), files: [...included.keys()] };
}

/** The text of a file of shaders/, as kernels and as the plugins have it. */
const load = (path) => resolveShader(path.slice(dirname(path).length + 1), dirname(path));

/** For esbuild. */
export const shadersForEsbuild = {
  name: "wgsl",
  setup(build) {
    build.onLoad({ filter: /\.wgsl$/ }, ({ path }) => {
      try {
        const { text, files } = load(path);
        return { contents: text, loader: "text", watchFiles: files.map((file) => join(dirname(path), file)) };
      } catch (error) {
        return { errors: [{ text: error.message }] };
      }
    });
  },
};

/** For Vite, and with it vitest. */
export const shadersForVite = {
  name: "wgsl",
  enforce: "pre",
  load(id) {
    if (!id.endsWith(".wgsl")) return undefined;
    const { text, files } = load(id);
    for (const file of files) this.addWatchFile(join(dirname(id), file));
    return `export default ${JSON.stringify(text)};`;
  },
};
