// How many cameras and workers one NATS server carries, with workers that watch nothing:
// `node bench/cluster.js [--cameras 10000] [--workers 500] [--lease 30]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("cluster", process.argv.slice(2));
