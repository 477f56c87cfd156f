// How many cameras one detector keeps up with, and how soon it answers:
// `node bench/streams.js [--fps 25] [--streams 1,4,16]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("streams", process.argv.slice(2));
