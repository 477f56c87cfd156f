// The report's page is a browser program that is written into every report: this bundles it, script and style, into a module of two
// strings, "virtual:report-page" (declared in src/report/page.d.ts), for esbuild and for Vite.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const NAME = "virtual:report-page";
const root = fileURLToPath(new URL("..", import.meta.url));

async function source() {
  // uPlot goes along with its licence.
  const licence = await readFile(`${root}/node_modules/uplot/LICENSE`, "utf8");
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ["src/report/page/main.ts", "src/report/page/style.css"],
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
    build.onResolve({ filter: /^virtual:report-page$/ }, () => ({ path: NAME, namespace: "report-page" }));
    build.onLoad({ filter: /./, namespace: "report-page" }, async () => ({ contents: await source(), loader: "js" }));
  },
};

/** For Vite, and with it vitest. */
export const reportPageForVite = {
  name: "report-page",
  resolveId: (id) => (id === NAME ? `\0${NAME}` : undefined),
  load: (id) => (id === `\0${NAME}` ? source() : undefined),
};
