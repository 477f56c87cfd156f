// How many alarms a normal street raises once a threshold is learnt:
// `node bench/alarms.js [--seeds 7103,7104] [--minutes 60]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("alarms", process.argv.slice(2));
