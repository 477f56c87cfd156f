// How fast the kernels can be at best on an NVIDIA card, from a record of bench/kernels.js --json:
// `node bench/bounds.js kernels.json [--gpu rtx3090|h100]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("bounds", process.argv.slice(2));
