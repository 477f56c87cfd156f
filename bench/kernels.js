// What a GPU's driver makes of each kernel:
// `node bench/kernels.js --gpu rtx3090 [--dtype f16] [--kernels matrix] [--filter TEXT]`.
import { runBenchmark } from "../dist/bench.js";

process.exitCode = await runBenchmark("kernels", process.argv.slice(2));
