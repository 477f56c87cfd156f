import { readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";
import { reportPageForVite } from "./tools/report-page.js";

export default defineConfig({
  plugins: [
    {
      name: "wgsl-as-text",
      enforce: "pre",
      load(id) {
        return id.endsWith(".wgsl") ? `export default ${JSON.stringify(readFileSync(id, "utf8"))};` : undefined;
      },
    },
    reportPageForVite,
  ],
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", "./test/support/plain_line_reporter.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Software adapters use every core already.
    maxWorkers: 2,
  },
});
