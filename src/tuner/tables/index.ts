import lavapipe from "./lavapipe.json";
import swiftshader from "./swiftshader.json";

/** Bundled tuning tables (tuner/table.ts), as `sdmae tune --json` wrote them, to be checked. */
export const shippedTables: readonly unknown[] = [lavapipe, swiftshader];
