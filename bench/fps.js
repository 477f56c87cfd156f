// Frames per second of the full model, with peers beside it:
// `node bench/fps.js [--size 320x640] [--batch N] [--peer ort-webgpu]`.
import { runBenchmark } from "../dist/bench.js";
import { peerMissing, peers, runPeer } from "./peers/run.js";

process.exitCode = await runBenchmark("fps", process.argv.slice(2), peers, runPeer, peerMissing);
