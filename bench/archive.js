// What scoring videos through a NATS server costs, against scoring them alone:
// `node bench/archive.js [--videos 8] [--frames 600] [--workers 2]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("archive", process.argv.slice(2));
