// The processes with many workers each that bench/cluster.js starts and measures.
import { runClusterProcess } from "../dist/bench.js";

runClusterProcess();
