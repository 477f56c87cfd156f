// Builds dist/: the core (for browsers and Node), the library for Node, the command line and the
// benchmarks. tsc writes the types.
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

// Not bundled: binaries, and libraries that a user may have too.
const external = [
  "webgpu",
  "sharp",
  "png-js",
  "gl-matrix",
  "fflate",
  "@sparticuz/chromium",
  "@ffmpeg-installer/ffmpeg",
  "@nats-io/transport-node",
  "@nats-io/jetstream",
  "@nats-io/kv",
  "@nats-io/obj",
];

await rm("dist", { recursive: true, force: true });
await build({
  ...shared,
  entryPoints: { core: "src/core.ts" },
  platform: "browser",
});
await build({
  ...shared,
  entryPoints: {
    node: "src/node/index.ts",
    cli: "src/cli/index.ts",
    bench: "src/bench/index.ts",
    engine: "src/server/engine/main.ts",
    scorer: "src/cli/scorer_process.ts",
  },
  platform: "node",
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  external,
  plugins: [shadersForEsbuild, reportPageForEsbuild],
  // Some bundled CommonJS libraries call require() for Node's modules.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});
