// A day of cameras played fast, and whether memory, handles or files grow meanwhile:
// `node bench/endurance.js [--hours 24]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("endurance", process.argv.slice(2));
