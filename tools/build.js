// Builds dist/: the core face (runs in browsers and Node), the Node face, and the command line. Types are emitted by tsc.
import { rm } from "node:fs/promises";
import { build } from "esbuild";
import { reportPageForEsbuild } from "./report-page.js";
import { shadersForEsbuild } from "./wgsl.js";

const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  sourcemap: true,
  plugins: [shadersForEsbuild],
  outdir: "dist",
  logLevel: "warning",
};

// Kept out of the bundle: binaries, and libraries that a user may share with us.
const external = [
  "webgpu",
  "sharp",
  "png-js",
  "gl-matrix",
  "fflate",
  "@sparticuz/chromium",
  "@ffmpeg-installer/ffmpeg",
];

await rm("dist", { recursive: true, force: true });
await build({
  ...shared,
  entryPoints: { core: "src/core.ts" },
  platform: "browser",
});
await build({
  ...shared,
  entryPoints: { node: "src/node/index.ts", cli: "src/cli/index.ts", bench: "src/bench/index.ts" },
  platform: "node",
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  external,
  plugins: [shadersForEsbuild, reportPageForEsbuild],
  // Some bundled CommonJS libraries call require() for Node's own modules.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});
