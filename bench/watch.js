// How many cameras a machine carries, with clips and an open page:
// `node bench/watch.js [--cameras 1,2,4,6] [--fps 5]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("watch", process.argv.slice(2));
