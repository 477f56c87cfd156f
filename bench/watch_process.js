// The watch process that bench/watch.js and bench/endurance.js start and measure.
import { runWatchProcess } from "../dist/bench.js";

runWatchProcess();
