// Samples per second of training, and where the time goes:
// `node bench/train.js [--size 320x640] [--batch N] [--stage 1|2]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("train", process.argv.slice(2));
