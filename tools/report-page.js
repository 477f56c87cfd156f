// Bundles the browser program and the style of each page into a module of two strings (declared in
// src/report/web/virtual.d.ts), for esbuild and for Vite.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** The folder of each page, with a main.ts and a style.css. */
const pages = new Map([
  ["virtual:report-page", "src/report/evaluation/page"],
  ["virtual:training-page", "src/report/training/page"],
  ["virtual:calibration-page", "src/report/calibration/page"],
  ["virtual:bench-page", "src/report/bench/page"],
  ["virtual:watch-page", "src/server/web/page"],
]);
const root = fileURLToPath(new URL("..", import.meta.url));

async function source(name) {
  const folder = pages.get(name);
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [`${folder}/main.ts`, `${folder}/style.css`],
    outdir: "dist",
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    platform: "browser",
    target: ["es2022", "chrome123", "firefox120", "safari17.5"],
    metafile: true,
    logLevel: "warning",
  });
  const text = (extension) => outputFiles.find(({ path }) => path.endsWith(extension)).text;
  // A program that contains uPlot must also contain its licence.
  const hasPlots = Object.keys(metafile.inputs).some((path) => path.includes("node_modules/uplot/"));
  const licence = hasPlots
    ? `/*! uPlot\n${(await readFile(`${root}/node_modules/uplot/LICENSE`, "utf8")).trim()}\n*/\n`
    : "";
  return `export const script = ${JSON.stringify(licence + text(".js"))};\nexport const style = ${JSON.stringify(text(".css"))};\n`;
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

/** For Vite, which vitest uses. */
export const reportPageForVite = {
  name: "report-page",
  resolveId: (id) => (pages.has(id) ? `\0${id}` : undefined),
  load: (id) => (id.startsWith("\0") && pages.has(id.slice(1)) ? source(id.slice(1)) : undefined),
};
