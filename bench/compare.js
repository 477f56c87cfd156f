// The engine beside its peers at several batch sizes, as a table and a plot:
// `node bench/compare.js [--batch 1,4,16] [--out compare.html]`.
import { runBenchmark } from "../dist/bench.js";
import { peerMissing, peers, runPeer } from "./peers/run.js";

process.exitCode = await runBenchmark("compare", process.argv.slice(2), peers, runPeer, peerMissing);
