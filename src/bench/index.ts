// The benchmarks; bench/*.js run them.
import { run } from "../cli/run.js";
import { archiveBenchCommand } from "./cluster/archive.js";
import { clusterCommand } from "./cluster/command.js";
import { compareCommand } from "./compare.js";
import { fpsCommand } from "./fps.js";
import { boundsCommand } from "./kernels/bounds.js";
import { kernelsCommand } from "./kernels/command.js";
import type { PeerMissing, RunPeer } from "./peers.js";
import { streamsBenchCommand } from "./streams.js";
import { trainBenchCommand } from "./train.js";
import { alarmsCommand } from "./watch/alarms.js";
import { enduranceCommand } from "./watch/endurance.js";
import { watchBenchCommand } from "./watch/load.js";

// The parts of the engine that peers need.
export { exportPth } from "../checkpoint/pth_write.js";
export { exportNetwork } from "../cli/commands/export_onnx.js";
export { adapterEnvironment } from "../node/adapters/environment.js";
// The processes that benchmarks of cameras start.
export { runClusterProcess } from "./cluster/process.js";
export { runWatchProcess } from "./watch/process.js";

/**
 * Runs a benchmark.
 * @param peers names of the peers that it can be compared with
 * @param peerMissing says which of them cannot run here
 * @returns the exit code, see {@link run}
 */
export function runBenchmark(
  name:
    | "fps"
    | "train"
    | "compare"
    | "streams"
    | "kernels"
    | "bounds"
    | "alarms"
    | "endurance"
    | "watch"
    | "cluster"
    | "archive",
  args: readonly string[],
  peers: readonly string[] = [],
  runPeer?: RunPeer,
  peerMissing?: PeerMissing,
): Promise<number> {
  const benchmarks = {
    fps: () => fpsCommand(peers, runPeer, peerMissing),
    train: trainBenchCommand,
    streams: streamsBenchCommand,
    kernels: kernelsCommand,
    bounds: boundsCommand,
    alarms: alarmsCommand,
    endurance: enduranceCommand,
    watch: watchBenchCommand,
    cluster: clusterCommand,
    archive: archiveBenchCommand,
    compare: () => compareCommand(peers, runPeer, peerMissing),
  };
  return run(benchmarks[name]().name(`node bench/${name}.js`), args);
}
