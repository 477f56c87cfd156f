import { defineConfig } from "vitest/config";
import { reportPageForVite } from "./tools/report-page.js";
import { shadersForVite } from "./tools/wgsl.js";

export default defineConfig({
  plugins: [shadersForVite, reportPageForVite],
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/equality.ts"],
    reporters: ["default", "./test/support/plain_line_reporter.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Software adapters use all cores already.
    maxWorkers: 2,
  },
});
