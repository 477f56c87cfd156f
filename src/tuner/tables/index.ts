import type { TuningTable } from "../table.js";

/** Measurements that come with the package, of adapters that were seen: what `sdmae tune --json` wrote. */
export const shippedTables: readonly TuningTable[] = [];
