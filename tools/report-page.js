// The report's page and a training run's are browser programs that are written into files: this bundles each, script and style, into a
// module of two strings (declared in src/report/web/virtual.d.ts), for esbuild and for Vite.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** Folders with a main.ts and a style.css. */
const pages = new Map([
  ["virtual:report-page", "src/report/evaluation/page"],
  ["virtual:training-page", "src/report/training/page"],
]);
const root = fileURLToPath(new URL("..", import.meta.url));

async function source(name) {
  const folder = pages.get(name);
  // uPlot goes along with its licence.
  const licence = await readFile(`${root}/node_modules/uplot/LICENSE`, "utf8");
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [`${folder}/main.ts`, `${folder}/style.css`],
    outdir: "dist",
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    platform: "browser",
    target: ["es2022", "chrome123", "firefox120", "safari17.5"],
    banner: { js: `/*! uPlot\n${licence.trim()}\n*/` },
    logLevel: "warning",
  });
  const text = (extension) => outputFiles.find(({ path }) => path.endsWith(extension)).text;
  return `export const script = ${JSON.stringify(text(".js"))};\nexport const style = ${JSON.stringify(text(".css"))};\n`;
}

/** For esbuild. */
export const reportPageForEsbuild = {
  name: "report-page",
  setup(build) {
    build.onResolve({ filter: /^virtual:/ }, ({ path }) =>
      pages.has(path) ? { path, namespace: "report-page" } : undefined,
    );
    build.onLoad({ filter: /./, namespace: "report-page" }, async ({ path }) => ({
      contents: await source(path),
      loader: "js",
    }));
  },
};

/** For Vite, and with it vitest. */
export const reportPageForVite = {
  name: "report-page",
  resolveId: (id) => (pages.has(id) ? `\0${id}` : undefined),
  load: (id) => (id.startsWith("\0") && pages.has(id.slice(1)) ? source(id.slice(1)) : undefined),
};
