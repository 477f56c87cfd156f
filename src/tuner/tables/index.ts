import lavapipe from "./lavapipe.json";
import swiftshader from "./swiftshader.json";

/** Measurements that come with the package, of adapters that were seen: what `sdmae tune --json` wrote. Whoever takes one checks it. */
export const shippedTables: readonly unknown[] = [lavapipe, swiftshader];
